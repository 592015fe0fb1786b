import { chmod, mkdir, mkdtemp, readdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { measureUsage } from '../../../src/unpack/snapshotters/measure-usage.js';
import { makeDeep } from '../../support/deep-tree.js';
import { isRoot } from '../../support/needs-root.js';
import { removeTree } from '../../support/unpack-fixture.js';

let work: string;
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-usage-'));
});
afterEach(() => removeTree(work));

test('what is not there takes nothing', async () => {
  expect(await measureUsage(join(work, 'nothing'))).toEqual({ inodes: 0, size: 0 });
});

test('symlinks count for themselves', async () => {
  await writeFile(join(work, 'file'), Buffer.alloc(1 << 20, 1));
  await mkdir(join(work, 'tree'));
  const before = await measureUsage(join(work, 'tree'));
  await symlink('..', join(work, 'tree/link'));
  const after = await measureUsage(join(work, 'tree'));
  expect(after.inodes).toBe(2);
  expect(after.size - before.size).toBeLessThan(1 << 20);
});

test('names of any bytes, and directories deeper than any path can say, with as few descriptors as that takes', async () => {
  makeDeep(join(work, 'deep'), 100);
  await mkdir(Buffer.concat([Buffer.from(`${work}/`), Buffer.from([0xff])]));
  const descriptors = (await readdir('/proc/self/fd')).length;
  expect((await measureUsage(work)).inodes).toBe(1 + 1 + 1 + 2 * 100);
  expect((await readdir('/proc/self/fd')).length).toBe(descriptors);
});

test('what its owner may not read is left out', async () => {
  await mkdir(join(work, 'closed'));
  await writeFile(join(work, 'closed/file'), '');
  await chmod(join(work, 'closed'), 0);
  expect((await measureUsage(work)).inodes).toBe(isRoot ? 3 : 2);
});
