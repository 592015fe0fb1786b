import { gzipSync } from 'node:zlib';
import { Compressor, compress as zstd } from 'zstd-napi';
import { describe, expect, it } from 'vitest';
import { unpackLimits } from '../../../src/spec/index.js';
import { decompress, type Compression } from '../../../src/unpack/compression/decompress.js';
import { gzipMember, skippableFrame, zstdFrame } from '../../support/compressed-builder.js';

/** Chunks as the blob reader gives them: in memory that is used again for the next. */
async function* chunksOf(bytes: Buffer, chunkBytes: number): AsyncGenerator<Buffer> {
  const memory = Buffer.alloc(Math.min(chunkBytes, bytes.length));
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    await Promise.resolve();
    const length = bytes.copy(memory, 0, at, at + chunkBytes);
    yield memory.subarray(0, length);
    memory.fill(0xaa);
  }
}

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

/** Text that does not compress to nothing, so that chunks end in the middle of things. */
const TEXT = Array.from({ length: 3000 }, (_, i) => ((i * i * 31) % 9973).toString(36)).join(' ');
const HALF = TEXT.length >> 1;
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');

const gz = gzipSync(bytesOf(TEXT));
const zst = zstdFrame(bytesOf(TEXT), { checksum: true });
const zeros = Buffer.alloc(10_000);
/** A subfield (RFC 1952 section 2.3.1.1). */
const EXTRA = bytesOf('SG\x02\x00ab');

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
  { name: 'gzip', bytes: gz, compression: 'gzip' },
  { name: 'gzip of nothing', bytes: gzipSync(''), compression: 'gzip', text: '' },
  // RFC 1952 section 2.3.1: FEXTRA, FNAME, FCOMMENT and FHCRC.
  ...Object.entries({
    'an extra field': { extra: EXTRA },
    'an empty extra field': { extra: Buffer.alloc(0) },
    'a name': { name: 'layer.tar' },
    'a comment': { comment: 'a comment' },
    'a checksum of its header': { headerChecksum: 'right' as const },
    'all fields': { extra: EXTRA, name: 'n', comment: 'c', headerChecksum: 'right' as const },
    'the mark of a text': { flags: 1 },
  }).map(([what, fields]) => ({
    name: `gzip with ${what}`,
    bytes: gzipMember(bytesOf(TEXT), fields),
    compression: 'gzip' as const,
  })),
  {
    name: 'gzip of members with and without fields',
    bytes: Buffer.concat([
      gzipMember(bytesOf(TEXT.slice(0, HALF)), { extra: EXTRA, name: 'n', headerChecksum: 'right' }),
      gzipSync(TEXT.slice(HALF)),
      gzipMember(Buffer.alloc(0), { extra: EXTRA }),
    ]),
    compression: 'gzip',
  },
  {
    name: 'gzip of two members',
    bytes: Buffer.concat([gzipSync(TEXT.slice(0, HALF)), gzipSync(TEXT.slice(HALF))]),
    compression: 'gzip',
  },
  {
    name: 'gzip of many small members, as eStargz',
    bytes: Buffer.concat([...TEXT.matchAll(/.{1,40}/gs)].map(([part]) => gzipSync(part))),
    compression: 'gzip',
  },
  { name: 'gzip with an empty member', bytes: Buffer.concat([gz, gzipSync('')]), compression: 'gzip' },
  { name: 'gzip padded with zeros', bytes: Buffer.concat([gz, zeros]), compression: 'gzip' },
  { name: 'gzip padded with one zero', bytes: Buffer.concat([gz, Buffer.alloc(1)]), compression: 'gzip' },
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
  { name: 'gzip and one letter', bytes: Buffer.concat([gz, bytesOf('x')]), message: /gzip|followed/ },
  {
    name: 'gzip and a text',
    bytes: Buffer.concat([gz, bytesOf('some garbage that is longer')]),
    message: /gzip|followed/,
  },
  {
    name: 'gzip, zeros and a letter',
    bytes: Buffer.concat([gz, zeros, bytesOf('x')]),
    message: /followed by something else/,
  },
  {
    name: 'gzip, a zero and a letter',
    bytes: Buffer.concat([gz, bytesOf('\0x')]),
    message: /followed by something else/,
  },
  {
    name: 'gzip, zeros and gzip',
    bytes: Buffer.concat([gz, zeros, gz]),
    message: /followed by something else/,
  },
  { name: 'gzip and half a member', bytes: Buffer.concat([gz, gz.subarray(0, 20)]), message: /cut short/ },
  { name: 'gzip with a wrong checksum', bytes: flipped(gz, gz.length - 6), message: /damaged/ },
  { name: 'gzip with a wrong length', bytes: flipped(gz, gz.length - 1), message: /damaged/ },
  { name: 'gzip of an unknown method', bytes: flipped(gz, 2), message: /damaged/ },
  {
    name: 'gzip with a wrong checksum of its header',
    bytes: gzipMember(bytesOf(TEXT), { headerChecksum: 'wrong' }),
    message: /damaged/,
  },
  {
    name: 'gzip with flags that are to come',
    bytes: gzipMember(bytesOf(TEXT), { flags: 0x20 }),
    message: /damaged/,
  },
  {
    name: 'gzip and a member with a wrong checksum',
    bytes: Buffer.concat([gz, flipped(gz, gz.length - 6)]),
    message: /damaged/,
  },
  { name: 'gzip and zstd', bytes: Buffer.concat([gz, zst]), message: /damaged/ },
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

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

const badArchive = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'BAD_ARCHIVE', message: expect.stringMatching(message) as string });

describe('decompress', () => {
  for (const { name, bytes, compression, text = TEXT } of ACCEPTED) {
    it.each([1 << 20, 1000, 3])(`reads ${name} (chunks of %i bytes)`, async (chunkBytes) => {
      expect(await run(bytes, { chunkBytes })).toEqual([compression, text]);
    });
  }

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
