import { gzipSync } from 'node:zlib';
import { gzipMember, zstdFrame } from '../support/compressed-builder.js';
import {
  type CodeLengths,
  DeflateBuilder,
  type DynamicBlock,
  END_OF_BLOCK,
  type LengthSymbol,
  literals,
  memberOf,
} from '../support/deflate-builder.js';

/** Text that does not compress to nothing, so that chunks end in the middle of things. */
export const TEXT: string = Array.from({ length: 3000 }, (_, i) => ((i * i * 31) % 9973).toString(36)).join(
  ' ',
);

export interface WholeGzip {
  readonly name: string;
  readonly bytes: Buffer;
  /** Default: TEXT. */
  readonly text?: string;
}

export interface DamagedGzip {
  readonly name: string;
  readonly bytes: Buffer;
  readonly message: RegExp;
}

const HALF = TEXT.length >> 1;
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');
const gz = gzipSync(bytesOf(TEXT));
const zeros = Buffer.alloc(10_000);
/** A subfield (RFC 1952 section 2.3.1.1). */
export const EXTRA: Buffer = bytesOf('SG\x02\x00ab');

/** RFC 1952: headers, members, and what may follow them. */
const WHOLE_FILES: readonly WholeGzip[] = [
  { name: 'gzip', bytes: gz },
  { name: 'gzip of nothing', bytes: gzipSync(''), text: '' },
  // Section 2.3.1: FTEXT, FEXTRA, FNAME, FCOMMENT and FHCRC.
  ...Object.entries({
    'an extra field': { extra: EXTRA },
    'an empty extra field': { extra: Buffer.alloc(0) },
    'the longest extra field': { extra: Buffer.alloc(0xffff, EXTRA) },
    'a name': { name: 'layer.tar' },
    'a long name': { name: 'layer'.repeat(2000) },
    'a comment': { comment: 'a comment' },
    'a checksum of its header': { headerChecksum: 'right' as const },
    'all fields': { extra: EXTRA, name: 'n', comment: 'c', headerChecksum: 'right' as const },
    'the mark of a text': { flags: 1 },
  }).map(([what, fields]) => ({ name: `gzip with ${what}`, bytes: gzipMember(bytesOf(TEXT), fields) })),
  {
    name: 'gzip of members with and without fields',
    bytes: Buffer.concat([
      gzipMember(bytesOf(TEXT.slice(0, HALF)), { extra: EXTRA, name: 'n', headerChecksum: 'right' }),
      gzipSync(TEXT.slice(HALF)),
      gzipMember(Buffer.alloc(0), { extra: EXTRA }),
    ]),
  },
  {
    name: 'gzip of two members',
    bytes: Buffer.concat([gzipSync(TEXT.slice(0, HALF)), gzipSync(TEXT.slice(HALF))]),
  },
  {
    name: 'gzip of many small members, as eStargz',
    bytes: Buffer.concat([...TEXT.matchAll(/.{1,40}/gs)].map(([part]) => gzipSync(part))),
  },
  { name: 'gzip with an empty member', bytes: Buffer.concat([gz, gzipSync('')]) },
  { name: 'gzip padded with zeros', bytes: Buffer.concat([gz, zeros]) },
  { name: 'gzip padded with one zero', bytes: Buffer.concat([gz, Buffer.alloc(1)]) },
];

