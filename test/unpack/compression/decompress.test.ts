import { gzipSync } from 'node:zlib';
import { Compressor, compress as zstd } from 'zstd-napi';
import { describe, expect, it } from 'vitest';
import { unpackLimits } from '../../../src/spec/index.js';
import { decompress, type Compression } from '../../../src/unpack/compression/decompress.js';
import { DAMAGED_GZIP, EXTRA, flipped, TEXT, WHOLE_GZIP } from '../../suites/gzip-rows.js';
import { chunksOf } from '../../support/chunks-of.js';
import { gzipMember, skippableFrame, zstdFrame } from '../../support/compressed-builder.js';
import { needsPeer } from '../../support/peers.js';

async function run(
  bytes: Buffer,
  o: { chunkBytes?: number; maxBytes?: number } = {},
): Promise<[Compression, string]> {
  const source = chunksOf(bytes, o.chunkBytes ?? 64 * 1024);
  const { compression, chunks } = await decompress(source, {
    limits: unpackLimits({ layerBytes: o.maxBytes ?? 1e9 }),
    compressedSize: bytes.length,
  });
  const found: Buffer[] = [];
  for await (const chunk of chunks) found.push(Buffer.from(chunk));
  return [compression, Buffer.concat(found).toString('latin1')];
}

const HALF = TEXT.length >> 1;
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');

const gz = gzipSync(bytesOf(TEXT));
const zst = zstdFrame(bytesOf(TEXT), { checksum: true });
const zeros = Buffer.alloc(10_000);
const ACCEPTED: readonly { name: string; bytes: Buffer; compression: Compression; text?: string }[] = [
  { name: 'nothing', bytes: Buffer.alloc(0), compression: 'none', text: '' },
  { name: 'one byte', bytes: bytesOf('x'), compression: 'none', text: 'x' },
  {
    name: 'the begin of a magic number',
    bytes: bytesOf('\x28\xb5\x2f'),
    compression: 'none',
    text: '\x28\xb5\x2f',
  },
  { name: 'plain bytes', bytes: bytesOf(TEXT), compression: 'none' },
  ...WHOLE_GZIP.map((row) => ({ ...row, compression: 'gzip' as const })),
  { name: 'zstd', bytes: zst, compression: 'zstd' },
  { name: 'zstd of nothing', bytes: zstd(Buffer.alloc(0)), compression: 'zstd', text: '' },
  {
    name: 'zstd of two frames',
    bytes: Buffer.concat([zstd(bytesOf(TEXT.slice(0, HALF))), zstd(bytesOf(TEXT.slice(HALF)))]),
    compression: 'zstd',
  },
  {
    name: 'zstd of a frame that does not say its size',
    bytes: zstdFrame(bytesOf(TEXT), { contentSize: false }),
    compression: 'zstd',
  },
  {
    name: 'zstd with a skippable frame before it',
    bytes: Buffer.concat([skippableFrame('first', 9), zst]),
    compression: 'zstd',
  },
  {
    name: 'zstd with a skippable frame after it',
    bytes: Buffer.concat([zst, skippableFrame('last', 15)]),
    compression: 'zstd',
  },
  {
    name: 'zstd with skippable frames between',
    bytes: Buffer.concat([
      zstdFrame(bytesOf(TEXT.slice(0, HALF))),
      skippableFrame('', 1),
      skippableFrame(Buffer.alloc(70_000, 'x'), 7),
      zstdFrame(bytesOf(TEXT.slice(HALF))),
    ]),
    compression: 'zstd',
  },
  {
    name: 'zstd with a skippable frame and padding',
    bytes: Buffer.concat([zst, skippableFrame('last'), zeros]),
    compression: 'zstd',
  },
  { name: 'a skippable frame alone', bytes: skippableFrame('alone'), compression: 'zstd', text: '' },
  {
    name: 'zstd with an empty frame between',
    bytes: Buffer.concat([
      zstdFrame(bytesOf(TEXT.slice(0, HALF))),
      zstdFrame(Buffer.alloc(0)),
      zstdFrame(bytesOf(TEXT.slice(HALF))),
    ]),
    compression: 'zstd',
  },
  { name: 'zstd padded with zeros', bytes: Buffer.concat([zst, zeros]), compression: 'zstd' },
];

