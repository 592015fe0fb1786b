import { badArchive } from '../terms/archive-error.js';

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
 * Reads a compressed layer to its end, which may be padded with zeros but hold nothing else: bytes that one program reads
 * and another ignores would be two layers under one digest.
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
