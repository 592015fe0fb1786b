import { Readable } from 'node:stream';

import type { ByteRange } from '../../content/index.js';
import type { GrowingFile } from './growing-file.js';

const CHUNK_BYTES = 256 * 1024;

/**
 * A blob, or a part of it, as it arrives. It fails where the blob does, so that what is not whole never looks so; it lets go
 * of the file when it ends or is destroyed.
 */
export class GrowingBlobStream extends Readable {
  readonly #file: GrowingFile;
  readonly #end: number;
  readonly #left = new AbortController();
  readonly #onClose: () => void;
  #at: number;

  /**
   * @param file held by this from now on
   * @param range within the blob
   * @param onClose called once
   */
  constructor(file: GrowingFile, range: ByteRange | undefined, onClose: () => void) {
    super({ highWaterMark: CHUNK_BYTES });
    this.#file = file;
    this.#at = range?.offset ?? 0;
    this.#end = range?.length === undefined ? file.size : Math.min(file.size, this.#at + range.length);
    this.#onClose = onClose;
    file.hold();
  }

  override _read(): void {
    this.#next().then(
      (chunk) => this.push(chunk),
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error('the blob broke off')),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#left.abort();
    this.#onClose();
    this.#file.release().then(
      () => callback(error),
      (closing: unknown) => callback(error ?? (closing as Error)),
    );
  }

  async #next(): Promise<Buffer | null> {
    if (this.#at >= this.#end) return null;
    await this.#file.wait(this.#at, { signal: this.#left.signal });
    if (this.#file.readable <= this.#at) {
      throw new Error('the blob could not be brought whole', { cause: await this.#file.over });
    }
    const chunk = await this.#file.read(this.#at, Math.min(CHUNK_BYTES, this.#end - this.#at));
    this.#at += chunk.length;
    return chunk;
  }
}
