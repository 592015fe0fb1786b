import { execFileSync } from 'node:child_process';
import { chmod, link, lutimes, mkdir, mkdtemp, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toBytePath } from '../../../src/system/index.js';
import { lsetxattr } from '../../../src/system/index.js';
import { copyTree } from '../../../src/unpack/merge/copy-tree.js';
import { TreeLister } from '../../support/tree-lister.js';
import { isRoot } from '../../support/needs-root.js';
import { removeTree } from '../../support/unpack-fixture.js';

let root: string;
let source: string;
let target: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-copy-'));
  source = join(root, 'source');
  target = join(root, 'target');
  await mkdir(source);
  await mkdir(target);
});

afterEach(() => removeTree(root));

function makeWhatRootMakes(at: (name: string) => string): void {
  execFileSync('mknod', [at('null'), 'c', '1', '3']);
  execFileSync('chown', ['-h', '5:6', at('d/s'), at('d/f'), at('d')]);
  lsetxattr(toBytePath(at('d')), 'trusted.t', Buffer.from('v'));
  const capability = Buffer.from('0100000202000000000000000000000000000000', 'hex');
  lsetxattr(toBytePath(at('d/f')), 'security.capability', capability);
}

test('a copy is equal in every path, type, mode, owner, time, link, device and xattr', async () => {
  await using lister = new TreeLister();
  const at = (name: string): string => join(source, name);
  await mkdir(at('d/e'), { recursive: true });
  await writeFile(at('d/f'), 'content');
  await link(at('d/f'), at('d/e/g'));
  await symlink('../nowhere', at('d/s'));
  await lutimes(at('d/s'), 3, 4);
  await writeFile(Buffer.concat([Buffer.from(`${source}/n`), Buffer.from([0xff])]), 'not UTF-8');
  await writeFile(at('empty'), '');
  await truncate(at('empty'), 1024 * 1024);
  execFileSync('mknod', [at('fifo'), 'p']);
  if (isRoot) makeWhatRootMakes(at);
  // A change of owner takes the bits away.
  await chmod(at('d/f'), 0o6755);
  lsetxattr(toBytePath(at('d/f')), 'user.x', Buffer.from([0, 255]));
  await utimes(at('d/f'), 1, 1.5);
  await chmod(at('d/e'), 0);
  await utimes(at('d'), 1, 2);
  await chmod(source, 0o1711);
  await utimes(source, 8, 9);
  expect(await copyTree({ kind: 'copy', source, target })).toEqual({ warnings: [] });
  const copied = await lister.directory(target);
  expect(copied).toEqual(await lister.directory(source));
  expect(Object.keys(copied)).toHaveLength(isRoot ? 10 : 9);
  expect(
    Number(execFileSync('du', ['-k', join(target, 'empty')], { encoding: 'utf8' }).split('\t')[0]),
  ).toBeLessThan(64);
});

test('a default ACL of the target does not get into the copy', async () => {
  await using lister = new TreeLister();
  await writeFile(join(source, 'f'), 'x');
  // user::rwx, group::rwx, other::rwx, as the kernel stores them.
  const acl = Buffer.from('0200000001000700ffffffff04000700ffffffff20000700ffffffff', 'hex');
  lsetxattr(toBytePath(target), 'system.posix_acl_default', acl);
  await copyTree({ kind: 'copy', source, target });
  expect(await lister.directory(target)).toEqual(await lister.directory(source));
});

test('hard links between directories that shut out their owner stay one file', async () => {
  await mkdir(join(source, 'a'));
  await mkdir(join(source, 'b'));
  await writeFile(join(source, 'a/f'), 'x', { mode: 0 });
  await link(join(source, 'a/f'), join(source, 'b/g'));
  const closed = ['a', 'b'].map((name) => join(source, name));
  for (const path of closed) await chmod(path, 0);
  expect(await copyTree({ kind: 'copy', source, target })).toEqual({ warnings: [] });
  await using lister = new TreeLister();
  const copied = await lister.directory(target);
  expect(copied).toEqual(await lister.directory(source));
  expect(copied['b/g']).toMatchObject({ file: 'a/f', mode: 0, nlink: 2 });
});

test('an aborted copy ends with ABORTED', async () => {
  for (let i = 0; i < 300; i++) await writeFile(join(source, `f${i}`), '');
  const controller = new AbortController();
  const copying = copyTree({ kind: 'copy', source, target }, { signal: controller.signal });
  controller.abort();
  await expect(copying).rejects.toMatchObject({ code: 'ABORTED' });
});
