import { chown, lstat, mkdir, readFile, readlink, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chainIds, type Digest } from '../../../src/spec/index.js';
import {
  NativeSnapshotter,
  OverlaySnapshotter,
  type SnapshotterOptions,
  Unpacker,
  type LayerInput,
} from '../../../src/unpack/index.js';
import type { AdditionalSnapshots } from '../../../src/unpack/snapshotters/adopt-chain.js';
import { filesBelow } from '../../support/files-below.js';
import { isRoot } from '../../support/needs-root.js';
import { archive, directory, file } from '../../support/tar-builder.js';
import { contents, TreeLister } from '../../support/tree-lister.js';
import { createSnapshots, type SnapshotFixture, type SnapshotterKind } from '../../support/unpack-fixture.js';

type Spoiling = [name: string, spoil: (baked: SnapshotFixture) => Promise<unknown>];

const GIVEN_AWAY: Spoiling = [
  'another user made them',
  (baked) => chown(join(baked.root, 'snapshots'), 1234, 1234),
];

const IMAGE = { '': 'directory', d: 'directory', 'd/b': 'b', c: 'c' };

/** Three layers, of which the second hides something of the first. */
function layersIn(fixture: SnapshotFixture): Promise<LayerInput[]> {
  return Promise.all(
    [
      archive(directory('d'), file('d/a', 'a')),
      archive(directory('d'), file('d/.wh.a'), file('d/b', 'b')),
      archive(file('c', 'c')),
    ].map((tar) => fixture.layer(tar)),
  );
}

/** A snapshotter over a root that uses other stores. */
function joining(
  kind: SnapshotterKind,
  fixture: SnapshotFixture,
  additional: readonly AdditionalSnapshots[],
  o: Pick<SnapshotterOptions, 'syncfs'> = {},
): { snapshotter: OverlaySnapshotter | NativeSnapshotter; unpacker: Unpacker } {
  const { root, database, pool } = fixture;
  const options = { root, database, pool, additional, ...o };
  const snapshotter = kind === 'overlay' ? new OverlaySnapshotter(options) : new NativeSnapshotter(options);
  return { snapshotter, unpacker: new Unpacker({ snapshotter, pool }) };
}

/** Fails where a layer has to be opened: what an additional store has is not unpacked. */
function unopened(layers: readonly LayerInput[]): LayerInput[] {
  return layers.map((layer) => ({
    ...layer,
    open: () => Promise.reject(new Error(`${layer.diffId} was opened`)),
  }));
}

function topOf(layers: readonly { readonly chainId: Digest }[]): Digest {
  const top = layers.at(-1);
  if (top === undefined) throw new Error('there are no layers');
  return top.chainId;
}

const linkOf = (fixture: SnapshotFixture, number: number): string =>
  join(fixture.root, 'snapshots', `${number}`, 'fs');

