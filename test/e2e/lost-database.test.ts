import { execFileSync } from 'node:child_process';
import { copyFile, mkdtemp, open, readdir, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { RebuildReport } from '../../src/engine/upkeep/rebuild-store.js';
import { type CommandResult } from '../support/landfall-command.js';
import { type LyingRegistry, startLyingRegistry } from '../support/lying-registry.js';
import { makeTinyLayout } from '../support/tiny-image.js';
import { landfall, landfallJson } from '../support/warm-command.js';

/** A store without its database is never taken for an empty one, and `fsck --rebuild` gives it a new one. */
describe('a store that has lost its database', () => {
  let work: string;
  let whole: string;
  let root: string;
  let registry: LyingRegistry;
  let reference: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-lost-database-'));
    registry = await startLyingRegistry(await makeTinyLayout(join(work, 'layout')));
    reference = `${registry.address}/team/app:1`;
    whole = join(work, 'whole');
    root = whole;
    expect(await run('pull', reference)).toMatchObject({ code: 0 });
    expect(await run('pin', reference)).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const run = (...args: string[]): Promise<CommandResult> =>
    landfall(['--root', root, '--plain-http', '--progress', 'none', ...args]);
  const database = (): string => join(root, 'metadata.db');
  const overwrite = async (at: number): Promise<void> => {
    const file = await open(database(), 'r+');
    await file.write(Buffer.alloc(64, 0xa5), 0, 64, at);
    await file.close();
  };

  describe.each<[string, () => Promise<void>]>([
    ['deleted', () => rm(database())],
    ['overwritten', () => overwrite(0)],
    ['damaged behind its header', () => overwrite(100)],
    ['truncated', () => truncate(database(), 5000)],
    ['emptied', () => truncate(database(), 0)],
  ])('%s', (_, damage) => {
    beforeAll(async () => {
      root = await mkdtemp(join(work, 'root-'));
      execFileSync('cp', ['-a', `${whole}/.`, root]);
      await damage();
    });

    it.each([
      ['images'],
      ['df'],
      ['gc'],
      ['fsck'],
      ['inspect', 'IMAGE'],
      ['pull', 'IMAGE'],
      ['tag', 'IMAGE', 'other:1'],
      ['rmi', 'IMAGE'],
      ['mounts', 'IMAGE'],
    ])('%s says what to do', async (...args) => {
      const before = await readdir(root);
      const { code, stdout, stderr } = await run(
        ...args.map((word) => (word === 'IMAGE' ? reference : word)),
      );
      expect({ code, said: stdout + stderr }).toEqual({
        code: 6,
        said: expect.stringContaining('landfall fsck --rebuild') as string,
      });
      expect(await readdir(root)).toEqual(before);
    });

    it('is rebuilt, and needs nothing from the registry then', async () => {
      const report = await landfallJson<RebuildReport>(['--root', root, 'fsck', '--rebuild']);
      expect(report).toMatchObject({ images: [{ name: reference }], lostImages: [], damagedBlobs: [] });
      registry.requests.length = 0;
      expect(await run('pull', reference)).toMatchObject({ code: 0 });
      expect(registry.requests.filter((line) => line.startsWith('GET /v2/team'))).toEqual([]);
      expect(await run('mounts', reference)).toMatchObject({ code: 0 });
      expect(await run('fsck')).toMatchObject({ code: 0 });
      expect(await run('fsck', '--rebuild')).toMatchObject({ code: 2 });
    });
  });

  it('is rebuilt beside commands that wait for it', async () => {
    root = await mkdtemp(join(work, 'root-'));
    execFileSync('cp', ['-a', `${whole}/.`, root]);
    const saved = join(work, 'saved.db');
    await copyFile(database(), saved);
    await rm(database());
    const [rebuilt, ...others] = await Promise.all([
      run('fsck', '--rebuild'),
      ...Array.from({ length: 4 }, () => run('images')),
    ]);
    expect(rebuilt).toMatchObject({ code: 0 });
    // They came before and were told what to do, or after and found all in order.
    for (const { code } of others) expect([0, 6]).toContain(code);
    expect(await run('images')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('team/app') as string,
    });
  });
});
