import { execFile, execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lgetxattr } from '../../../src/system/index.js';
import { completeLayer } from '../../../src/unpack/merge/complete-layer.js';
import type { LayerChanges } from '../../../src/unpack/index.js';
import { listing } from '../../support/extract-layer.js';
import { isRoot } from '../../support/needs-root.js';
import { removeTree } from '../../support/unpack-fixture.js';

const run = promisify(execFile);

/** The form that this user can make, and its mark. */
const FORM = isRoot ? 'overlay' : 'userxattr';
const OPAQUE = isRoot ? 'trusted.overlay.opaque' : 'user.overlay.opaque';

let root: string;
let layer: string;
/** Topmost first. */
let parents: [top: string, bottom: string];

const NONE: LayerChanges = { implied: [], whiteouts: [], opaques: [], pendingLinks: [] };

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-complete-'));
  layer = join(root, 'layer');
  parents = [join(root, 'top'), join(root, 'bottom')];
  for (const directory of [layer, ...parents]) await mkdir(directory);
});

afterEach(() => removeTree(root));

async function complete(changes: Partial<LayerChanges>): Promise<readonly string[]> {
  const job = {
    kind: 'complete',
    form: FORM,
    directory: layer,
    parents,
    changes: { ...NONE, ...changes },
  } as const;
  return (await completeLayer(job)).warnings;
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, mode);
}

async function makeFile(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o7777;
}

test.each<[string, () => Promise<unknown>, Partial<LayerChanges>, number]>([
  ['the topmost parent that has it', () => makeDirectory(join(parents[0], 'd'), 0o711), {}, 0o711],
  ['a lower parent where the topmost does not have it', () => Promise.resolve(), {}, 0o700],
  [
    'nobody below a whiteout',
    () => Promise.resolve(execFileSync('mknod', [join(parents[0], 'd'), 'c', '0', '0'])),
    {},
    0o755,
  ],
  ['nobody below a file', () => makeFile(join(parents[0], 'd'), ''), {}, 0o755],
  ['nobody below an opaque root', () => makeOpaque(parents[0]), {}, 0o755],
  ['the parent also where the layer makes it opaque', () => Promise.resolve(), { opaques: ['d'] }, 0o700],
])('a directory that is not listed takes its attributes from %s', async (_, make, changes, expected) => {
  await makeDirectory(join(parents[1], 'd'), 0o700);
  await makeDirectory(join(layer, 'd'), 0o755);
  await make();
  await complete({ implied: ['d'], ...changes });
  expect(await modeOf(join(layer, 'd'))).toBe(expected);
});

async function makeOpaque(directory: string): Promise<void> {
  await run('setfattr', ['-n', OPAQUE, '-v', 'y', directory]);
}

test('below an opaque directory of a parent, what lower ones have is not inherited', async () => {
  await makeDirectory(join(parents[1], 'd/e'), 0o700);
  await makeDirectory(join(parents[0], 'd'), 0o711);
  await makeOpaque(join(parents[0], 'd'));
  await makeDirectory(join(layer, 'd/e'), 0o755);
  await complete({ implied: ['d', 'd/e'] });
  expect([await modeOf(join(layer, 'd')), await modeOf(join(layer, 'd/e'))]).toEqual([0o711, 0o755]);
});

test('overlay’s own attributes stay where they are', async () => {
  await makeDirectory(join(parents[0], 'd'), 0o711);
  await makeOpaque(join(parents[0], 'd'));
  await makeDirectory(join(layer, 'd'), 0o755);
  await makeDirectory(join(layer, 'e'), 0o755);
  await makeDirectory(join(parents[0], 'e'), 0o711);
  await makeOpaque(join(layer, 'e'));
  await complete({ implied: ['d', 'e'], opaques: ['e'] });
  const xattrs = (name: string): string =>
    execFileSync('getfattr', ['-m', '-', join(layer, name)], { encoding: 'utf8' });
  expect(xattrs('d')).not.toContain('opaque');
  expect(xattrs('e')).toContain(OPAQUE);
});

test('what becomes a directory is told once, at the path where it happens', async () => {
  await symlink('nowhere', join(parents[0], 's'));
  await makeDirectory(join(layer, 's/deep'), 0o755);
  expect(await complete({ implied: ['s', 's/deep'] })).toEqual([
    '"s" is a symlink in a lower layer and becomes a directory here',
  ]);
});

test('links to one lower file, by whichever of its names, share one copy with it', async () => {
  await makeFile(join(parents[1], 'd/f'), 'content');
  execFileSync('ln', [join(parents[1], 'd/f'), join(parents[1], 'g')]);
  await utimes(join(parents[1], 'd'), 3, 4);
  await makeDirectory(join(layer, 'x'), 0o755);
  await utimes(join(layer, 'x'), 5, 6);
  await complete({
    pendingLinks: [
      { path: 'x/one', target: 'd/f' },
      { path: 'x/two', target: 'd/f' },
      { path: 'three', target: 'g' },
    ],
  });
  const inodes = await Promise.all(
    ['d/f', 'g', 'x/one', 'x/two', 'three'].map(async (name) => (await stat(join(layer, name))).ino),
  );
  expect(new Set(inodes).size).toBe(1);
  expect((await stat(join(layer, 'x'))).mtimeMs).toBe(6000);
  expect((await stat(join(layer, 'd'))).mtimeMs).toBe(4000);
});

