import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  openat2Available,
  probeSystem,
  readMountInfo,
  type Capability,
  type SystemCapabilities,
} from '../../src/system/index.js';
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
      idMappedMounts: true,
      freeSpace: true,
    });
    expect(found.freeSpace.bytes).toBeGreaterThan(0);
  });

  it.runIf(isRoot)('finds where mounts can show other owners, and where not (needs root)', () => {
    const script = `
      const { probeSystem } = await import(process.argv[1]);
      console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(probeSystem))));
    `;
    const built = new URL('../../dist/src/system/index.js', import.meta.url).href;
    const probe = [process.execPath, '--input-type=module', '-e', script, built];
    const mounted = ['tmpfs', 'ramfs'].map((type) => join(directory, type));
    // ramfs has no mounts with other owners.
    const mounts =
      'mkdir "$1" "$2"; mount -t tmpfs tmpfs "$1"; mount -t ramfs ramfs "$2"; shift 2; exec "$@"';
    const args = [
      '-m',
      '--propagation',
      'private',
      'sh',
      '-euc',
      mounts,
      'sh',
      ...mounted,
      ...probe,
      ...mounted,
    ];
    const found = JSON.parse(execFileSync('unshare', args, { encoding: 'utf8' })) as SystemCapabilities[];
    for (const at of mounted) rmdirSync(at);
    expect(found.map(({ idMappedMounts }) => idMappedMounts)).toEqual([
      { available: true, detail: expect.any(String) as string },
      { available: false, detail: expect.stringContaining('the file system') as string },
    ]);
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
