import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openat2Available, probeSystem, readMountInfo, type Capability } from '../../src/system/index.js';
import { isRoot, scratchDirectory } from './scratch.js';

const directory = scratchDirectory();

function available(capabilities: object): Record<string, boolean> {
  return Object.fromEntries(
    Object.entries(capabilities).map(([key, value]) => [key, (value as Capability).available]),
  );
}

describe('probeSystem', () => {
  it.runIf(isRoot)('finds what root can do here (needs root)', async () => {
    const found = await probeSystem(directory);
    expect(available(found)).toMatchObject({
      libc: true,
      openat2: openat2Available(),
      mknod: true,
      whiteouts: true,
      trustedXattr: true,
      userXattr: true,
      securityCapability: true,
      flock: true,
      syncfs: true,
      freeSpace: true,
    });
    expect(found.freeSpace.bytes).toBeGreaterThan(0);
  });

  it('says how in one line each, leaves no file and no mount', async () => {
    const mounts = readMountInfo().length;
    const found = await probeSystem(directory);
    for (const [name, { detail }] of Object.entries(found) as [string, Capability][]) {
      expect(detail, name).toMatch(/^[^\n]+$/);
    }
    expect(readdirSync(directory)).toEqual([]);
    expect(readMountInfo()).toHaveLength(mounts);
  });

  it('tries the nearest directory above one that is not there, and does not make it', async () => {
    const found = await probeSystem(join(directory, 'not/yet'));
    expect(found.flock.available).toBe(true);
    expect(found.freeSpace.detail).toContain(directory);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('answers even for a path that leads through a file', async () => {
    writeFileSync(join(directory, 'file'), '');
    expect((await probeSystem(join(directory, 'file/below'))).flock.available).toBe(true);
  });

  it('works in a directory whose name needs an escape', async () => {
    const odd = join(directory, 'a:b,c\\d e');
    mkdirSync(odd);
    expect(available(await probeSystem(odd))).toEqual(available(await probeSystem(directory)));
  });

  it('finds that nothing can be tried where nothing can be written', async () => {
    const found = await probeSystem('/proc');
    expect(found.flock).toEqual({
      available: false,
      detail: expect.stringContaining('/proc is not writable') as string,
    });
    expect(found.openat2.available).toBe(false);
  });
});
