import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { claimDirectory } from '../../src/unpack/files/unpack-tree.js';
import { removeTree } from '../support/unpack-fixture.js';

let work: string;
let directory: string;
beforeEach(async () => {
  work = await realpath(await mkdtemp(join(tmpdir(), 'landfall-claimed-')));
  directory = join(work, 'deep', 'directory');
});
afterEach(() => removeTree(work));

/** What an interrupted unpack may leave: any name, any mode. */
async function fill(path: string): Promise<void> {
  await mkdir(join(path, 'closed/inner'), { recursive: true });
  await writeFile(join(path, 'closed/inner/file'), '');
  await chmod(join(path, 'closed'), 0);
  await writeFile(Buffer.concat([Buffer.from(`${path}/`), Buffer.from('\xff\xfe', 'latin1')]), '');
  await chmod(path, 0o500);
}

describe('a claimed directory', () => {
  it('is made with its parents where it is absent, and goes with them', async () => {
    const claimed = await claimDirectory(directory);
    expect(claimed).toMatchObject({ path: directory, created: true });
    await fill(claimed.path);
    await claimed.undo();
    claimed[Symbol.dispose]();
    expect(await readdir(work)).toEqual([]);
  });

  it('stays where it is empty, and is empty again, of the mode and time that it had', async () => {
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o2751);
    await utimes(directory, 1000, 2000);
    const claimed = await claimDirectory(directory);
    expect(claimed).toMatchObject({ path: directory, created: false });
    await fill(claimed.path);
    await claimed.undo();
    expect(await readdir(directory)).toEqual([]);
    const { mode, mtimeMs } = await lstat(directory);
    expect({ mode: mode & 0o7777, mtimeMs }).toEqual({ mode: 0o2751, mtimeMs: 2_000_000 });
  });

  it('may be reached through a symlink, which stays', async () => {
    await mkdir(directory, { recursive: true });
    await symlink(directory, join(work, 'link'));
    const claimed = await claimDirectory(join(work, 'link'));
    expect(claimed).toMatchObject({ path: directory, created: false });
    await claimed.undo();
    expect((await readdir(work)).sort()).toEqual(['deep', 'link']);
  });

  it.each<[string, () => Promise<void>]>([
    ['that is not empty', () => mkdir(join(directory, 'inner'), { recursive: true }).then(() => undefined)],
    [
      'that is a file',
      async () => {
        await mkdir(join(work, 'deep'));
        await writeFile(directory, '');
      },
    ],
    ['below a file', () => writeFile(join(work, 'deep'), '')],
  ])('is none %s', async (_, prepare) => {
    await prepare();
    const before = await readdir(work, { recursive: true });
    await expect(claimDirectory(directory)).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG' }) as Error,
    );
    expect(await readdir(work, { recursive: true })).toEqual(before);
  });
});
