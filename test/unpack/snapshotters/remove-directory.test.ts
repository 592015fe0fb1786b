import { chmod, lstat, mkdir, mkdtemp, readdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeDirectory } from '../../../src/unpack/snapshotters/remove-directory.js';
import { DEEP_NAME, makeDeep } from '../../support/deep-tree.js';
import { isRoot } from '../../support/needs-root.js';

describe('removing a directory', () => {
  let work: string;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-remove-'));
  });
  afterEach(async () => {
    await removeDirectory(work);
  });

  it('takes what is absent for removed', async () => {
    await removeDirectory(join(work, 'nothing'));
  });

  it('does not follow symlinks', async () => {
    await mkdir(join(work, 'outside/inner'), { recursive: true });
    await mkdir(join(work, 'tree'));
    await symlink('../outside', join(work, 'tree/link'));
    await removeDirectory(join(work, 'tree'));
    expect(await readdir(join(work, 'outside'))).toEqual(['inner']);
  });

  it('removes names that are not UTF-8', async () => {
    const name = Buffer.concat([Buffer.from(join(work, 'tree/')), Buffer.from([0xff, 0xfe])]);
    await mkdir(join(work, 'tree'));
    await mkdir(name);
    await writeFile(Buffer.concat([name, Buffer.from('/file')]), '');
    await removeDirectory(join(work, 'tree'));
    await expect(lstat(join(work, 'tree'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('removes what is deeper than any path can say, and the names that it uses itself', async () => {
    makeDeep(join(work, 'tree'), 100);
    await mkdir(join(work, 'tree/.removed-0'));
    await writeFile(join(work, 'tree/.removed-0/file'), '');
    await writeFile(join(work, 'tree/.removed-1'), '');
    await removeDirectory(join(work, 'tree'));
    expect(await readdir(work)).toEqual([]);
  });

  it('reaches nothing beside the tree while it does so', async () => {
    await mkdir(join(work, 'outside'));
    makeDeep(join(work, 'tree'), 100);
    await symlink('../../outside', join(work, 'tree', DEEP_NAME, 'link'));
    await removeDirectory(join(work, 'tree/'));
    expect(await readdir(work)).toEqual(['outside']);
  });

  // Root may do anything, so that nothing is in its way.
  it.skipIf(isRoot)('opens directories that are in the way, while others are being removed', async () => {
    for (let round = 0; round < 20; round++) {
      const tree = join(work, `tree-${round}`);
      for (let n = 0; n < 30; n++) {
        await mkdir(join(tree, `${n}/a/b/c`), { recursive: true });
        await writeFile(join(tree, `${n}/a/b/c/file`), '');
        await chmod(join(tree, `${n}/a/b`), n % 7 === 3 ? 0 : 0o755);
      }
      await removeDirectory(tree);
      await expect(lstat(tree)).rejects.toMatchObject({ code: 'ENOENT' });
    }
  });
});
