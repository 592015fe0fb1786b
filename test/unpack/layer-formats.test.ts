import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, MEDIA_TYPES, unpackLimits } from '../../src/spec/index.js';
import type { ApplyResult } from '../../src/unpack/jobs/apply-job.js';
import { applyLayer } from '../../src/unpack/layer/apply-layer.js';
import { decompress, type Compression } from '../../src/unpack/compression/decompress.js';
import { CALLERS } from '../../src/unpack/terms/ownership.js';
import { TarReader } from '../../src/unpack/tar/tar-reader.js';
import {
  eStargz,
  gzipMember,
  skippableFrame,
  zstdChunked,
  zstdFrame,
} from '../support/compressed-builder.js';
import { listing } from '../support/extract-layer.js';
import { archive, directory, END, file, symlink } from '../support/tar-builder.js';

let root = '';
let layer = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'landfall-formats-'));
  layer = join(root, 'layer');
  mkdirSync(layer);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function apply(blob: Buffer, mediaType: string): Promise<ApplyResult> {
  const blobPath = join(root, 'blob');
  writeFileSync(blobPath, blob);
  return applyLayer({
    kind: 'apply',
    digest: digestOf(blob),
    mediaType,
    blobPath,
    blobSize: blob.length,
    directory: layer,
    options: { ownership: CALLERS, devices: true, limits: unpackLimits(), inflate: 'auto' },
  });
}

const PARTS = [directory('d/'), file('d/f', 'content'), symlink('s', 'd/f')];
const TAR = archive(...PARTS);
const TREE = { d: 'dir 755', 'd/f': 'file 644 content', s: 'symlink d/f' };

const BLOBS: Readonly<Record<Compression, Buffer>> = { none: TAR, gzip: gzipSync(TAR), zstd: zstdFrame(TAR) };
const SAID: readonly (readonly [mediaType: string, compression: Compression])[] = [
  [MEDIA_TYPES.ociLayer, 'none'],
  [MEDIA_TYPES.ociLayerGzip, 'gzip'],
  [MEDIA_TYPES.ociLayerZstd, 'zstd'],
  [MEDIA_TYPES.ociNonDistributableLayer, 'none'],
  [MEDIA_TYPES.ociNonDistributableLayerGzip, 'gzip'],
  [MEDIA_TYPES.ociNonDistributableLayerZstd, 'zstd'],
  [MEDIA_TYPES.dockerLayer, 'none'],
  [MEDIA_TYPES.dockerLayerGzip, 'gzip'],
  [MEDIA_TYPES.dockerLayerZstd, 'zstd'],
  [MEDIA_TYPES.dockerForeignLayer, 'none'],
  [MEDIA_TYPES.dockerForeignLayerGzip, 'gzip'],
];
const FOUND: readonly Compression[] = ['none', 'gzip', 'zstd'];

/** image-spec layer.md and media-types.md; Docker's Image Manifest Version 2, Schema 2. */
describe('a layer', () => {
  it.each(SAID.flatMap(([mediaType, said]) => FOUND.map((found) => ({ mediaType, said, found }))))(
    'is read by its bytes: $found, where $mediaType is said',
    async ({ mediaType, said, found }) => {
      const { diffId, compression, warnings } = await apply(BLOBS[found], mediaType);
      expect([compression, diffId]).toEqual([found, digestOf(TAR)]);
      expect(listing(layer)).toEqual(TREE);
      const warning = expect.stringContaining(`though its media type says ${mediaType}`) as string;
      expect(warnings).toEqual(said === found ? [] : [warning]);
    },
  );

  const index = archive(file('stargz.index.json', '{"version":1,"entries":[]}'));
  const landmark = file('.no.prefetch.landmark', '\x0f');
  it('may be eStargz: what that adds are ordinary files', async () => {
    const { compression, diffId, warnings } = await apply(
      eStargz([landmark, ...PARTS], index),
      MEDIA_TYPES.ociLayerGzip,
    );
    expect([compression, warnings]).toEqual(['gzip', []]);
    expect(diffId).toBe(digestOf(Buffer.concat([landmark, ...PARTS, index])));
    expect(listing(layer)).toEqual({
      ...TREE,
      '.no.prefetch.landmark': 'file 644 \x0f',
      'stargz.index.json': 'file 644 {"version":1,"entries":[]}',
    });
  });

  it('may be zstd:chunked: what that adds is skipped', async () => {
    const blob = zstdChunked([...PARTS, END]);
    const { compression, diffId, warnings } = await apply(blob, MEDIA_TYPES.ociLayerZstd);
    expect([compression, diffId, warnings]).toEqual(['zstd', digestOf(TAR), []]);
    expect(listing(layer)).toEqual(TREE);
  });
});

describe('a layer that is cut short', () => {
  async function entriesOf(blob: Buffer): Promise<number> {
    async function* source(): AsyncGenerator<Buffer> {
      yield await Promise.resolve(blob);
    }
    const { chunks } = await decompress(source(), { limits: unpackLimits(), compressedSize: blob.length });
    const ignored = { entry: () => undefined, data: () => undefined, endEntry: () => undefined };
    const reader = new TarReader(ignored);
    for await (const chunk of chunks) reader.push(chunk);
    reader.end();
    return reader.entries;
  }

  it.each([
    { name: 'gzip', blob: BLOBS.gzip },
    {
      name: 'gzip with extra fields',
      blob: gzipMember(TAR, { extra: Buffer.from('SG\0\0'), name: 'layer.tar' }),
    },
    { name: 'zstd', blob: BLOBS.zstd },
    { name: 'zstd without a size', blob: zstdFrame(TAR, { contentSize: false, checksum: true }) },
    { name: 'zstd behind a skippable frame', blob: Buffer.concat([skippableFrame('skip'), BLOBS.zstd]) },
  ])('is refused wherever that is, $name', async ({ name, blob }) => {
    expect(await entriesOf(blob)).toBe(3);
    // A skippable frame alone is a layer without bytes, and so are no bytes at all.
    const whole = name.includes('behind') ? [0, 12] : [0];
    for (let cut = 0; cut < blob.length; cut++) {
      const reading = entriesOf(blob.subarray(0, cut));
      if (whole.includes(cut)) expect(await reading, `cut at ${cut}`).toBe(0);
      else await expect(reading, `cut at ${cut}`).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
    }
  });

  it('is refused in the middle of an entry, though its members or frames are whole', async () => {
    const half = TAR.subarray(0, 1024 + 3);
    for (const blob of [half, gzipSync(half), zstdFrame(half)]) {
      await expect(entriesOf(blob)).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
    }
  });
});