test('a link whose target the layer makes anew keeps the lower file', async () => {
  await makeFile(join(parents[0], 'f'), 'lower');
  await writeFile(join(layer, 'f'), 'upper');
  await complete({ pendingLinks: [{ path: 'kept', target: 'f' }] });
  expect(await readFile(join(layer, 'kept'), 'utf8')).toBe('lower');
  expect(await readFile(join(layer, 'f'), 'utf8')).toBe('upper');
});

test('a link does not reach through a symlink of a lower layer', async () => {
  await makeFile(join(root, 'outside/secret'), 'secret');
  await symlink(join(root, 'outside'), join(parents[0], 'way'));
  const pendingLinks = [{ path: 'stolen', target: 'way/secret' }];
  await expect(complete({ pendingLinks })).rejects.toMatchObject({
    code: 'BAD_ARCHIVE',
    details: { entry: 'stolen' },
  });
  expect(await readdir(layer)).toEqual([]);
});

test('directories that shut out their owner are no obstacle, and keep their modes', async () => {
  await makeFile(join(parents[1], 'c/d/f'), 'content');
  await makeDirectory(join(parents[1], 'c/implied'), 0o711);
  await makeDirectory(join(layer, 'c/implied'), 0o755);
  await makeFile(join(layer, 'c/e/own'), '');
  const closed = [
    ...['c/d', 'c'].map((path) => join(parents[1], path)),
    ...['c/e', 'c'].map((path) => join(layer, path)),
  ];
  for (const path of closed) await chmod(path, 0);
  await complete({
    implied: ['c/implied'],
    pendingLinks: [
      { path: 'c/e/l', target: 'c/d/f' },
      { path: 'm', target: 'c/d/f' },
    ],
  });
  expect(await readFile(join(layer, 'm'), 'utf8')).toBe('content');
  expect([await modeOf(join(layer, 'c')), await modeOf(join(parents[1], 'c'))]).toEqual([0, 0]);
  for (const path of [...closed].reverse()) await chmod(path, 0o700);
  expect(await modeOf(join(layer, 'c/d'))).toBe(0);
  await chmod(join(layer, 'c/d'), 0o700);
  expect(await modeOf(join(layer, 'c/implied'))).toBe(0o711);
  const inodes = await Promise.all(
    ['c/d/f', 'c/e/l', 'm'].map(async (name) => (await stat(join(layer, name))).ino),
  );
  expect(new Set(inodes).size).toBe(1);
});

test('only whiteouts that have something to hide are made, as devices', async () => {
  await makeFile(join(parents[1], 'd/hidden'), '');
  await makeDirectory(join(layer, 'd'), 0o755);
  await utimes(join(layer, 'd'), 3, 4);
  await complete({ whiteouts: ['d/hidden', 'd/idle', 'e/idle', 'hidden/idle'] });
  expect(listing(layer)).toEqual({ d: 'dir 755', 'd/hidden': 'char 0:0 0' });
  expect((await stat(join(layer, 'd'))).mtimeMs).toBe(4000);
});

test('only directories that have something to hide are made opaque', async () => {
  await makeDirectory(join(parents[1], 'd'), 0o700);
  await makeFile(join(parents[0], 'f'), '');
  for (const name of ['d', 'e', 'f']) await makeDirectory(join(layer, name), 0o755);
  await complete({ opaques: ['d', 'e', 'f'] });
  expect(opaqueIn(['', 'd', 'e', 'f'])).toEqual(['d']);
});

test('what is deleted in an absent directory brings that as the parents have it', async () => {
  await makeFile(join(parents[1], 'a/b/hidden'), '');
  await makeFile(join(parents[1], 'o/hidden'), '');
  for (const [path, mode] of [
    ['a', 0o711],
    ['a/b', 0o700],
    ['o', 0o750],
  ] as const) {
    await chmod(join(parents[1], path), mode);
    await utimes(join(parents[1], path), 3, 4);
  }
  await complete({ whiteouts: ['a/b/hidden'], opaques: ['o'] });
  expect(listing(layer)).toEqual({
    a: 'dir 711',
    'a/b': 'dir 700',
    'a/b/hidden': 'char 0:0 0',
    o: 'dir 750',
  });
  for (const path of ['a', 'a/b', 'o']) expect((await stat(join(layer, path))).mtimeMs).toBe(4000);
  expect(opaqueIn(['', 'a', 'a/b', 'o'])).toEqual(['o']);
});

test('without a parent nothing is marked', async () => {
  await makeDirectory(join(layer, 'd'), 0o755);
  const changes = { ...NONE, whiteouts: ['x', 'd/x', 'e/x'], opaques: ['', 'd', 'f'] };
  await completeLayer({ kind: 'complete', form: FORM, directory: layer, parents: [], changes });
  expect(listing(layer)).toEqual({ d: 'dir 755' });
  expect(opaqueIn(['', 'd'])).toEqual([]);
});

function opaqueIn(paths: readonly string[]): string[] {
  return paths.filter((path) => lgetxattr(join(layer, path), OPAQUE)?.toString() === 'y');
}
