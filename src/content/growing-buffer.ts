import type { ByteSink } from './arriving-bytes.js';
import { bytesIn } from './chunks.js';

const FIRST_BYTES = 64 * 1024;

/** Bytes in memory that may be written at any offset. It grows by doubling with what arrives, not with what is announced. */
export class GrowingBuffer implements ByteSink {
  #bytes = new Uint8Array(0);

  write(at: number, chunks: readonly Uint8Array[]): Promise<void> {
    const end = at + bytesIn(chunks);
    if (end > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.byteLength * 2, FIRST_BYTES));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    let to = at;
    for (const chunk of chunks) {
      this.#bytes.set(chunk, to);
      to += chunk.byteLength;
    }
    return Promise.resolve();
  }

  read(at: number, length: number): Promise<Uint8Array> {
    return Promise.resolve(this.slice(at, at + length));
  }

  /** A copy of a part. */
  slice(start: number, end: number): Uint8Array {
    return this.#bytes.slice(start, end);
  }
}