describe.each(['overlay', 'native'] as const)('%s snapshots of an additional store', (kind) => {
  test('are used where they lie: nothing is unpacked, nothing is written there, and the tree is right', async () => {
    await using baked = await createSnapshots(kind);
    await using main = await createSnapshots(kind);
    await using lister = new TreeLister();
    const layers = await layersIn(baked);
    await baked.unpacker.unpack(layers);
    const before = await filesBelow(join(baked.root, 'snapshots'));
    const { snapshotter, unpacker } = joining(kind, main, [baked]);
    const unpacked = await unpacker.unpack(unopened(layers));
    expect(unpacked.map(({ reused }) => reused)).toEqual([true, true, true]);
    const top = unpacked.at(-1)?.chainId ?? '';
    expect(contents(await lister.mounted(await snapshotter.viewMounts(top)))).toEqual(IMAGE);
    expect(await filesBelow(join(baked.root, 'snapshots'))).toEqual(before);
    const paths = await snapshotter.layerPaths(top);
    expect(paths).toEqual(await baked.snapshotter.layerPaths(top));
    expect(JSON.stringify(await snapshotter.viewMounts(top))).not.toContain(main.root);
  });

  test('have rows, parents and files like any other, and take nothing here', async () => {
    await using baked = await createSnapshots(kind);
    await using main = await createSnapshots(kind);
    const layers = await layersIn(baked);
    const ids = chainIds(layers.map(({ diffId }) => diffId));
    await baked.unpacker.unpack(layers);
    const { snapshotter } = joining(kind, main, [baked]);
    const [bottom, middle] = ids;
    const top = topOf(ids.map((chainId) => ({ chainId })));
    // Asked for the topmost alone, its parents come with it.
    expect(await snapshotter.findChain(top)).toMatchObject({ kind: 'committed', parent: middle });
    expect(await snapshotter.stat(middle ?? '')).toMatchObject({ name: middle, parent: bottom });
    const directories = await main.directories();
    expect(directories).toHaveLength(3);
    for (const number of directories.map(Number)) {
      expect(await readlink(linkOf(main, number))).toMatch(new RegExp(`^${baked.root}/snapshots/\\d+/fs$`));
      const described = JSON.parse(
        await readFile(join(main.root, 'snapshots', `${number}`, 'snapshot.json'), 'utf8'),
      ) as { chainId: Digest; parent: string | null; diffId: Digest };
      const at = ids.indexOf(described.chainId);
      expect(described).toMatchObject({ parent: ids[at - 1] ?? null, diffId: layers[at]?.diffId });
    }
    const usages = await Promise.all(ids.map(async (id) => (await snapshotter.usage(id)).size));
    // A file system keeps a short symlink in its inode, and gives a long one a block.
    const links = await Promise.all(directories.map((number) => lstat(linkOf(main, Number(number)))));
    expect(usages).toEqual(links.map(({ blocks }) => blocks * 512));
  });

  test('take layers of this store on top of them', async () => {
    await using baked = await createSnapshots(kind);
    await using main = await createSnapshots(kind);
    await using lister = new TreeLister();
    const layers = await layersIn(baked);
    await baked.unpacker.unpack(layers);
    const { snapshotter, unpacker } = joining(kind, main, [baked]);
    const own = await main.layer(archive(file('d/.wh.b'), file('own', 'own')));
    const unpacked = await unpacker.unpack([...unopened(layers), own]);
    expect(unpacked.map(({ reused }) => reused)).toEqual([true, true, true, false]);
    const mounts = await snapshotter.prepare('k', unpacked.at(-1)?.chainId);
    expect(contents(await lister.mounted(mounts))).toEqual({
      '': 'directory',
      d: 'directory',
      c: 'c',
      own: 'own',
    });
  });

  test('are collected as links, and never as what they lead to', async () => {
    await using baked = await createSnapshots(kind);
    await using main = await createSnapshots(kind);
    const layers = await layersIn(baked);
    const top = topOf(await baked.unpacker.unpack(layers));
    const before = await filesBelow(join(baked.root, 'snapshots'));
    const { snapshotter } = joining(kind, main, [baked]);
    await snapshotter.findChain(top);
    const sweep = (retained: readonly string[]): ReturnType<typeof snapshotter.sweep> =>
      main.database.transaction((tx) => snapshotter.sweep(tx, { retained: new Set(retained) }));
    expect((await sweep([top])).names).toEqual([]);
    const swept = await sweep([]);
    expect(swept.names).toHaveLength(3);
    await snapshotter.removeSwept(swept);
    await snapshotter.removeOrphans();
    expect(await main.directories()).toEqual([]);
    expect(await filesBelow(join(baked.root, 'snapshots'))).toEqual(before);
    expect(await snapshotter.findChain(top)).toBeDefined();
  });

  test('are unpacked anew in their place when that store is gone', async () => {
    await using baked = await createSnapshots(kind);
    await using main = await createSnapshots(kind);
    await using lister = new TreeLister();
    const layers = await layersIn(baked);
    const top = topOf(await baked.unpacker.unpack(layers));
    const joined = joining(kind, main, [baked]);
    await joined.snapshotter.findChain(top);
    await joined.snapshotter.usage(top);
    const numbers = await main.directories();
    await rename(join(baked.root, 'snapshots'), join(baked.root, 'away'));
    expect(await joined.snapshotter.findChain(top)).toBeUndefined();
    await main.unpacker.unpack(layers);
    expect((await main.directories()).filter((name) => !name.startsWith('.'))).toEqual(
      expect.arrayContaining(numbers),
    );
    for (const number of numbers)
      expect((await lstat(linkOf(main, Number(number)))).isDirectory()).toBe(true);
    expect(contents(await lister.mounted(await main.snapshotter.viewMounts(top)))).toEqual(IMAGE);
    expect((await main.snapshotter.usage(top)).size).toBeGreaterThan(0);
  });

  test('are found again where their store is mounted elsewhere', async () => {
    await using baked = await createSnapshots(kind);
    await using main = await createSnapshots(kind);
    await using moved = await createSnapshots(kind);
    const layers = await layersIn(baked);
    const top = topOf(await baked.unpacker.unpack(layers));
    await joining(kind, main, [baked]).snapshotter.findChain(top);
    await rename(join(baked.root, 'snapshots'), join(moved.root, 'snapshots'));
    const { snapshotter } = joining(kind, main, [{ root: moved.root, database: baked.database }]);
    expect(await snapshotter.findChain(top)).toBeDefined();
    expect((await snapshotter.layerPaths(top)).every((path) => path.startsWith(moved.root))).toBe(true);
  });

  test.each<Spoiling>([
    ['a layer is missing', (baked) => rm(linkOf(baked, 1), { recursive: true })],
    // Only root can give them to somebody else.
    ...(isRoot ? [GIVEN_AWAY] : []),
    ['there are none', (baked) => rm(join(baked.root, 'snapshots'), { recursive: true })],
    [
      'a parent is no verified layer',
      (baked) => baked.database.run('DELETE FROM chains WHERE snapshot_id = 2'),
    ],
    [
      'their parents were mixed up',
      (baked) => baked.database.run('UPDATE snapshots SET parent_id = NULL WHERE id = 2'),
    ],
  ])('are left alone, and the next store is asked, where %s', async (_, spoil) => {
    await using baked = await createSnapshots(kind);
    await using next = await createSnapshots(kind);
    await using main = await createSnapshots(kind);
    const layers = await layersIn(baked);
    // One after the other, so that the numbers are those of the layers.
    for (const [i] of layers.entries()) await baked.unpacker.unpack(layers.slice(0, i + 1));
    const top = topOf(await next.unpacker.unpack(layers));
    await spoil(baked);
    expect(await joining(kind, main, [baked]).snapshotter.findChain(top)).toBeUndefined();
    expect(await main.directories()).toEqual([]);
    const { snapshotter } = joining(kind, main, [baked, next]);
    expect(await snapshotter.findChain(top)).toBeDefined();
    expect((await snapshotter.layerPaths(top)).every((path) => path.startsWith(next.root))).toBe(true);
  });

  test('come from the first store that has them, though a later one has the whole image', async () => {
    await using first = await createSnapshots(kind);
    await using second = await createSnapshots(kind);
    await using main = await createSnapshots(kind);
    const layers = await layersIn(first);
    await first.unpacker.unpack(layers.slice(0, 2));
    const ids = (await second.unpacker.unpack(layers)).map(({ chainId }) => chainId);
    const { snapshotter } = joining(kind, main, [first, second]);
    await Promise.all(ids.map((chainId) => snapshotter.findChain(chainId)));
    const roots = await Promise.all(
      ids.map(async (chainId) => (await snapshotter.layerPaths(chainId))[0]?.replace(/\/snapshots\/.*/, '')),
    );
    expect(roots).toEqual([first.root, first.root, second.root]);
  });

  test('of another kind are not found', async () => {
    await using baked = await createSnapshots(kind === 'overlay' ? 'native' : 'overlay');
    await using main = await createSnapshots(kind);
    const top = topOf(await baked.unpacker.unpack(await layersIn(baked)));
    expect(await joining(kind, main, [baked]).snapshotter.findChain(top)).toBeUndefined();
  });
});

