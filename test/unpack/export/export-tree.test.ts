import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { compress as zstd } from 'zstd-napi';
import { digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { exportTree, type StoredLayer, type UnpackEvent } from '../../../src/unpack/index.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { listArchive } from '../../support/archive-listing.js';
import { collected, exported, storedLayer } from '../../support/exported.js';
import { archive, device, directory, file, hardLink, symlink } from '../../support/tar-builder.js';

const BASE = archive(
  directory('etc', { mtime: 5 }),
  file('etc/a', 'one', { mtime: 6, uid: 7 }),
  file('etc/gone', 'x'),
  symlink('s', 'etc'),
);
const TOP = archive(
  file('etc/.wh.gone'),
  file('etc/b', 'two'),
  hardLink('linked', 'etc/a'),
  file('s/in', 'i'),
);

/** The paths of an archive's members, in their order. */
function members(tar: Buffer): string[] {
  const paths: string[] = [];
  const reader = new TarReader({
    entry: ({ path }) => paths.push(path),
    data: () => undefined,
    endEntry: () => undefined,
  });
  reader.push(tar);
  reader.end();
  return paths;
}

describe('the archive', () => {
  test('ends as archives do', async () => {
    const tar = await exported([BASE, TOP]);
    expect(tar.length % 512).toBe(0);
    expect(tar.subarray(-1024)).toEqual(Buffer.alloc(1024));
  });

  test('of an image without layers is an empty root', async () => {
    const tar = await exported([]);
    expect(listArchive(tar)).toMatchObject({
      '': { type: 'directory', mode: 0o755, owner: '0:0', mtime: 0 },
    });
    expect(members(tar)).toEqual(['./']);
  });

  test('is the same whatever the layers are compressed with and how they arrive', async () => {
    const layers = [BASE, TOP];
    const wanted = await exported(layers);
    const forms: ((tar: Buffer) => StoredLayer)[] = [
      (tar) => storedBlob(tar, tar, MEDIA_TYPES.ociLayer),
      (tar) => storedBlob(tar, zstd(tar), MEDIA_TYPES.ociLayerZstd),
      (tar) => ({
        ...storedLayer(tar),
        open: () => Promise.resolve(inPieces(gzipSync(tar, { level: 1 }), 7)),
      }),
      (tar) => ({
        ...storedBlob(tar, tar, MEDIA_TYPES.ociLayer),
        open: () => Promise.resolve(inPieces(tar, 100)),
      }),
    ];
    for (const form of forms) {
      expect(await collected(await exportTree(layers.map(form)))).toEqual(wanted);
    }
  });

  test('keeps to the order of an archive that has one directory after the other, and repeats none', async () => {
    const tar = archive(
      directory('b', { mtime: 1 }),
      directory('b/c', { mtime: 2 }),
      symlink('b/c/s', '/x'),
      file('b/c/f', 'x'),
      file('b/z'),
      directory('a', { mtime: 3 }),
      file('a/f'),
      file('a.txt'),
    );
    expect(members(await exported([tar]))).toEqual(
      ['', 'b/', 'b/c/', 'b/c/s', 'b/c/f', 'b/z', 'a/', 'a/f', 'a.txt'].map((path) => `./${path}`),
    );
  });

  test('repeats what is come back to at its end, with its symlinks, and lets nothing be inherited before', async () => {
    const attributes = { mode: 0o2555, mtime: 1, xattrs: { 'system.posix_acl_default': 'acl' } };
    const lower = archive(directory('d', attributes), symlink('d/s', '/x'), file('d/one'), file('e'));
    const upper = archive(file('d/two'));
    const tar = await exported([lower, upper]);
    expect(members(tar)).toEqual(['./', './d/', './d/one', './e', './d/two', './d/', './d/s']);
    const first: unknown[] = [];
    const reader = new TarReader({
      entry: ({ path, mode, xattrs }) => path === './d/' && first.push([mode, xattrs.size]),
      data: () => undefined,
      endEntry: () => undefined,
    });
    reader.push(tar);
    expect(first).toEqual([
      [0o755, 0],
      [0o2555, 1],
    ]);
    expect(listArchive(tar)['d']).toMatchObject({ mode: 0o2555, mtime: 1 });
  });

  test('holds no more than some hundred kilobytes at a time', async () => {
    const content = Buffer.alloc(5_000_000, 'x');
    const links = Array.from({ length: 3000 }, (_, i) => hardLink(`l${i}`, 'big'));
    const layer = storedLayer(archive(file('big', content), ...links));
    const sizes: number[] = [];
    for await (const { length } of await exportTree([layer])) sizes.push(length);
    expect(Math.max(...sizes)).toBeLessThan(1_000_000);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(content.length + 3000 * 512);
  });
});

describe('before the first byte', () => {
  const bad = (...parts: Buffer[]): StoredLayer[] => [storedLayer(BASE), storedLayer(archive(...parts))];
  const other = storedLayer(TOP);

  test.each<[name: string, code: string, layers: StoredLayer[]]>([
    ['a blob that is another', 'DIGEST_MISMATCH', [{ ...storedLayer(BASE), open: () => other.open() }]],
    [
      'a blob that is damaged, whatever its archive is then',
      'DIGEST_MISMATCH',
      [{ ...other, open: () => Promise.resolve(Readable.from([Buffer.from('no archive')])) }],
    ],
    [
      'an archive that is another',
      'DIFF_ID_MISMATCH',
      [storedLayer(BASE), { ...other, diffId: digestOf(BASE) }],
    ],
    ['an archive that is cut short', 'BAD_ARCHIVE', [storedLayer(BASE.subarray(0, 1000))]],
    ['a path that leads out', 'UNSAFE_PATH', bad(file('../x'))],
    ['a whiteout as overlayfs has it', 'UNSUPPORTED_ENTRY', bad(device('c', 'x', 0, 0))],
    ['a hard link to nothing', 'BAD_ARCHIVE', bad(hardLink('l', 'nothing'))],
    ['a hard link to what the layer deletes', 'BAD_ARCHIVE', bad(hardLink('l', 'etc/a'), file('etc/.wh.a'))],
    ['a hard link to a lower directory', 'BAD_ARCHIVE', bad(hardLink('l', 'etc'))],
  ])('%s is refused', async (_, code, layers) => {
    const error: unknown = await exportTree(layers).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code });
    const digest = layers.at(-1)?.descriptor.digest;
    const { layer, digest: reported } = (error as { details: { layer?: string; digest?: string } }).details;
    expect(layer ?? reported).toBe(digest);
  });
});