const REFUSED: readonly { name: string; bytes: Buffer; message: RegExp }[] = [
  ...DAMAGED_GZIP,
  { name: 'zstd and one letter', bytes: Buffer.concat([zst, bytesOf('x')]), message: /zstd/ },
  { name: 'zstd and a text', bytes: Buffer.concat([zst, bytesOf('some garbage')]), message: /damaged/ },
  {
    name: 'zstd, zeros and a letter',
    bytes: Buffer.concat([zst, zeros, bytesOf('x')]),
    message: /followed by something else/,
  },
  {
    name: 'zstd, zeros and zstd',
    bytes: Buffer.concat([zst, zeros, zst]),
    message: /followed by something else/,
  },
  { name: 'zstd and half a frame', bytes: Buffer.concat([zst, zst.subarray(0, 20)]), message: /cut short/ },
  {
    name: 'zstd and a skippable frame cut short',
    bytes: Buffer.concat([zst, skippableFrame('abcdef').subarray(0, 12)]),
    message: /cut short/,
  },
  { name: 'zstd with a wrong checksum', bytes: flipped(zst, zst.length - 1), message: /damaged/ },
  {
    name: 'zstd and a frame with a wrong checksum',
    bytes: Buffer.concat([zst, flipped(zst, zst.length - 1)]),
    message: /damaged/,
  },
  {
    name: 'zstd, a skippable frame and a letter',
    bytes: Buffer.concat([zst, skippableFrame('last'), bytesOf('x')]),
    message: /zstd/,
  },
  // RFC 8878 section 3.1.1.1: a frame that names a dictionary, which a layer cannot bring with it.
  {
    name: 'zstd with a dictionary',
    bytes: Buffer.from('28b52ffd210104210000736f6d65', 'hex'),
    message: /dictionary/i,
  },
  { name: 'zstd and gzip', bytes: Buffer.concat([zst, gz]), message: /damaged/ },
];

const badArchive = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'BAD_ARCHIVE', message: expect.stringMatching(message) as string });