const DAMAGED_FILES: readonly DamagedGzip[] = [
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
  {
    name: 'gzip and a byte of a member',
    bytes: Buffer.concat([gz, gz.subarray(0, 1)]),
    message: /cut short/,
  },
  { name: 'gzip with a wrong checksum', bytes: flipped(gz, gz.length - 6), message: /damaged/ },
  { name: 'gzip with a wrong length', bytes: flipped(gz, gz.length - 1), message: /damaged/ },
  { name: 'gzip of an unknown method', bytes: flipped(gz, 2), message: /damaged/ },
  {
    name: 'gzip with a wrong checksum of its header',
    bytes: gzipMember(bytesOf(TEXT), { headerChecksum: 'wrong' }),
    message: /damaged/,
  },
  {
    name: 'gzip with a wrong checksum of a header with all fields',
    bytes: gzipMember(bytesOf(TEXT), { extra: EXTRA, name: 'n', comment: 'c', headerChecksum: 'wrong' }),
    message: /damaged/,
  },
  ...[0x20, 0x40, 0x80].map((flags) => ({
    name: `gzip with flags that are to come, ${flags}`,
    bytes: gzipMember(bytesOf(TEXT), { flags }),
    message: /damaged/,
  })),
  {
    name: 'gzip and a member with a wrong checksum',
    bytes: Buffer.concat([gz, flipped(gz, gz.length - 6)]),
    message: /damaged/,
  },
  { name: 'gzip and zstd', bytes: Buffer.concat([gz, zstdFrame(bytesOf(TEXT))]), message: /damaged/ },
];

/** Codes for the letter `a` and the end of the block, and for two bytes more by a reference back. */
const LETTERS: CodeLengths = { 97: 1, 256: 1 };
const LETTERS_AND_LENGTH: CodeLengths = { 97: 1, 256: 2, 257: 2 };
const FOUR = bytesOf('aaaa');
const PLAIN = { literals: LETTERS, distances: {}, tokens: [...literals('aaaa'), END_OF_BLOCK] };

const final = { final: true };
const dynamic = (block: DynamicBlock): Buffer =>
  memberOf(new DeflateBuilder().dynamic(block, final).bytes(), FOUR);
const lengthsOf = (codes: CodeLengths, count: number): LengthSymbol[] =>
  Array.from({ length: count }, (_, symbol) => ({ symbol: codes[symbol] ?? 0 }));

/** RFC 1951: what a block may be. */
const WHOLE_BLOCKS: readonly WholeGzip[] = [
  {
    name: 'blocks without content between others',
    bytes: memberOf(
      new DeflateBuilder()
        .stored(Buffer.alloc(0))
        .fixed([END_OF_BLOCK])
        .stored(bytesOf('aa'))
        .fixed([...literals('aa'), END_OF_BLOCK])
        .stored(Buffer.alloc(0), final)
        .bytes(),
      FOUR,
    ),
  },
  {
    name: 'bits that mean nothing behind the last block',
    bytes: memberOf(new DeflateBuilder().fixed(PLAIN.tokens, final).bytes(1), FOUR),
  },
  { name: 'a block without distances', bytes: dynamic(PLAIN) },
  {
    name: 'a block of one distance, of one bit',
    bytes: dynamic({
      literals: LETTERS_AND_LENGTH,
      distances: { 0: 1 },
      tokens: [...literals('a'), { length: 257, distance: 0 }, END_OF_BLOCK],
    }),
  },
  {
    name: 'code lengths that are repeated from literals into distances',
    bytes: dynamic({
      literals: { 97: 2, 98: 1, 256: 2 },
      distances: { 0: 2, 1: 2, 2: 2, 3: 2 },
      lengthSymbols: [...lengthsOf({ 97: 2, 98: 1, 256: 2 }, 257), { symbol: 16, extra: [1, 2] }],
      tokens: PLAIN.tokens,
    }),
  },
  {
    name: 'the farthest distance',
    bytes: memberOf(
      new DeflateBuilder()
        .stored(Buffer.alloc(32_768, 'ab'))
        .fixed([{ length: 257, distance: 29, distanceExtra: [8191, 13] }, END_OF_BLOCK], final)
        .bytes(),
      bytesOf(`${'ab'.repeat(16_384)}aba`),
    ),
    text: `${'ab'.repeat(16_384)}aba`,
  },
].map((row) => ({ text: 'aaaa', ...row }));

