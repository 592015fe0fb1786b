import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { snapshotterSuite, writableDirectory } from '../../suites/snapshotter.js';
import { archive, file } from '../../support/tar-builder.js';
import { createSnapshots } from '../../support/unpack-fixture.js';

snapshotterSuite('native', () => createSnapshots('native'));

test('mounts are bind mounts, and a view shows its parent itself', async () => {
  await using snapshots = await createSnapshots('native');
  const { snapshotter, root } = snapshots;
  const fs = (number: number): string => join(root, 'snapshots', String(number), 'fs');
  expect(await snapshotter.prepare('k1')).toEqual([
    { type: 'bind', source: fs(1), options: ['rw', 'rbind'] },
  ]);
  await snapshotter.commit('k1', 'one');
  expect(await snapshotter.view('v1', 'one')).toEqual([
    { type: 'bind', source: fs(1), options: ['ro', 'rbind'] },
  ]);
  expect(await snapshotter.viewMounts('one')).toEqual(await snapshotter.mounts('v1'));
  await expect(snapshotter.viewMounts('v1')).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
  await expect(snapshotter.viewMounts('nowhere')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
  expect(await snapshotter.prepare('k2', 'one')).toEqual([
    { type: 'bind', source: fs(3), options: ['rw', 'rbind'] },
  ]);
  expect(await snapshotter.layerPaths('one')).toEqual([fs(1)]);
});

test('usage is that of the whole tree, as it would be without reflinks', async () => {
  await using snapshots = await createSnapshots('native');
  const { snapshotter } = snapshots;
  const base = writableDirectory(await snapshotter.prepare('k1'));
  await writeFile(join(base, 'large'), Buffer.alloc(1 << 20, 1));
  await snapshotter.commit('k1', 'base');
  await snapshotter.prepare('k2', 'base');
  expect(await snapshotter.usage('k2')).toEqual(await snapshotter.usage('base'));
});

test('a layer is not left beside the tree that it became', async () => {
  await using snapshots = await createSnapshots('native');
  await snapshots.unpacker.unpack([await snapshots.layer(archive(file('a')))]);
  const [number] = await snapshots.directories();
  expect(await snapshots.directories()).toHaveLength(1);
  expect((await readdir(join(snapshots.root, 'snapshots', number ?? ''))).sort()).toEqual([
    'fs',
    'snapshot.json',
  ]);
});
