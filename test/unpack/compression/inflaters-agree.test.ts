import { constants, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LandfallError } from '../../../src/errors.js';
import { createInflater } from '../../../src/system/index.js';
import { gunzip, gunzipByStream } from '../../../src/unpack/compression/gunzip.js';
import { type Gunzip, inflated } from '../../suites/gunzip.js';
import { chunksOf } from '../../support/chunks-of.js';
import { gzipMember } from '../../support/compressed-builder.js';
import { needsPeer } from '../../support/peers.js';
import { rounds } from '../../support/rounds.js';

const WAYS: readonly Gunzip[] = [
  (source) => gunzip(source, createInflater('zlib')),
  (source) => gunzip(source, createInflater('isa-l')),
  gunzipByStream,
];

/** What a way comes to: the content, or the code of its refusal, with the reason. */
type Verdict = { readonly content: string } | { readonly code: string; readonly reason: string };

async function verdict(way: Gunzip, bytes: Buffer, chunkBytes: number): Promise<Verdict> {
  try {
    return { content: (await inflated(way, chunksOf(bytes, chunkBytes))).toString('base64') };
  } catch (error) {
    if (!(error instanceof LandfallError)) throw error;
    return { code: String(error.code), reason: error.message };
  }
}

/** The one difference that there is: see INCOMPLETE_CODES. */
function isOfIncompleteCodes(zlib: Verdict, isal: Verdict): boolean {
  return (
    'code' in zlib && 'content' in isal && / (code lengths|distances|literal\/lengths) set$/.test(zlib.reason)
  );
}

async function expectAgreement(bytes: Buffer, chunkBytes: readonly number[]): Promise<Verdict> {
  const least = Math.ceil(bytes.length / 5000);
  const verdicts = await Promise.all(
    WAYS.map((way, i) => verdict(way, bytes, Math.max(least, chunkBytes[i] ?? 1000))),
  );
  const [zlib, isal, stream] = verdicts.map((one) => ('code' in one ? one.code : one.content));
  expect(stream).toBe(zlib);
  const [ofZlib, ofIsal] = verdicts as [Verdict, Verdict, Verdict];
  if (!isOfIncompleteCodes(ofZlib, ofIsal)) expect(isal).toBe(zlib);
  return ofZlib;
}

/**
 * Bytes that nothing compresses, that repeat themselves near and far, or are all the same; often longer than
 * a chunk.
 */
const content = fc
  .tuple(
    fc.constantFrom('noise', 'text', 'same'),
    fc.oneof(fc.nat(300), fc.nat(70_000), fc.nat(700_000)),
    fc.uint8Array({ minLength: 1, maxLength: 400 }),
  )
  .map(([kind, length, seed]) => {
    if (kind !== 'noise') return Buffer.alloc(length, kind === 'same' ? seed.subarray(0, 1) : seed);
    let state = seed.reduce((sum, byte) => (sum * 31 + byte) >>> 0, 1);
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      bytes[at] = state >>> 24;
    }
    return bytes;
  });

const member = fc
  .tuple(
    content,
    fc.integer({ min: -1, max: 9 }),
    fc.integer({ min: 9, max: 15 }),
    fc.constantFrom(
      constants.Z_DEFAULT_STRATEGY,
      constants.Z_FILTERED,
      constants.Z_HUFFMAN_ONLY,
      constants.Z_RLE,
      constants.Z_FIXED,
    ),
    fc.boolean(),
  )
  .map(([plain, level, windowBits, strategy, fields]) => ({
    plain,
    bytes: fields
      ? gzipMember(plain, { extra: Buffer.from('SG\x02\x00ab'), name: 'n', headerChecksum: 'right' })
      : gzipSync(plain, { level, windowBits, strategy }),
  }));

const chunkSizes = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 65, max: 300_000 })),
  {
    minLength: 3,
    maxLength: 3,
  },
);

type Damage =
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'append'; readonly bytes: Uint8Array };

/** Where is a fraction of the length. */
const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({
    kind: fc.constant('cut' as const),
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  }),
  fc.record({
    kind: fc.constant('flip' as const),
    // As often in what begins a member and its first block as in all the rest.
    at: fc.oneof(
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      fc.double({ min: 0, max: 0.01, noNaN: true }),
    ),
    bit: fc.nat(7),
  }),
  fc.record({ kind: fc.constant('append' as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 30 }) }),
);

function damaged(bytes: Buffer, by: Damage): Buffer {
  if (by.kind === 'append') return Buffer.concat([bytes, by.bytes]);
  // Less than two bytes are not taken for gzip.
  const at = Math.max(2, Math.floor(by.at * bytes.length));
  if (by.kind === 'cut') return bytes.subarray(0, at);
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ (1 << by.bit), at);
  return copy;
}

describe.skipIf(needsPeer('igzip') !== undefined)('zlib, ISA-L and the stream of Node', () => {
  it('read the same content, however it is cut', { timeout: 600_000 }, async () => {
    const members = fc.array(member, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(members, chunkSizes, async (parts, sizes) => {
        const found = await expectAgreement(Buffer.concat(parts.map(({ bytes }) => bytes)), sizes);
        const plain = Buffer.concat(parts.map((part) => part.plain));
        expect('content' in found && Buffer.from(found.content, 'base64').equals(plain)).toBe(true);
      }),
      { numRuns: rounds({ short: 40, long: 2000 }) },
    );
  });

  it('refuse the same of what is damaged', { timeout: 600_000 }, async () => {
    const members = fc.array(member, { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(members, damage, chunkSizes, async (parts, by, sizes) => {
        const bytes = damaged(Buffer.concat(parts.map((part) => part.bytes)), by);
        await expectAgreement(bytes, sizes);
      }),
      { numRuns: rounds({ short: 150, long: 6000 }) },
    );
  });
});
