import { type FileHandle, open } from 'node:fs/promises';

import type { IngestWriter } from '../../content/index.js';
import type { Abortable } from '../../errors.js';
import { deferred } from '../../concurrency/index.js';
import { Frontier } from '../../system/index.js';

/**
 * So many bytes at the end of a blob are given to nobody before all of it was found right: who reads a wrong blob never has
 * the whole of it, and what is shorter, as most documents are, is not given wrong in any part.
 */
export const WITHHELD_BYTES: number = 64 * 1024;

/**
 * The file of a blob on its way, for any number of readers that follow its frontier. It is opened once, so that it can be
 * read on whatever becomes of its name; it is closed when the last one lets go.
 */
export class GrowingFile {
  readonly size: number;
  readonly #file: FileHandle;
  readonly #frontier: Frontier;
  readonly #over = deferred<unknown>();
  #holders = 1;

  private constructor(file: FileHandle, { descriptor, shared }: IngestWriter) {
    this.#file = file;
    this.#frontier = new Frontier(shared);
    this.size = descriptor.size;
  }

  /** Opens what a writer fills. The caller holds it, and releases it with {@link end}. */
  static async open(writer: IngestWriter): Promise<GrowingFile> {
    return new GrowingFile(await open(writer.path, 'r'), writer);
  }

  /** How many bytes may be given, from the first. */
  get readable(): number {
    if (this.#frontier.state === 'complete') return this.size;
    return Math.max(0, Math.min(this.#frontier.bytes, this.size - WITHHELD_BYTES));
  }

  /** Resolves when more than `after` bytes may be given, or nothing more will come. Errors: ABORTED. */
  async wait(after: number, { signal }: Abortable = {}): Promise<void> {
    while (this.readable <= after && this.#frontier.state === 'growing') {
      // Of what is withheld no further byte is news, only the verdict.
      await this.#frontier.wait(Math.max(after, this.#frontier.bytes), { signal });
    }
  }

  /** At least a byte, at most `length`, from an offset that may be given. */
  async read(at: number, length: number): Promise<Buffer> {
    const chunk = Buffer.allocUnsafe(Math.min(length, this.readable - at));
    const { bytesRead } = await this.#file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) throw new Error(`the file of a growing blob ends at ${at}`);
    return chunk.subarray(0, bytesRead);
  }

  /** What ended it, once its writer has: undefined where it is whole. */
  get over(): Promise<unknown> {
    return this.#over.promise;
  }

  /** Keeps it open until {@link release}; false where it has been closed, since nobody held it any more. */
  hold(): boolean {
    if (this.#holders === 0) return false;
    this.#holders += 1;
    return true;
  }

  async release(): Promise<void> {
    this.#holders -= 1;
    if (this.#holders === 0) await this.#file.close();
  }

  /** Its writer has ended. @param failure why it is not whole */
  async end(failure?: unknown): Promise<void> {
    this.#over.resolve(failure);
    await this.release();
  }
}
