import type { Abortable } from '../../errors.js';
import { readVerifiedContent, verifiedContent } from '../verified-content.js';
import type { ArchivedBlob } from './archive-contents.js';

export interface PrefetchOptions extends Abortable {
  /** What is larger is not held in memory but passed on. Default 8 MiB. */
  readonly smallBytes?: number | undefined;
  /** Held in memory at once. Default 64 MiB. */
  readonly memoryBytes?: number | undefined;
  /** That are on their way at once. Default 8. */
  readonly concurrency?: number | undefined;
}

const MiB = 1024 * 1024;

/**
 * Gives blobs in order, while the next small ones are on their way: what each costs is mostly the time until its first byte.
 * Each is verified. To be disposed of in any case.
 */
export class PrefetchedBlobs implements AsyncDisposable {
  readonly #blobs: readonly ArchivedBlob[];
  readonly #smallBytes: number;
  readonly #memoryBytes: number;
  readonly #concurrency: number;
  readonly #ended = new AbortController();
  readonly #signal: AbortSignal;
  readonly #fetched = new Map<number, Promise<Buffer>>();
  #next = 0;
  #running = 0;
  #held = 0;

  constructor(blobs: readonly ArchivedBlob[], o: PrefetchOptions = {}) {
    this.#blobs = blobs;
    this.#smallBytes = o.smallBytes ?? 8 * MiB;
    this.#memoryBytes = o.memoryBytes ?? 64 * MiB;
    this.#concurrency = o.concurrency ?? 8;
    this.#signal =
      o.signal === undefined ? this.#ended.signal : AbortSignal.any([o.signal, this.#ended.signal]);
  }

  /**
   * The bytes of the next blob, in order.
   * Errors: as `verifiedContent`.
   */
  async *take(at: number): AsyncGenerator<Buffer, void, undefined> {
    const blob = this.#blobs[at];
    if (blob === undefined) return;
    if (blob.bytes !== undefined) {
      yield blob.bytes;
      return;
    }
    this.#next = Math.max(this.#next, at);
    this.#fill();
    const fetched = this.#fetched.get(at);
    if (fetched === undefined) {
      this.#next = Math.max(this.#next, at + 1);
      yield* verifiedContent(blob.descriptor, blob.open, {
        signal: this.#signal,
        onProgress: blob.onProgress,
      });
      return;
    }
    try {
      yield await fetched;
    } finally {
      this.#fetched.delete(at);
      this.#held -= blob.descriptor.size;
      this.#fill();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await Promise.allSettled(this.#fetched.values());
  }

  #fill(): void {
    while (this.#running < this.#concurrency && !this.#signal.aborted) {
      const blob = this.#blobs[this.#next];
      if (blob === undefined) return;
      const { size } = blob.descriptor;
      const isSmall = blob.bytes === undefined && size <= this.#smallBytes;
      if (isSmall && this.#held > 0 && this.#held + size > this.#memoryBytes) return;
      const at = this.#next;
      this.#next += 1;
      if (isSmall) this.#fetch(at, blob);
    }
  }

  #fetch(at: number, blob: ArchivedBlob): void {
    const { descriptor, open, onProgress } = blob;
    this.#held += descriptor.size;
    this.#running += 1;
    const fetched = readVerifiedContent(descriptor, open, { signal: this.#signal, onProgress }).finally(
      () => {
        this.#running -= 1;
        this.#fill();
      },
    );
    // Looked at when its turn comes, which may be never.
    fetched.catch(() => undefined);
    this.#fetched.set(at, fetched);
  }
}
