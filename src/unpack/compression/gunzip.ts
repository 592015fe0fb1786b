import type { DuplexOptions } from 'node:stream';
import { crc32, createGunzip, type Gunzip, type ZlibOptions } from 'node:zlib';
import { systemCode, type UnpackError } from '../../errors.js';
import { InflateError, type Inflater, type InflateStep } from '../../system/index.js';
import { badArchive } from '../terms/layer-fault.js';

/**
 * Measured on layers, with SHA-256 and the write of what is inflated: from 64 to 512 KiB nothing changes,
 * since all of it stays in the second-level cache; a call in another thread has to be worth its way there and
 * back.
 */
const CHUNK_BYTES = 256 * 1024;
/** A member of less is no part of a tar archive by itself. */
const SMALL_MEMBER_BYTES = 512;
/** Some 17 µs each: two tenths of a second. */
const MOST_SMALL_MEMBERS = 10_000;

export interface GunzipOptions {
  /**
   * Asked before each chunk is handed out: whether the next is to be inflated in another thread meanwhile,
   * because a core has nothing else to do. Default: never.
   */
  readonly overlap?: (() => boolean) | undefined;
}

/**
 * Inflates gzip, several members too, and closes the inflater. A chunk is valid until the next is asked for.
 *
 * @throws {UnpackError} BAD_ARCHIVE for damage, truncation and trailing garbage; and what the source throws
 */
export async function* gunzip(
  source: AsyncIterator<Buffer>,
  inflater: Inflater,
  o: GunzipOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  const input = new DecoderInput(source);
  const chunks = new InflatedChunks(inflater, input, o.overlap ?? (() => false));
  try {
    yield* chunks.ofAllMembers();
  } catch (error) {
    throw error instanceof InflateError ? gzipDamaged(error.message) : error;
  } finally {
    await chunks.close();
  }
  await requireZeros(input.bytes, source);
}

class InflatedChunks {
  readonly #inflater: Inflater;
  readonly #input: DecoderInput;
  readonly #overlap: () => boolean;
  #output: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  /** The other buffer, from the first overlap on. */
  #spare: Buffer | undefined;
  /** Bytes of the output that are inflated. */
  #filled = 0;
  /** Bytes that the member at hand has given. */
  #ofMember = 0;
  /** A step into the empty output that runs while the other buffer is being used. */
  #ahead: Promise<InflateStep> | undefined;

  constructor(inflater: Inflater, input: DecoderInput, overlap: () => boolean) {
    this.#inflater = inflater;
    this.#input = input;
    this.#overlap = overlap;
  }