test('a chain of 40 layers is taken into use once, by however many ask for it, with few syncs', async () => {
  await using baked = await createSnapshots('overlay');
  await using main = await createSnapshots('overlay');
  const layers = await Promise.all(
    Array.from({ length: 40 }, (_, i) => baked.layer(archive(file(`f${i}`, `${i}`)))),
  );
  await baked.unpacker.unpack(layers);
  let syncs = 0;
  const syncfs = (): Promise<void> => {
    syncs += 1;
    return Promise.resolve();
  };
  const { unpacker } = joining('overlay', main, [baked], { syncfs });
  await Promise.all([unpacker.unpack(unopened(layers)), unpacker.unpack(unopened(layers))]);
  // Another process at the same moment.
  await using other = await main.reopen();
  await joining('overlay', other, [baked]).unpacker.unpack(unopened(layers));
  const numbers = (await main.directories()).map(Number);
  expect(numbers).toHaveLength(40);
  // Numbers are never given twice, so nothing was made in vain.
  expect(Math.max(...numbers)).toBe(40);
  expect(await main.database.all("SELECT id FROM snapshots WHERE kind <> 'committed'")).toEqual([]);
  // How many are ready at the same moment is the machine's affair; one for each layer it never is.
  expect(syncs).toBeLessThan(20);
});

test('two processes that take a chain into use at once make one of it', async () => {
  await using baked = await createSnapshots('overlay');
  await using main = await createSnapshots('overlay');
  await using other = await main.reopen();
  const layers = await layersIn(baked);
  const ids = chainIds(layers.map(({ diffId }) => diffId));
  await baked.unpacker.unpack(layers);
  const top = topOf(ids.map((chainId) => ({ chainId })));
  const both = [main, other].map((fixture) => joining('overlay', fixture, [baked]).snapshotter);
  const found = await Promise.all(both.map((snapshotter) => snapshotter.findChain(top)));
  expect(found.map((info) => info?.name)).toEqual([top, top]);
  expect(await main.directories()).toHaveLength(3);
  expect(await main.database.all("SELECT id FROM snapshots WHERE kind <> 'committed'")).toEqual([]);
});

test('what cannot be linked leaves nothing behind', async () => {
  await using baked = await createSnapshots('overlay');
  await using main = await createSnapshots('overlay');
  const layers = await layersIn(baked);
  const top = topOf(await baked.unpacker.unpack(layers));
  let isFull = true;
  const syncfs = (): Promise<void> =>
    isFull ? Promise.reject(Object.assign(new Error('disk full'), { code: 'ENOSPC' })) : Promise.resolve();
  const { snapshotter } = joining('overlay', main, [baked], { syncfs });
  await expect(snapshotter.findChain(top)).rejects.toMatchObject({ code: 'NO_SPACE' });
  expect(await main.directories()).toEqual([]);
  expect(await main.database.all('SELECT id FROM snapshots')).toEqual([]);
  isFull = false;
  await mkdir(join(main.root, 'snapshots'), { recursive: true });
  expect(await snapshotter.findChain(top)).toBeDefined();
});
