import { createHash, type Hash } from 'node:crypto';
import type { SparseSegment } from '../tar/tar-header.js';

/** What is all zeros, and of this size, counts as a hole. */
const BLOCK_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(BLOCK_BYTES);
const CONTENT = Buffer.from([1]);
const HOLE = 0;

/**
 * Digests what a file reads as, however its archive writes it: zeros that are left out count like those that
 * are there. A hole takes no longer than its ends, however large it is, so that a few bytes of an archive
 * cannot keep anybody busy.
 *
 * The result tells files of one size apart, and is good for nothing else.
 */
export class ContentDigest {
  readonly #hash: Hash = createHash('sha256');
  readonly #block: Buffer;
  /** Bytes in the block. */
  #filled = 0;
  /** Blocks of zeros before it that are not digested yet. */
  #holes = 0;
  readonly #segments: readonly SparseSegment[] | undefined;
  readonly #size: number;
  /** The segment that is being read, and how much of it was. */
  #segment = 0;
  #taken = 0;
  /** Where the file is at. */
  #at = 0;

  /**
   * @param size - of the file, in bytes
   * @param segments - of a sparse file; without them the content is the file
   */
  constructor(size: number, segments?: readonly SparseSegment[]) {
    this.#size = size;
    // Most files are small.
    this.#block = Buffer.allocUnsafe(Math.max(1, Math.min(size, BLOCK_BYTES)));
    this.#segments = segments?.filter(({ length }) => length > 0);
  }

  update(chunk: Buffer): void {
    if (this.#segments === undefined) {
      this.#write(chunk);
      return;
    }
    for (let at = 0; at < chunk.length;) {
      const segment = this.#segments[this.#segment];
      // The reader has held the map against the content, so this only guards against a loop without end.
      if (segment === undefined) return;
      this.#skipTo(segment.offset + this.#taken);
      const count = Math.min(chunk.length - at, segment.length - this.#taken);
      this.#write(chunk.subarray(at, at + count));
      at += count;
      this.#taken += count;
      if (this.#taken < segment.length) continue;
      this.#segment += 1;
      this.#taken = 0;
    }
  }

  /** 32 bytes, as latin1. */
  digest(): string {
    if (this.#segments !== undefined) this.#skipTo(this.#size);
    if (this.#filled > 0) this.#endBlock();
    this.#writeHole();
    return this.#hash.digest().toString('latin1');
  }

  #write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const count = bytes.copy(this.#block, this.#filled, at);
      at += count;
      this.#filled += count;
      if (this.#filled === this.#block.length) this.#endBlock();
    }
    this.#at += bytes.length;
  }

  #skipTo(offset: number): void {
    const first = Math.min(offset - this.#at, this.#filled === 0 ? 0 : BLOCK_BYTES - this.#filled);
    this.#write(ZEROS.subarray(0, first));
    const blocks = Math.floor((offset - this.#at) / BLOCK_BYTES);
    this.#holes += blocks;
    this.#at += blocks * BLOCK_BYTES;
    this.#write(ZEROS.subarray(0, offset - this.#at));
  }

  #endBlock(): void {
    const block = this.#block.subarray(0, this.#filled);
    this.#filled = 0;
    if (block.length === BLOCK_BYTES && block.equals(ZEROS)) {
      this.#holes += 1;
      return;
    }
    this.#writeHole();
    this.#hash.update(CONTENT).update(block);
  }

  #writeHole(): void {
    if (this.#holes === 0) return;
    const record = Buffer.alloc(9);
    record.writeUInt8(HOLE, 0);
    record.writeBigUInt64LE(BigInt(this.#holes), 1);
    this.#hash.update(record);
    this.#holes = 0;
  }
}
