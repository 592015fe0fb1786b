import { join } from 'node:path';
import { readdir, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { snapshotterSuite, writableDirectory } from '../../suites/snapshotter.js';
import { isRoot } from '../../support/needs-root.js';
import { archive, directory, file } from '../../support/tar-builder.js';
import { contents, TreeLister } from '../../support/tree-lister.js';
import { createSnapshots } from '../../support/unpack-fixture.js';

/** Without privileges, overlayfs keeps its marks where this user can set them. */
const USERXATTR = isRoot ? [] : ['userxattr'];

snapshotterSuite('overlay', () => createSnapshots('overlay'));

test('usage is that of what the snapshot itself changes', async () => {
  await using snapshots = await createSnapshots('overlay');
  const { snapshotter } = snapshots;
  const base = writableDirectory(await snapshotter.prepare('k1'));
  await writeFile(join(base, 'large'), Buffer.alloc(1 << 20, 1));
  await snapshotter.commit('k1', 'base');
  const child = writableDirectory(await snapshotter.prepare('k2', 'base'));
  const empty = await snapshotter.usage('k2');
  await writeFile(join(child, 'small'), Buffer.alloc(64 * 1024, 1));
  expect(empty.inodes).toBe(1);
  expect(await snapshotter.usage('k2')).toEqual({ inodes: 2, size: empty.size + 64 * 1024 });
});

test('mounts are those of containerd: bind without a parent and of one layer, else overlay with the topmost first', async () => {
  await using snapshots = await createSnapshots('overlay');
  const { snapshotter, root } = snapshots;
  const fs = (number: number): string => join(root, 'snapshots', String(number), 'fs');
  expect(await snapshotter.prepare('k1')).toEqual([
    { type: 'bind', source: fs(1), options: ['rw', 'rbind'] },
  ]);
  await snapshotter.commit('k1', 'one');
  expect(await snapshotter.view('v1', 'one')).toEqual([
    { type: 'bind', source: fs(1), options: ['ro', 'rbind'] },
  ]);
  expect(await snapshotter.prepare('k2', 'one')).toEqual([
    {
      type: 'overlay',
      source: 'overlay',
      options: [
        `workdir=${join(root, 'snapshots/3/work')}`,
        `upperdir=${fs(3)}`,
        `lowerdir=${fs(1)}`,
        ...USERXATTR,
      ],
    },
  ]);
  await snapshotter.commit('k2', 'two');
  expect(await snapshotter.view('v2', 'two')).toEqual([
    { type: 'overlay', source: 'overlay', options: [`lowerdir=${fs(3)}:${fs(1)}`, ...USERXATTR] },
  ]);
  expect(await snapshotter.viewMounts('two')).toEqual(await snapshotter.mounts('v2'));
  await expect(snapshotter.viewMounts('v2')).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
  await expect(snapshotter.viewMounts('nowhere')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
});

test('a view of one layer whose root is opaque is no bind mount, which would show the mark', async () => {
  await using snapshots = await createSnapshots('overlay');
  const { snapshotter, root } = snapshots;
  const unpacked = await snapshots.unpacker.unpack([
    await snapshots.layer(archive(file('old'))),
    await snapshots.layer(archive(file('.wh..wh..opq'), file('new'))),
  ]);
  const [, top] = unpacked;
  const [mount] = await snapshotter.view('v', top?.chainId);
  const [fs = ''] = await snapshotter.layerPaths(top?.chainId ?? '');
  const empty = join(root, 'snapshots/empty');
  expect(mount).toMatchObject({ type: 'overlay', options: [`lowerdir=${fs}:${empty}`, ...USERXATTR] });
  expect(await readdir(empty)).toEqual([]);
  expect(await snapshotter.viewMounts(top?.chainId ?? '')).toEqual([mount]);
  const { removed } = await snapshotter.removeOrphans();
  expect(removed).toEqual([]);
});

test('an opaque root hides all layers below, which the kernel alone would merge', async () => {
  await using snapshots = await createSnapshots('overlay');
  await using lister = new TreeLister();
  const unpacked = await snapshots.unpacker.unpack([
    await snapshots.layer(archive(file('old'))),
    await snapshots.layer(archive(file('.wh..wh..opq'), file('new', 'n'))),
    await snapshots.layer(archive(file('newer', 'm'))),
  ]);
  const mounts = await snapshots.snapshotter.view('v', unpacked[2]?.chainId);
  expect(contents(await lister.mounted(mounts))).toEqual({ '': 'directory', new: 'n', newer: 'm' });
});

test('a chain of 60 layers mounts and reads right', async () => {
  await using snapshots = await createSnapshots('overlay');
  await using lister = new TreeLister();
  const numbers = Array.from({ length: 60 }, (_, i) => i);
  const unpacked = await snapshots.unpacker.unpack(
    await Promise.all(
      numbers.map((i) =>
        snapshots.layer(
          archive(directory('d'), file('d/last', `${i}`), file(`d/f${i}`, `${i}`), file(`d/.wh.f${i - 2}`)),
        ),
      ),
    ),
  );
  const top = unpacked.at(-1)?.chainId;
  const mounts = await snapshots.snapshotter.prepare('k', top);
  await writeFile(join(writableDirectory(mounts), 'own'), 'mine');
  const expected = { '': 'directory', d: 'directory', 'd/f58': '58', 'd/f59': '59', 'd/last': '59' };
  expect(contents(await lister.mounted(mounts))).toEqual({ ...expected, own: 'mine' });
  expect(contents(await lister.mounted(await snapshots.snapshotter.view('v', top)))).toEqual(expected);
  expect(await snapshots.snapshotter.layerPaths(top ?? '')).toHaveLength(60);
});

test('a whiteout of what no lower layer has leaves nothing behind', async () => {
  await using snapshots = await createSnapshots('overlay');
  await using lister = new TreeLister();
  const [layer] = await snapshots.unpacker.unpack([
    await snapshots.layer(archive(directory('d', { mtime: 7 }), file('d/.wh.nothing'))),
  ]);
  const listing = await lister.mounted(await snapshots.snapshotter.view('v', layer?.chainId));
  expect(contents(listing)).toEqual({ '': 'directory', d: 'directory' });
  expect(listing['d']?.mtime).toBe(7);
});
