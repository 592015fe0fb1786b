import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { compress as zstd } from 'zstd-napi';
import type { FuzzInput } from './fuzz-target.js';
import { mutateBytes } from './mutate-archive.js';
import type { Random } from './random.js';

/** A part of a compressed file that is whole by itself, and what it decompresses to. */
interface Piece {
  readonly bytes: Buffer;
  readonly content: Buffer;
}

const NOTHING = Buffer.alloc(0);
/** Less of a file is too little to tell its compression by. */
const MAGIC_BYTES = 4;

/**
 * A compressed file of several members or frames, whole or damaged in one of the ways of which it is known
 * what has to come of them, or in any other.
 */
export function randomCompressed(random: Random): FuzzInput {
  const pieces = random.chance(0.5) ? gzipPieces(random) : zstdPieces(random);
  const whole = Buffer.concat(pieces.map(({ bytes }) => bytes));
  switch (random.below(6)) {
    case 0:
      return { layers: [whole], expected: contentOf(pieces) };
    case 1: {
      const padded = Buffer.concat([whole, Buffer.alloc(random.pick([1, 3, 512, 5000]))]);
      return { layers: [padded], expected: contentOf(pieces) };
    }
    case 2:
      return truncated(pieces, whole, random);
    case 3: {
      const garbage = random.bytes(random.between(1, 30));
      garbage[0] = (garbage[0] ?? 0) | 1;
      const zeros = Buffer.alloc(random.pick([0, 0, 1, 600]));
      return { layers: [Buffer.concat([whole, zeros, garbage])], expected: 'refused' };
    }
    default:
      return { layers: [mutateBytes(whole, random)] };
  }
}

/** What ends with a piece is whole; what ends within one is not. */
function truncated(pieces: readonly Piece[], whole: Buffer, random: Random): FuzzInput {
  const length = random.between(Math.min(MAGIC_BYTES, whole.length), whole.length);
  const kept: Piece[] = [];
  let end = 0;
  for (const piece of pieces) {
    if (end + piece.bytes.length > length) break;
    kept.push(piece);
    end += piece.bytes.length;
  }
  return { layers: [whole.subarray(0, length)], expected: end === length ? contentOf(kept) : 'refused' };
}

function contentOf(pieces: readonly Piece[]): Buffer {
  return Buffer.concat(pieces.map(({ content }) => content));
}

/** Text that repeats itself, or bytes that nothing compresses. */
function content(random: Random): Buffer {
  // Seldom more than one chunk of what is inflated.
  const length = random.chance(0.02) ? 600_000 : random.pick([0, 1, 100, 3000, 20_000]);
  return random.chance(0.5)
    ? random.bytes(length)
    : Buffer.alloc(length, random.bytes(random.between(1, 60)));
}

function gzipPieces(random: Random): Piece[] {
  return Array.from({ length: random.between(1, 4) }, () => {
    const plain = content(random);
    const bytes = random.chance(0.5)
      ? gzipSync(plain, { level: random.between(0, 9) })
      : gzipMember(plain, random);
    return { bytes, content: plain };
  });
}

/** A member with any of the optional fields (RFC 1952 section 2.3.1). */
function gzipMember(plain: Buffer, random: Random): Buffer {
  const flags = random.below(32);
  const parts: Buffer[] = [Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255])];
  if ((flags & 4) !== 0) {
    const extra = random.bytes(random.pick([0, 6, 300]));
    parts.push(Buffer.from([extra.length & 0xff, extra.length >> 8]), extra);
  }
  if ((flags & 8) !== 0) parts.push(Buffer.from('a name\0'));
  if ((flags & 16) !== 0) parts.push(Buffer.from('a comment\0'));
  if ((flags & 2) !== 0) parts.push(littleEndian(crc32(Buffer.concat(parts)) & 0xffff, 2));
  return Buffer.concat([
    ...parts,
    deflateRawSync(plain),
    littleEndian(crc32(plain), 4),
    littleEndian(plain.length, 4),
  ]);
}

function zstdPieces(random: Random): Piece[] {
  return Array.from({ length: random.between(1, 4) }, () =>
    random.chance(0.25) ? skippableFrame(random) : zstdFrame(random),
  );
}

function zstdFrame(random: Random): Piece {
  const plain = content(random);
  const bytes = zstd(plain, {
    compressionLevel: random.between(-5, 9),
    checksumFlag: random.chance(0.5),
    contentSizeFlag: random.chance(0.5),
    windowLog: random.pick([0, 10, 17, 27]),
  });
  return { bytes, content: plain };
}

/** RFC 8878 section 3.1.2. */
function skippableFrame(random: Random): Piece {
  const skipped = random.bytes(random.pick([0, 1, 4, 600]));
  const magic = littleEndian(0x184d2a50 + random.below(16), 4);
  return { bytes: Buffer.concat([magic, littleEndian(skipped.length, 4), skipped]), content: NOTHING };
}

function littleEndian(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntLE(value, 0, length);
  return bytes;
}
