import { mkdir, writeFile, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ContentError } from '../../src/errors.js';
import { chainIds, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { SharedOffset } from '../../src/system/index.js';
import type { LayerInput, UnpackEvent } from '../../src/unpack/index.js';
import { isRoot } from '../support/needs-root.js';
import { archive, directory, file, hardLink, symlink } from '../support/tar-builder.js';
import { contents, TreeLister } from '../support/tree-lister.js';
import { createSnapshots, type SnapshotFixture, type SnapshotterKind } from '../support/unpack-fixture.js';

const never = new Promise<never>(() => undefined);

describe.each<SnapshotterKind>(['overlay', 'native'])('with the %s snapshotter', (kind) => {
  test('layers become a chain of snapshots that mounts as the image', async () => {
    await using snapshots = await createSnapshots(kind);
    await using lister = new TreeLister();
    const layers = [
      await snapshots.layer(
        archive(directory('etc'), file('etc/a', 'one'), file('etc/gone', 'x'), symlink('l', 'etc')),
      ),
      await snapshots.layer(archive(file('etc/.wh.gone'), file('etc/b', 'two'))),
      await snapshots.layer(archive(file('etc/a', 'three'))),
    ];
    const unpacked = await snapshots.unpacker.unpack(layers);
    const ids = chainIds(layers.map(({ diffId }) => diffId));
    expect(unpacked.map(({ chainId, diffId, reused }) => ({ chainId, diffId, reused }))).toEqual(
      layers.map(({ diffId }, i) => ({ chainId: ids[i], diffId, reused: false })),
    );
    const mounts = await snapshots.snapshotter.view('v', ids[2]);
    expect(contents(await lister.mounted(mounts))).toEqual({
      '': 'directory',
      etc: 'directory',
      'etc/a': 'three',
      'etc/b': 'two',
      l: '-> etc',
    });
    expect(await snapshots.snapshotter.stat(ids[2] ?? '')).toMatchObject({
      kind: 'committed',
      parent: ids[1],
    });
  });

  test('what a layer leaves to its parents: attributes, hard links, and a symlink that becomes a directory', async () => {
    await using snapshots = await createSnapshots(kind);
    await using lister = new TreeLister();
    const events: UnpackEvent[] = [];
    const [, top] = await snapshots.unpacker.unpack(
      [
        await snapshots.layer(
          archive(
            directory('.', { mode: 0o711, mtime: 5 }),
            directory('d', { mode: 0o1770, uid: 7, gid: 8, mtime: 9, xattrs: { 'user.x': 'y' } }),
            file('d/f', 'linked to', { mode: 0o4755, mtime: 11, xattrs: { 'user.f': 'v' } }),
            symlink('s', 'd'),
          ),
        ),
        await snapshots.layer(
          archive(file('d/new', 'n'), hardLink('x/link', 'd/f'), hardLink('again', 'd/f'), file('s/in', 'i')),
        ),
      ],
      { onEvent: (event) => events.push(event) },
    );
    const listing = await lister.mounted(await snapshots.snapshotter.view('v', top?.chainId));
    expect(listing['']).toMatchObject({ mode: 0o711, mtime: 5 });
    // Where it is mounted, who is not root is root of a user namespace.
    const owner = isRoot ? '7:8' : '0:0';
    expect(listing['d']).toMatchObject({ mode: 0o1770, owner, mtime: 9, xattrs: { 'user.x': 'y' } });
    const linked = { content: 'linked to', mode: 0o4755, mtime: 11, nlink: 3, xattrs: { 'user.f': 'v' } };
    for (const path of ['d/f', 'x/link', 'again']) expect(listing[path], path).toMatchObject(linked);
    expect(listing['s']?.type).toBe('directory');
    expect(events.filter(({ type }) => type === 'warning')).toEqual([
      expect.objectContaining({ message: '"s" is a symlink in a lower layer and becomes a directory here' }),
    ]);
  });

  test.each([
    ['nothing', archive(hardLink('l', 'nothing'))],
    ['a directory', archive(hardLink('l', 'd'))],
    ['what an opaque directory of the layer hides', archive(file('d/.wh..wh..opq'), hardLink('l', 'd/f'))],
  ])('a hard link to %s is BAD_ARCHIVE, and what is below stays', async (_, tar) => {
    await using snapshots = await createSnapshots(kind);
    const base = await snapshots.layer(archive(directory('d'), file('d/f', 'x')));
    const bad = await snapshots.layer(tar);
    const unpacked = await snapshots.unpacker.unpack([base]);
    await expect(snapshots.unpacker.unpack([base, bad])).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
    expect(await snapshots.snapshotter.findChain(unpacked[0]?.chainId ?? base.diffId)).toBeDefined();
    expect(await snapshots.directories()).toHaveLength(1);
  });

  test('a lost directory is not found under its chain, and is made again below its children', async () => {
    await using snapshots = await createSnapshots(kind);
    await using lister = new TreeLister();
    const layers = [
      await snapshots.layer(archive(file('a', '1'))),
      await snapshots.layer(archive(file('b', '2'))),
    ];
    const [base, top] = await snapshots.unpacker.unpack(layers);
    const [path = ''] = (await snapshots.snapshotter.layerPaths(base?.chainId ?? '')).slice(-1);
    await rm(join(path, '..'), { recursive: true });
    const again = await snapshots.unpacker.unpack(layers);
    expect(again.map(({ reused }) => reused)).toEqual([false, true]);
    const listing = contents(await lister.mounted(await snapshots.snapshotter.view('v', top?.chainId)));
    expect(listing).toEqual({ '': 'directory', a: '1', b: '2' });
  });
});

test('snapshot.json beside the content says whose it is', async () => {
  await using snapshots = await createSnapshots('overlay');
  const layers = [await snapshots.layer(archive(file('a'))), await snapshots.layer(archive(file('b')))];
  const [base, top] = await snapshots.unpacker.unpack(layers);
  const [path = ''] = await snapshots.snapshotter.layerPaths(top?.chainId ?? '');
  expect(JSON.parse(await readFile(join(path, '../snapshot.json'), 'utf8'))).toEqual({
    name: top?.chainId,
    parent: base?.chainId,
    snapshotter: 'overlay',
    chainId: top?.chainId,
    diffId: top?.diffId,
  });
});

test('a second unpack opens nothing and says that all is present', async () => {
  await using snapshots = await createSnapshots('overlay');
  const layer = await snapshots.layer(archive(file('a')));
  await snapshots.unpacker.unpack([layer]);
  const events: UnpackEvent[] = [];
  const closed: LayerInput = { ...layer, open: () => Promise.reject(new Error('opened')) };
  const [again] = await snapshots.unpacker.unpack([closed], { onEvent: (event) => events.push(event) });
  expect(again).toMatchObject({ reused: true, workMs: 0 });
  expect(events).toMatchObject([{ type: 'layer', state: 'present' }]);
});

test('two images unpack a layer that they share once, also at the same time', async () => {
  await using snapshots = await createSnapshots('overlay');
  let opened = 0;
  const counted = (layer: LayerInput): LayerInput => ({
    ...layer,
    open: (o) => {
      opened += 1;
      return layer.open(o);
    },
  });
  const shared = counted(await snapshots.layer(archive(file('shared'))));
  const own = [await snapshots.layer(archive(file('a'))), await snapshots.layer(archive(file('b')))];
  const both = await Promise.all(own.map((layer) => snapshots.unpacker.unpack([shared, layer])));
  expect(opened).toBe(1);
  expect(both.map(([layer]) => layer?.reused).sort()).toEqual([false, true]);
  expect(await snapshots.directories()).toHaveLength(3);
});

test('who waits for a layer takes over when its owner is aborted', async () => {
  await using snapshots = await createSnapshots('overlay');
  const layer = await snapshots.layer(archive(file('a')));
  const owner = new AbortController();
  let begun: (() => void) | undefined;
  const beginning = new Promise<void>((resolve) => (begun = resolve));
  const stuck: LayerInput = {
    ...layer,
    open: async (o) => {
      begun?.();
      return { ...(await layer.open(o)), shared: new SharedOffset().buffer };
    },
  };
  const first = snapshots.unpacker.unpack([stuck], { signal: owner.signal });
  await beginning;
  const second = snapshots.unpacker.unpack([layer]);
  owner.abort();
  await expect(first).rejects.toMatchObject({ code: 'ABORTED' });
  expect(await second).toMatchObject([{ reused: false }]);
  expect(await snapshots.directories()).toHaveLength(1);
});

test('a layer is unpacked while it arrives, and all layers at the same time', async () => {
  await using snapshots = await createSnapshots('overlay');
  const growing = await Promise.all(
    [0, 1, 2].map((i) => growingLayer(snapshots, archive(file(`f${i}`, `${i}`)))),
  );
  const events: UnpackEvent[] = [];
  const done = snapshots.unpacker.unpack(
    growing.map(({ layer }) => layer),
    { onEvent: (event) => events.push(event) },
  );
  const begun = (): number =>
    new Set(events.flatMap((e) => (e.type === 'layer' && e.state === 'unpacking' ? [e.digest] : []))).size;
  await expect.poll(begun).toBe(3);
  // The topmost first: it waits for those below.
  for (const { finish } of growing.reverse()) finish();
  expect((await done).map(({ reused }) => reused)).toEqual([false, false, false]);
  const order = events.flatMap((e) => (e.type === 'layer' && e.state === 'committed' ? [e.digest] : []));
  expect(order).toEqual(growing.reverse().map(({ layer }) => layer.descriptor.digest));
});

async function growingLayer(
  snapshots: SnapshotFixture,
  tar: Buffer,
): Promise<{ layer: LayerInput; finish: () => void }> {
  const whole = await snapshots.layer(tar);
  const sharedOffset = new SharedOffset();
  sharedOffset.advance(5);
  let verified: (() => void) | undefined;
  const download = new Promise<void>((resolve) => (verified = resolve));
  const layer: LayerInput = {
    ...whole,
    open: async (o) => ({ ...(await whole.open(o)), shared: sharedOffset.buffer, verified: download }),
  };
  const finish = (): void => {
    sharedOffset.advance(whole.descriptor.size);
    sharedOffset.complete();
    verified?.();
  };
  return { layer, finish };
}

describe('a layer that fails leaves no directory and no chain', () => {
  const tar = archive(file('a', 'x'));
  const wrong = new ContentError('DIGEST_MISMATCH', 'the blob is another');
  const rows: readonly (readonly [
    string,
    (whole: LayerInput, root: string) => LayerInput | Promise<LayerInput>,
    object,
  ])[] = [
    [
      'another diffId',
      (whole) => ({ ...whole, diffId: digestOf(Buffer.from('else')) }),
      {
        name: 'UnpackError',
        code: 'DIFF_ID_MISMATCH',
        details: { expected: digestOf(Buffer.from('else')), actual: digestOf(tar) },
      },
    ],
    ['a source that does not open', (whole) => ({ ...whole, open: () => Promise.reject(wrong) }), wrong],
    [
      'a blob that is not verified in the end',
      (whole) => ({
        ...whole,
        open: async (o) => ({ ...(await whole.open(o)), verified: Promise.reject(wrong) }),
      }),
      wrong,
    ],
    [
      'damage that breaks the archive before the digest is known',
      async (whole, root) => {
        await writeFile(join(root, 'damaged'), gzipSync(Buffer.alloc(2048, 1)));
        const verified = (): Promise<void> =>
          new Promise((_, reject) => setTimeout(() => reject(wrong), 300));
        return {
          ...whole,
          open: () => Promise.resolve({ path: join(root, 'damaged'), verified: verified() }),
        };
      },
      wrong,
    ],
    [
      'an archive that is broken though its digest holds',
      async (_, root) => {
        const blob = gzipSync(Buffer.alloc(2048, 1));
        await writeFile(join(root, 'broken'), blob);
        return {
          descriptor: { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(blob), size: blob.length },
          diffId: digestOf(Buffer.alloc(2048, 1)),
          open: () => Promise.resolve({ path: join(root, 'broken'), verified: Promise.resolve() }),
        };
      },
      { code: 'BAD_ARCHIVE' },
    ],
  ];
  test.each(rows)('%s', async (_, spoil, expected) => {
    await using snapshots = await createSnapshots('overlay');
    const whole = await snapshots.layer(tar);
    const spoiled = await spoil(whole, snapshots.root);
    const below = await snapshots.layer(archive(file('below')));
    const unpacking = snapshots.unpacker.unpack([below, spoiled]);
    await expect(unpacking).rejects.toMatchObject(expected);
    const [id, top] = chainIds([below.diffId, spoiled.diffId]);
    expect(top === undefined ? undefined : await snapshots.snapshotter.findChain(top)).toBeUndefined();
    const kept = id !== undefined && (await snapshots.snapshotter.findChain(id)) !== undefined;
    expect(await snapshots.directories()).toHaveLength(kept ? 1 : 0);
  });
});

test('an abort stops every layer and leaves nothing', async () => {
  await using snapshots = await createSnapshots('overlay');
  const controller = new AbortController();
  const layers = await Promise.all(
    [1, 2, 3].map(async (i): Promise<LayerInput> => {
      const whole = await snapshots.layer(archive(file(`f${i}`)));
      return {
        ...whole,
        open: async (o) => ({ ...(await whole.open(o)), shared: new SharedOffset().buffer, verified: never }),
      };
    }),
  );
  let seen = 0;
  const unpacking = snapshots.unpacker.unpack(layers, {
    signal: controller.signal,
    onEvent: () => {
      seen += 1;
      if (seen === 3) controller.abort();
    },
  });
  await expect(unpacking).rejects.toMatchObject({ code: 'ABORTED' });
  expect(await snapshots.directories()).toEqual([]);
  expect(await Promise.all(layers.map(({ diffId }) => snapshots.snapshotter.findChain(diffId)))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test('a chain that another process recorded first wins', async () => {
  await using snapshots = await createSnapshots('overlay');
  await using other = await snapshots.reopen();
  const layers = [await snapshots.layer(archive(file('a'))), await snapshots.layer(archive(file('b')))];
  const [mine, theirs] = await Promise.all([
    snapshots.unpacker.unpack(layers),
    other.unpacker.unpack(layers),
  ]);
  expect(mine.map(({ chainId }) => chainId)).toEqual(theirs.map(({ chainId }) => chainId));
  expect(await snapshots.directories()).toHaveLength(2);
});

test.each([
  ['first', 'this process'],
  ['last', 'this process'],
  ['first', 'another process'],
  ['last', 'another process'],
])(
  'a wrong layer that claims the chain of another, and comes %s, in %s, does not become it',
  async (turn, where) => {
    await using snapshots = await createSnapshots('overlay');
    await using other = await snapshots.reopen();
    await using lister = new TreeLister();
    const layer = await snapshots.layer(archive(file('a', 'right')));
    const wrong = { ...(await snapshots.layer(archive(file('a', 'wrong')))), diffId: layer.diffId };
    const liar = where === 'this process' ? snapshots : other;
    const lying = (): Promise<unknown> => liar.unpacker.unpack([wrong]).catch((error: unknown) => error);
    const lied = turn === 'first' ? lying() : undefined;
    const unpacked = snapshots.unpacker.unpack([layer]);
    // Where the right one was there before, that is what it gets.
    const outcome = await (lied ?? lying());
    if (turn === 'first') expect(outcome).toMatchObject({ code: 'DIFF_ID_MISMATCH' });
    expect(await unpacked).toMatchObject([{ chainId: layer.diffId, reused: false }]);
    const found = await snapshots.snapshotter.findChain(layer.diffId);
    const mounts = await snapshots.snapshotter.view('v', found?.name);
    expect(contents(await lister.mounted(mounts))).toEqual({ '': 'directory', a: 'right' });
  },
);

test('what somebody else named like a chain is not taken for it', async () => {
  await using snapshots = await createSnapshots('overlay');
  await using lister = new TreeLister();
  const layer = await snapshots.layer(archive(file('a', 'right')));
  const { snapshotter } = snapshots;
  await snapshotter.prepare('k');
  await snapshotter.commit('k', layer.diffId);
  expect(await snapshotter.findChain(layer.diffId)).toBeUndefined();
  const [unpacked] = await snapshots.unpacker.unpack([layer]);
  expect(unpacked).toMatchObject({ chainId: layer.diffId, reused: false });
  const found = await snapshotter.findChain(layer.diffId);
  expect(found?.name).not.toBe(layer.diffId);
  const mounts = await snapshotter.view('v', found?.name);
  expect(contents(await lister.mounted(mounts))).toEqual({ '': 'directory', a: 'right' });
});

test('a layer that is being unpacked is no snapshot to anybody', async () => {
  await using snapshots = await createSnapshots('overlay');
  const { snapshotter } = snapshots;
  const begun = await snapshotter.beginLayer();
  expect(await readdir(begun.path)).toEqual([]);
  expect(await snapshotter.stat(begun.key)).toBeUndefined();
  await expect(snapshotter.remove(begun.key)).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
  for await (const info of snapshotter.list()) expect(info).toBeUndefined();
  await mkdir(join(begun.path, 'x'));
  await snapshotter.abandonLayer(begun);
  await snapshotter.abandonLayer(begun);
  expect(await snapshots.directories()).toEqual([]);
});
