import type { SparseSegment } from '../archive/tar-entry.js';
import { BLOCK_BYTES } from '../archive/tar-header.js';
import { paddingOf } from './encode-header.js';

const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** A stretch of the content as it comes. */
interface Part {
  readonly length: number;
  /** How many zeros follow it. */
  readonly zeros: number;
}

/**
 * The content of a sparse file, in segments that every program reads alike: each is whole blocks, but for one at the end of the
 * file. GNU tar looks for each at a block of the archive, and others where the one before ends; what it writes itself has
 * such segments only. Zeros make up what is missing, and join segments that come close to each other.
 */
export class SparseContent {
  readonly segments: readonly SparseSegment[];
  readonly #parts: readonly Part[];
  #part = 0;
  /** Bytes of the current part so far. */
  #taken = 0;

  /** @param size - of the file, in bytes */
  constructor(given: readonly SparseSegment[], size: number) {
    const segments: SparseSegment[] = [];
    const parts: Part[] = [];
    let start: number | undefined;
    const filled = given.filter(({ length }) => length > 0);
    for (const [i, { offset, length }] of filled.entries()) {
      start ??= offset;
      const end = offset + length;
      const next = filled[i + 1]?.offset;
      const zeros = Math.min(paddingOf(end - start), (next ?? size) - end);
      parts.push({ length, zeros });
      if (next === end + zeros) continue;
      segments.push({ offset: start, length: end + zeros - start });
      start = undefined;
    }
    this.segments = segments;
    this.#parts = parts;
  }

  /** What becomes of a piece of the content as it comes; views of it. */
  *take(chunk: Buffer): Generator<Buffer, void, undefined> {
    for (let at = 0; at < chunk.length;) {
      const part = this.#parts[this.#part];
      // The reader has held the map against the content, so this only guards against a loop without end.
      if (part === undefined) return;
      const count = Math.min(chunk.length - at, part.length - this.#taken);
      yield chunk.subarray(at, at + count);
      at += count;
      this.#taken += count;
      if (this.#taken < part.length) continue;
      if (part.zeros > 0) yield ZEROS.subarray(0, part.zeros);
      this.#part += 1;
      this.#taken = 0;
    }
  }
}