describe('decompress', () => {
  for (const { name, bytes, compression, text = TEXT } of ACCEPTED) {
    it.each([1 << 20, 1000, 3])(`reads ${name} (chunks of %i bytes)`, async (chunkBytes) => {
      expect(await run(bytes, { chunkBytes })).toEqual([compression, text]);
    });
  }

  it.skipIf(needsPeer('igzip') !== undefined).each([
    ['zlib', gz, 'zlib'],
    ['isa-l', gz, 'isa-l'],
    ['auto', gz, 'isa-l'],
    ['auto', zst, 'zstd'],
    ['isa-l', bytesOf(TEXT), 'none'],
  ] as const)('says what decompresses: asked for %s', async (inflate, bytes, expected) => {
    const limits = unpackLimits();
    const o = { limits, compressedSize: bytes.length, inflate };
    const { decompressor, chunks } = await decompress(chunksOf(bytes, 1000), o);
    expect(decompressor).toBe(expected);
    for await (const chunk of chunks) expect(chunk.length).toBeGreaterThan(0);
  });

  it('asks whether to inflate in another thread, and comes to the same', async () => {
    const bytes = Buffer.alloc(1 << 20, TEXT);
    let asked = 0;
    const { chunks } = await decompress(chunksOf(gzipSync(bytes), 1 << 20), {
      limits: unpackLimits(),
      compressedSize: bytes.length,
      overlap: () => (asked += 1) > 0,
    });
    const found: Buffer[] = [];
    for await (const chunk of chunks) found.push(Buffer.from(chunk));
    expect(asked).toBeGreaterThan(1);
    expect(Buffer.concat(found).equals(bytes)).toBe(true);
  });

  it('splits chunks between members and padding as it pleases', async () => {
    const bytes = Buffer.concat([gzipSync('first '), gzipSync('second'), Buffer.alloc(3)]);
    for (let chunkBytes = 1; chunkBytes <= bytes.length; chunkBytes++) {
      expect(await run(bytes, { chunkBytes })).toEqual(['gzip', 'first second']);
    }
  });

  for (const { name, bytes, message } of REFUSED) {
    it.each([1 << 20, 1000, 3])(`refuses ${name} (chunks of %i bytes)`, async (chunkBytes) => {
      await expect(run(bytes, { chunkBytes })).rejects.toEqual(badArchive(message));
    });
  }

  it.each([
    { name: 'gzip', bytes: gzipSync('a text of some length, of some length') },
    { name: 'zstd', bytes: zstdFrame(bytesOf('a text of some length, of some length'), { checksum: true }) },
    {
      name: 'gzip with all fields',
      bytes: gzipMember(bytesOf('text'), { extra: EXTRA, name: 'n', headerChecksum: 'right' }),
    },
    { name: 'zstd without a size', bytes: zstdFrame(bytesOf('text'), { contentSize: false }) },
    { name: 'a skippable frame', bytes: skippableFrame('some text') },
  ])('refuses $name cut anywhere', async ({ bytes }) => {
    for (let cut = 4; cut < bytes.length; cut++) {
      await expect(run(bytes.subarray(0, cut)), `cut at ${cut}`).rejects.toEqual(badArchive(/cut short/));
    }
  });

  it.each([
    { name: 'plain bytes', bytes: bytesOf(TEXT) },
    { name: 'gzip', bytes: gz },
    { name: 'zstd', bytes: zst },
  ])('stops $name at the limit', async ({ bytes }) => {
    expect((await run(bytes, { maxBytes: TEXT.length }))[1]).toBe(TEXT);
    await expect(run(bytes, { maxBytes: TEXT.length - 1 })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  it('stops a zstd bomb by its ratio long before its limit', async () => {
    const frame = zstd(Buffer.alloc(1 << 27));
    const source = chunksOf(Buffer.concat(Array.from({ length: 20 }, () => frame)), 1 << 20);
    const { chunks } = await decompress(source, {
      limits: unpackLimits({ layerBytes: 1e15 }),
      compressedSize: 20 * frame.length,
    });
    let bytes = 0;
    const reading = (async () => {
      for await (const chunk of chunks) bytes += chunk.length;
    })();
    await expect(reading).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect(bytes).toBeLessThanOrEqual(1 << 30);
  });

  it('refuses a zstd window larger than 128 MiB', async () => {
    const compressor = new Compressor();
    compressor.setParameters({ windowLog: 28, contentSizeFlag: false, enableLongDistanceMatching: true });
    const frame = compressor.compress(Buffer.alloc((1 << 27) + (1 << 20), TEXT));
    await expect(run(frame)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  it.each([
    { name: 'gzip', bytes: gzipSync(Buffer.alloc(1 << 22, TEXT)) },
    { name: 'plain bytes', bytes: Buffer.alloc(1 << 22, TEXT) },
    { name: 'zstd', bytes: zstd(Buffer.alloc(1 << 22, TEXT)) },
  ])('passes on an error of the source, $name', async ({ bytes }) => {
    const lost = new Error('lost');
    async function* breaking(): AsyncGenerator<Buffer> {
      yield* chunksOf(bytes.subarray(0, bytes.length - 100), 10_000);
      throw lost;
    }
    const { chunks } = await decompress(breaking(), {
      limits: unpackLimits({ layerBytes: 1e9 }),
      compressedSize: bytes.length,
    });
    const reading = (async () => {
      for await (const chunk of chunks) expect(chunk.length).toBeGreaterThan(0);
    })();
    await expect(reading).rejects.toBe(lost);
  });

  it('can be left in the middle', async () => {
    const { chunks } = await decompress(chunksOf(gzipSync(Buffer.alloc(1 << 24, TEXT)), 10_000), {
      limits: unpackLimits({ layerBytes: 1e9 }),
      compressedSize: 1e9,
    });
    for await (const chunk of chunks) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  });
});
