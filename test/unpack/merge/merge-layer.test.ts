import {
  chmod,
  link,
  lutimes,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LayerChanges } from '../../../src/unpack/index.js';
import { mergeLayer } from '../../../src/unpack/merge/merge-layer.js';
import { removeTree } from '../../support/unpack-fixture.js';

let root: string;
let layer: string;
let target: string;
let outside: string;

const NONE: LayerChanges = { implied: [], whiteouts: [], opaques: [], pendingLinks: [] };

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-merge-'));
  [layer = '', target = '', outside = ''] = ['layer', 'target', 'outside'].map((name) => join(root, name));
  for (const directory of [layer, target, outside]) await mkdir(directory);
  await writeFile(join(outside, 'sentinel'), 'untouched');
});

afterEach(() => removeTree(root));

async function merge(changes: Partial<LayerChanges>): Promise<readonly string[]> {
  const job = { kind: 'merge', directory: layer, target, changes: { ...NONE, ...changes } } as const;
  return (await mergeLayer(job)).warnings;
}

describe('a symlink of a lower layer is never passed through', () => {
  const rows: readonly (readonly [string, Partial<LayerChanges>, () => Promise<unknown>])[] = [
    [
      'a whiteout below it',
      { whiteouts: ['way/sentinel'], implied: ['', 'way'] },
      () => mkdir(join(layer, 'way')),
    ],
    [
      'an opaque directory at it',
      { opaques: ['way'], implied: ['', 'way'] },
      () => mkdir(join(layer, 'way')),
    ],
    ['a whiteout of it', { whiteouts: ['way'], implied: [''] }, () => Promise.resolve()],
    [
      'a file below it',
      { implied: ['', 'way'] },
      async () => {
        await mkdir(join(layer, 'way'));
        await writeFile(join(layer, 'way/sentinel'), 'escaped');
      },
    ],
    ['a directory over it', {}, () => mkdir(join(layer, 'way'))],
    ['a file over it', {}, () => writeFile(join(layer, 'way'), 'a file')],
  ];
  test.each(rows)('by %s', async (_, changes, make) => {
    await symlink(outside, join(target, 'way'));
    const before = await stat(outside);
    await make();
    await merge(changes);
    expect(await readdir(outside)).toEqual(['sentinel']);
    expect(await readFile(join(outside, 'sentinel'), 'utf8')).toBe('untouched');
    const after = await stat(outside);
    expect([after.mode, after.mtimeMs]).toEqual([before.mode, before.mtimeMs]);
  });

  test('by a hard link to something below it', async () => {
    await symlink(outside, join(target, 'way'));
    const pendingLinks = [{ path: 'stolen', target: 'way/sentinel' }];
    await expect(merge({ pendingLinks })).rejects.toMatchObject({
      code: 'BAD_ARCHIVE',
      details: { entry: 'stolen' },
    });
  });
});

test('a symlink within the lower tree is not passed through either', async () => {
  await mkdir(join(target, 'inner/sub'), { recursive: true });
  await writeFile(join(target, 'inner/sub/f'), 'stays');
  await symlink('inner', join(target, 'way'));
  await merge({ whiteouts: ['way/sub', 'way/sub/f'], opaques: ['way', 'way/sub'], implied: [''] });
  expect(await readFile(join(target, 'inner/sub/f'), 'utf8')).toBe('stays');
  const pendingLinks = [{ path: 'l', target: 'way/sub/f' }];
  await expect(merge({ pendingLinks })).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
});

test('what is removed changes no time of a directory that the layer does not list', async () => {
  await mkdir(join(target, 'd'));
  await writeFile(join(target, 'd/f'), '');
  await utimes(join(target, 'd'), 1, 2);
  await mkdir(join(layer, 'd'));
  await merge({ whiteouts: ['d/f'], implied: ['', 'd'] });
  expect(await readdir(join(target, 'd'))).toEqual([]);
  expect((await stat(join(target, 'd'))).mtimeMs).toBe(2000);
});

test('directories that shut out their owner are no obstacle, and keep their modes', async () => {
  for (const path of ['c/d', 'c/kept']) await mkdir(join(target, path), { recursive: true });
  for (const path of ['c/d/f', 'c/d/gone', 'c/kept/f']) await writeFile(join(target, path), path);
  await mkdir(join(layer, 'c/e'), { recursive: true });
  const closed = ['c/d', 'c/kept', 'c'];
  for (const path of closed) await chmod(join(target, path), 0);
  for (const path of ['c/e', 'c']) await chmod(join(layer, path), 0);
  await merge({
    implied: ['', 'c'],
    whiteouts: ['c/d/gone'],
    opaques: ['c/kept'],
    pendingLinks: [{ path: 'c/e/l', target: 'c/d/f' }],
  });
  expect((await stat(join(target, 'c'))).mode & 0o7777).toBe(0);
  await chmod(join(target, 'c'), 0o700);
  for (const path of ['c/d', 'c/e', 'c/kept']) {
    expect((await stat(join(target, path))).mode & 0o7777, path).toBe(0);
    await chmod(join(target, path), 0o700);
  }
  expect(await readdir(join(target, 'c/d'))).toEqual(['f']);
  expect(await readdir(join(target, 'c/kept'))).toEqual([]);
  expect((await stat(join(target, 'c/e/l'))).ino).toBe((await stat(join(target, 'c/d/f'))).ino);
});

test('a file takes the place of another link to itself', async () => {
  await writeFile(join(target, 'f'), 'same');
  await link(join(target, 'f'), join(target, 'g'));
  await merge({ pendingLinks: [{ path: 'g', target: 'f' }] });
  expect((await readdir(target)).sort()).toEqual(['f', 'g']);
  expect(await readdir(layer)).toEqual([]);
});

test('a link whose target the layer makes anew keeps the lower file', async () => {
  await writeFile(join(target, 'f'), 'lower');
  await writeFile(join(layer, 'f'), 'upper');
  await merge({ pendingLinks: [{ path: 'kept', target: 'f' }] });
  expect(await readFile(join(target, 'kept'), 'utf8')).toBe('lower');
  expect(await readFile(join(target, 'f'), 'utf8')).toBe('upper');
});

test('times of symlinks and directories arrive as they were', async () => {
  await mkdir(join(layer, 'd'));
  await symlink('x', join(layer, 'd/s'));
  await lutimes(join(layer, 'd/s'), 5, 6);
  await utimes(join(layer, 'd'), 7, 8);
  await mkdir(join(target, 'd'));
  await merge({});
  expect((await stat(join(target, 'd'))).mtimeMs).toBe(8000);
});