/** What a block may not be, in members whose trailers are right: only who reads the block can refuse them. */
const DAMAGED_BLOCKS: readonly DamagedGzip[] = [
  {
    name: 'a block of the fourth type',
    bytes: memberOf(new DeflateBuilder().unknown().bytes(), Buffer.alloc(0)),
  },
  {
    name: 'a stored block whose lengths do not fit',
    bytes: memberOf(new DeflateBuilder().stored(FOUR, { final: true, complement: 5 }).bytes(), FOUR),
  },
  ...[286, 287].map((length) => ({
    name: `the length symbol ${length}`,
    bytes: memberOf(
      new DeflateBuilder().fixed([...literals('a'), { length, distance: 0 }, END_OF_BLOCK], final).bytes(),
      FOUR,
    ),
  })),
  ...[30, 31].map((distance) => ({
    name: `the distance symbol ${distance}`,
    bytes: memberOf(
      new DeflateBuilder().fixed([...literals('a'), { length: 257, distance }, END_OF_BLOCK], final).bytes(),
      FOUR,
    ),
  })),
  {
    name: 'a reference to before the content',
    bytes: memberOf(
      new DeflateBuilder()
        .fixed([...literals('a'), { length: 257, distance: 1 }, END_OF_BLOCK], final)
        .bytes(),
      FOUR,
    ),
  },
  {
    name: 'a reference into the member before',
    bytes: Buffer.concat([
      gzipSync(FOUR),
      memberOf(
        new DeflateBuilder()
          .fixed([{ length: 257, distance: 0 }, ...literals('a'), END_OF_BLOCK], final)
          .bytes(),
        FOUR,
      ),
    ]),
  },
  ...Object.entries({
    'more literals and lengths than there are': { ...PLAIN, literalCount: 287 },
    'more distances than there are': { ...PLAIN, distanceCount: 31 },
    'more codes of literals than fit': {
      ...PLAIN,
      literals: { 97: 1, 98: 1, 256: 1 },
      tokens: literals('aaaa'),
    },
    'more codes of distances than fit': { ...PLAIN, distances: { 0: 1, 1: 1, 2: 1 } },
    'more codes of code lengths than fit': { ...PLAIN, lengthCodes: { 0: 1, 1: 1, 2: 1 } },
    'a code length that repeats none': {
      ...PLAIN,
      lengthSymbols: [{ symbol: 16, extra: [0, 2] as const }, ...lengthsOf({}, 255)],
    },
    'code lengths that go on behind the last': {
      ...PLAIN,
      lengthSymbols: [...lengthsOf(LETTERS, 257), { symbol: 18, extra: [127, 7] as const }],
    },
    'no code for its end': { ...PLAIN, literals: { 97: 1, 98: 1 }, tokens: literals('aaaa') },
    'a distance that has no code': {
      literals: LETTERS_AND_LENGTH,
      distances: { 0: 1, 1: 1 },
      lengthSymbols: [...lengthsOf(LETTERS_AND_LENGTH, 258), { symbol: 1 }, { symbol: 0 }],
      tokens: [...literals('aa'), { length: 257, distance: 1 }, END_OF_BLOCK],
    },
  }).map(([what, block]) => ({ name: `a block with ${what}`, bytes: dynamic(block) })),
].map((row) => ({ ...row, message: /damaged|cut short/ }));

export const WHOLE_GZIP: readonly WholeGzip[] = [...WHOLE_FILES, ...WHOLE_BLOCKS];
export const DAMAGED_GZIP: readonly DamagedGzip[] = [...DAMAGED_FILES, ...DAMAGED_BLOCKS];

/** Where zlib and ISA-L differ: codes that leave bit patterns without a meaning, which zlib refuses. */
export const INCOMPLETE_CODES: readonly WholeGzip[] = Object.entries({
  literals: { ...PLAIN, literals: { 97: 2, 256: 2 } },
  distances: { ...PLAIN, distances: { 0: 2, 1: 2 } },
  'code lengths': { ...PLAIN, lengthCodes: { 0: 2, 1: 2 } },
}).map(([name, block]) => ({ name, bytes: dynamic(block), text: 'aaaa' }));

export function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}
