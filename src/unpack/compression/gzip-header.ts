import { crc32 } from 'node:zlib';
import type { DecoderInput } from './decoder-input.js';
import { gzipCutShort, gzipDamaged } from './gzip-error.js';

/** Of what every header has (RFC 1952 section 2.3). */
const HEADER_BYTES = 10;
/** ID1, ID2 and the only method there is. */
const MAGIC = Buffer.from([0x1f, 0x8b, 8]);
const FLAGS_AT = 3;

/** Bits of FLG (RFC 1952 section 2.3.1). */
const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;
const RESERVED = 0xe0;

/**
 * Reads over the header of a gzip member, none of which means anything to a layer. It is read here and not by the libraries that
 * inflate, which differ in what they refuse.
 *
 * @throws {UnpackError} BAD_ARCHIVE for damage and truncation; and what the source throws
 */
export async function skipGzipHeader(input: DecoderInput): Promise<void> {
  if (input.bytes.length < HEADER_BYTES) await input.has(HEADER_BYTES);
  const { bytes } = input;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC.subarray(0, bytes.length)))
    throw gzipDamaged('a member does not begin as one');
  if (bytes.length < HEADER_BYTES) throw gzipCutShort();
  const flags = bytes.readUInt8(FLAGS_AT);
  if ((flags & RESERVED) !== 0) throw gzipDamaged('a header has flags that nobody knows');
  const fields = new HeaderFields(input);
  await fields.skip(HEADER_BYTES);
  if ((flags & FEXTRA) !== 0) await fields.skip(await fields.number());
  if ((flags & FNAME) !== 0) await fields.skipText();
  if ((flags & FCOMMENT) !== 0) await fields.skipText();
  if ((flags & FHCRC) === 0) return;
  const expected = fields.checksum;
  if ((await fields.number()) !== expected) throw gzipDamaged('the checksum of a header is wrong');
}

/** A header's bytes, however they arrive. */
class HeaderFields {
  readonly #input: DecoderInput;
  #crc = 0;

  constructor(input: DecoderInput) {
    this.#input = input;
  }

  /** CRC16 of what was read so far. */
  get checksum(): number {
    return this.#crc & 0xffff;
  }

  /** Of 16 bits. */
  async number(): Promise<number> {
    await this.#require(2);
    const value = this.#input.bytes.readUInt16LE();
    this.#take(2);
    return value;
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0;) {
      await this.#require(1);
      left -= this.#take(Math.min(left, this.#input.bytes.length));
    }
  }

  /** Up to and including a zero. */
  async skipText(): Promise<void> {
    for (;;) {
      await this.#require(1);
      const end = this.#input.bytes.indexOf(0);
      this.#take(end < 0 ? this.#input.bytes.length : end + 1);
      if (end >= 0) return;
    }
  }

  #take(count: number): number {
    this.#crc = crc32(this.#input.bytes.subarray(0, count), this.#crc);
    this.#input.drop(count);
    return count;
  }

  async #require(count: number): Promise<void> {
    if (!(await this.#input.has(count))) throw gzipCutShort();
  }
}