  /**
   * Ends at the end of the input, or where zeros follow a member.
   *
   * @throws {UnpackError} BAD_ARCHIVE too for very many members of less than a block of tar each: every one
   *   costs as much time as some kilobytes do, so that a small file of them would take a thread for long
   */
  async *ofAllMembers(): AsyncGenerator<Buffer, void, undefined> {
    let small = 0;
    do {
      await skipGzipHeader(this.#input);
      this.#inflater.begin();
      this.#ofMember = 0;
      for (let ended = false; !ended;) {
        ended = await this.#step();
        const isFull = this.#filled === CHUNK_BYTES;
        const isUsedUp = this.#input.bytes.length === 0;
        // Before the source is waited for, what there is is handed out: it may be a reason not to wait.
        if (isFull || (isUsedUp && this.#filled > 0)) yield this.#handOut(!ended);
        // A full output says nothing of the input: more may be due of what is used up.
        if (!ended && !isFull && !(await this.#input.has(1))) throw gzipCutShort();
      }
      if (this.#ofMember < SMALL_MEMBER_BYTES && (small += 1) > MOST_SMALL_MEMBERS) {
        throw gzipDamaged(`it has more than ${MOST_SMALL_MEMBERS} members of next to nothing`);
      }
    } while ((await this.#input.has(1)) && this.#input.bytes[0] !== 0);
    if (this.#filled > 0) yield this.#handOut(false);
  }

  /** When it resolves, no thread touches the buffers any more. */
  async close(): Promise<void> {
    await this.#ahead?.catch(() => undefined);
    this.#inflater.close();
  }

  /** Fills the output as far as it can be. Whether the member has ended. */
  async #step(): Promise<boolean> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    const output = this.#output.subarray(this.#filled);
    const { consumed, produced, ended } = await (ahead ?? this.#inflater.step(this.#input.bytes, output));
    // No library is known to do so, but for no bytes may this go on for ever.
    if (consumed === 0 && produced === 0 && !ended && this.#input.bytes.length > 0)
      throw gzipDamaged('it leads nowhere');
    this.#input.drop(consumed);
    this.#filled += produced;
    this.#ofMember += produced;
    return ended;
  }

  /** What is inflated. @param goesOn - there is more of the member */
  #handOut(goesOn: boolean): Buffer {
    const used = this.#output;
    const chunk = used.subarray(0, this.#filled);
    this.#filled = 0;
    if (goesOn && this.#input.bytes.length > 0 && this.#overlap()) {
      this.#output = this.#spare ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
      this.#spare = used;
      this.#ahead = this.#inflater.stepAsync(this.#input.bytes, this.#output);
      // Looked at when the next chunk is asked for, which may be never.
      this.#ahead.catch(() => undefined);
    }
    return chunk;
  }
}

/** Measured on layers: larger gains nothing, smaller costs turns of the event loop. */
const STREAM_CHUNK_BYTES = 512 * 1024;

/**
 * Inflates gzip, several members too, by Node's stream, for machines on which no library can be called: each
 * chunk is new memory, and comes from the thread pool. While a chunk is being used the next is inflated. At
 * most two chunks lie ready.
 *
 * zlib's binding stops without a word at zeros after a member, whatever follows them; so what it did not take
 * is looked at here, and must be zeros to the end.
 *
 * @throws {UnpackError} BAD_ARCHIVE for damage, truncation and trailing garbage; and what the source throws
 */
export async function* gunzipByStream(
  source: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  const inflate = createInflate();
  const feed = new Feed(source, inflate);
  void feed.run();
  try {
    for await (const chunk of inflate as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    throw inflateError(error);
  } finally {
    inflate.destroy();
  }
  await requireZeros(feed.rest(), source);
}

function createInflate(): Gunzip {
  const options: ZlibOptions & DuplexOptions = {
    chunkSize: STREAM_CHUNK_BYTES,
    // Chunk by chunk: a byte stream would join what lies ready, by copying.
    readableObjectMode: true,
    readableHighWaterMark: 2,
  };
  return createGunzip(options);
}

/** Writes the source's chunks into zlib, and knows how much of the last it took. */
class Feed {
  readonly #source: AsyncIterator<Buffer>;
  readonly #inflate: Gunzip;
  #chunk: Buffer = Buffer.alloc(0);
  /** Bytes that came before the chunk. */
  #before = 0;

  constructor(source: AsyncIterator<Buffer>, inflate: Gunzip) {
    this.#source = source;
    this.#inflate = inflate;
  }

  /** Never rejects: an error of the source becomes the stream's. */
  async run(): Promise<void> {
    try {
      for (;;) {
        const next = await this.#source.next();
        if (this.#inflate.destroyed) return;
        if (next.done === true) break;
        this.#before += this.#chunk.length;
        this.#chunk = next.value;
        await this.#write(next.value);
        // It had enough: its output is at an end, and the rest of this chunk is still to be looked at.
        if (this.rest().length > 0) return;
      }
      this.#inflate.end();
    } catch (error) {
      this.#inflate.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Resolves when zlib is done with the chunk. */
  #write(chunk: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#inflate.write(chunk, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(error);
      });
    });
  }

  /** What zlib left of the last chunk when it had enough. */
  rest(): Buffer {
    return this.#chunk.subarray(this.#inflate.bytesWritten - this.#before);
  }
}

function inflateError(error: unknown): unknown {
  const code = systemCode(error);
  if (code === 'Z_BUF_ERROR') return gzipCutShort();
  if (code?.startsWith('Z_') !== true || !(error instanceof Error)) return error;
  return gzipDamaged(error.message);
}

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
 * Reads over the header of a gzip member, none of which means anything to a layer. It is read here and not by
 * the libraries that inflate, which differ in what they refuse.
 *
 * @throws {UnpackError} BAD_ARCHIVE for damage and truncation; and what the source throws
 */
async function skipGzipHeader(input: DecoderInput): Promise<void> {
  if (input.bytes.length < HEADER_BYTES) await input.has(HEADER_BYTES);
  const { bytes } = input;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC.subarray(0, bytes.length)))
    throw gzipDamaged('a member does not begin as one');
  if (bytes.length < HEADER_BYTES) throw gzipCutShort();
  const flags = bytes.readUInt8(FLAGS_AT);
  if ((flags & RESERVED) !== 0) throw gzipDamaged('a header has unknown flags');
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

function gzipCutShort(): UnpackError {
  return badArchive('the gzip data is cut short');
}

/** @param reason - one line */
function gzipDamaged(reason: string): UnpackError {
  return badArchive(`the gzip data is damaged: ${reason}`);
}

/** What a decoder has not used yet of a source's chunks. */
export class DecoderInput {
  bytes: Buffer = Buffer.alloc(0);
  readonly #source: AsyncIterator<Buffer>;

  constructor(source: AsyncIterator<Buffer>) {
    this.#source = source;
  }

  /** Whether there are so many bytes; asks for more chunks if need be. */
  async has(count: number): Promise<boolean> {
    while (this.bytes.length < count) {
      // The source may use the memory again.
      const held = Buffer.from(this.bytes);
      const next = await this.#source.next();
      this.bytes = held;
      if (next.done === true) return false;
      this.bytes = held.length === 0 ? next.value : Buffer.concat([held, next.value]);
    }
    return true;
  }

  /** Lets go of the first bytes. */
  drop(count: number): void {
    this.bytes = this.bytes.subarray(count);
  }
}

const ZEROS = Buffer.alloc(4096);

/**
 * Reads a compressed layer to its end, which may be padded with zeros but hold nothing else: bytes that one
 * program reads and another ignores would be two layers under one digest.
 *
 * @throws {UnpackError} BAD_ARCHIVE
 */
export async function requireZeros(rest: Buffer, source: AsyncIterator<Buffer>): Promise<void> {
  for (let chunk = rest; ;) {
    if (!isAllZeros(chunk)) throw badArchive('the compressed data is followed by something else');
    const next = await source.next();
    if (next.done === true) return;
    chunk = next.value;
  }
}

function isAllZeros(chunk: Buffer): boolean {
  for (let at = 0; at < chunk.length; at += ZEROS.length) {
    const end = Math.min(chunk.length, at + ZEROS.length);
    if (chunk.compare(ZEROS, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}