test('a hard link to what its own layer deletes is called that', async () => {
  const layers = [BASE, archive(hardLink('l', 'etc/a'), file('etc/.wh.a'))];
  await expect(exported(layers)).rejects.toThrow(
    /"l": a hard link to "etc\/a", which the layer itself deletes/,
  );
});

describe('a blob that changes after it was verified', () => {
  const layer = storedLayer(BASE);
  test.each<[name: string, later: Buffer]>([
    [
      'in its content',
      gzipSync(archive(directory('etc'), file('etc/a', 'two'), file('etc/gone'), symlink('s', 'etc'))),
    ],
    ['in what its entries are', gzipSync(archive(directory('etc'), directory('etc/a')))],
    ['in the size of a file', gzipSync(archive(directory('etc'), file('etc/a', 'longer than before')))],
    ['to one without entries', gzipSync(archive())],
    ['to what is no layer', Buffer.from('no layer')],
    ['to nothing', Buffer.alloc(0)],
  ])('%s makes the archive fail, without an end', async (_, later) => {
    let opened = 0;
    const open = (): Promise<Readable> =>
      ++opened === 1 ? layer.open() : Promise.resolve(Readable.from([later]));
    const chunks: Buffer[] = [];
    const reading = (async () => {
      for await (const chunk of await exportTree([{ ...layer, open }])) chunks.push(chunk);
    })();
    await expect(reading).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(chunks.length).toBeGreaterThan(0);
    expect(Buffer.concat(chunks).subarray(-1024)).not.toEqual(Buffer.alloc(1024));
  });
});

describe('blobs are closed', () => {
  /** A layer that remembers what was opened. */
  function watched(tar: Buffer): { readonly layer: StoredLayer; readonly opened: Readable[] } {
    const opened: Readable[] = [];
    const open = (): Promise<Readable> => {
      const source = inPieces(tar, 512);
      opened.push(source);
      return Promise.resolve(source);
    };
    return { layer: { ...storedBlob(tar, tar, MEDIA_TYPES.ociLayer), open }, opened };
  }
  const long = archive(...Array.from({ length: 100 }, (_, i) => file(`f${i}`, 'x')));

  test('when the archive is whole', async () => {
    const { layer, opened } = watched(long);
    await collected(await exportTree([layer]));
    expect(opened.map(({ destroyed }) => destroyed)).toEqual([true, true]);
  });

  test('when its reader stops early', async () => {
    const { layer, opened } = watched(long);
    let chunks = 0;
    for await (const chunk of await exportTree([layer])) if (chunk.length > 0 && ++chunks === 3) break;
    expect(opened.map(({ destroyed }) => destroyed)).toEqual([true, true]);
  });

  test.each([
    ['while the layers are verified', 'unpacking', 1],
    ['while the archive is written', 'unpacked', 2],
  ])('on an abort %s', async (_, state, times) => {
    const controller = new AbortController();
    const { layer, opened } = watched(long);
    const onEvent = (event: UnpackEvent): void => {
      if (event.type === 'layer' && event.state === state) controller.abort();
    };
    const exporting = exportTree([layer], { signal: controller.signal, onEvent }).then(collected);
    await expect(exporting).rejects.toMatchObject({ code: 'ABORTED' });
    expect(opened.map(({ destroyed }) => destroyed)).toEqual(Array.from({ length: times }, () => true));
  });
});

test('tells what it does, and warns as unpacking does', async () => {
  const events: UnpackEvent[] = [];
  const plain = storedBlob(TOP, TOP, MEDIA_TYPES.ociLayerGzip);
  await collected(await exportTree([storedLayer(BASE), plain], { onEvent: (event) => events.push(event) }));
  const states = events.flatMap((event) =>
    event.type === 'layer' ? [`${event.diffId} ${event.state}`] : [],
  );
  const [lower, upper] = [digestOf(BASE), digestOf(TOP)];
  expect([...new Set(states)]).toEqual(
    ['unpacking', 'unpacked']
      .map((state) => `${lower} ${state}`)
      .concat(['unpacking', 'unpacked'].map((state) => `${upper} ${state}`))
      .concat([`${lower} committed`, `${upper} committed`]),
  );
  expect(events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))).toEqual([
    expect.stringContaining('is not compressed, though its media type says'),
    expect.stringContaining('is a symlink in a lower layer and becomes a directory here'),
  ]);
});

function storedBlob(tar: Buffer, blob: Buffer, mediaType: string): StoredLayer {
  const descriptor = { mediaType, digest: digestOf(blob), size: blob.length };
  return { descriptor, diffId: digestOf(tar), open: () => Promise.resolve(Readable.from([blob])) };
}

function inPieces(blob: Buffer, bytes: number): Readable {
  const count = Math.ceil(blob.length / bytes);
  return Readable.from(Array.from({ length: count }, (_, i) => blob.subarray(i * bytes, (i + 1) * bytes)));
}
