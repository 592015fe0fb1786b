import type { Readable } from 'node:stream';

import type { ByteRange, ContentStore, IngestWriter, LeaseStore } from '../../content/index.js';
import { downloadBlob } from '../../engine/blob-download.js';
import type { BudgetShare } from '../../engine/pull-budget.js';
import { isWrongContent } from '../../errors.js';
import type { Fetcher } from '../../registry/index.js';
import type { Descriptor } from '../../spec/index.js';
import { type Deferred, deferred } from '../../concurrency/index.js';
import { GrowingBlobStream } from './growing-blob-stream.js';
import { GrowingFile } from './growing-file.js';

export interface BlobFlowOptions {
  readonly content: ContentStore;
  readonly leases: LeaseStore;
  readonly fetcher: Fetcher;
  readonly descriptor: Descriptor;
  /** `registry/repository`, recorded with the blob. */
  readonly source: string;
  readonly budget: BudgetShare;
}

/** What is smaller, such as a config, is waited for before anything else can go on, so it waits behind no layer. */
const SMALL_BYTES = 256 * 1024;

/**
 * One blob on its way into the store, for all who want it: it is fetched once, and each reader follows what has come. It goes
 * on for as long as anybody wants it. When nobody does it stops, and what has come is kept, for the next one to go on with.
 */
export class BlobFlow {
  readonly descriptor: Descriptor;
  /** Settles when the blob is here, or will not come. */
  readonly done: Promise<void>;
  readonly #options: BlobFlowOptions;
  readonly #stop = new AbortController();
  /** The file that can be followed; undefined where the blob is in the store; rejects where it will not come. */
  #current: Deferred<GrowingFile | undefined> = silent();
  #wanted = 0;

  constructor(options: BlobFlowOptions) {
    this.#options = options;
    this.descriptor = options.descriptor;
    this.done = this.#run();
    this.done.catch(() => undefined);
  }

  /** Whether it was given up: whoever wants the blob now begins anew. */
  get isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Wants the blob until the returned function is called. */
  want(): () => void {
    this.#wanted += 1;
    let wants = true;
    return () => {
      if (wants) this.#wanted -= 1;
      wants = false;
      if (this.#wanted === 0) this.stop();
    };
  }

  stop(): void {
    this.#stop.abort();
  }

  /**
   * The blob, or a part of it, from the moment on when the first byte is here. The reader is one who wants it, until its
   * stream is closed.
   *
   * Errors: those of fetcher and content store; ABORTED where nobody wanted it any more.
   */
  async open(range?: ByteRange): Promise<Readable> {
    const leave = this.want();
    try {
      for (;;) {
        const file = await this.#current.promise;
        if (file === undefined) {
          const stream = await this.#options.content.open(this.descriptor, range);
          leave();
          return stream;
        }
        // Closed between the moment at which it was given and this one: something else has taken its place.
        if (!file.hold()) continue;
        try {
          await file.wait(0, { signal: this.#stop.signal });
          if (file.readable > 0 || file.size === 0) return new GrowingBlobStream(file, range, leave);
          // Nothing of it was given to anybody here, so the next try is as good as the first.
          await file.over;
        } finally {
          await file.release();
        }
      }
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #run(): Promise<void> {
    const { leases, budget, descriptor } = this.#options;
    const { signal } = this.#stop;
    try {
      await using lease = await leases.create();
      await lease.addBlob(descriptor.digest);
      const bring = async (): Promise<void> => {
        while (!(await this.#attempt()));
      };
      if (descriptor.size <= SMALL_BYTES) await bring();
      else await budget.download({ bytes: descriptor.size, signal }, bring);
    } catch (error) {
      this.#replaceCurrent().reject(error);
      throw error;
    }
  }

  /** One try to bring it; false where another one may do better. */
  async #attempt(): Promise<boolean> {
    const { content, descriptor, source } = this.#options;
    const writer = await content.ingest(descriptor, { signal: this.#stop.signal, source });
    if (writer === undefined) {
      this.#replaceCurrent().resolve(undefined);
      return true;
    }
    await using held = writer;
    const resumed = held.frontier > 0 || arrivedIn(held) > 0;
    const file = await GrowingFile.open(held);
    this.#replaceCurrent().resolve(file);
    try {
      await this.#transfer(held);
      await held.commit();
      this.#replaceCurrent().resolve(undefined);
      await file.end();
      return true;
    } catch (error) {
      const again = await this.#mayTryAgain(error, resumed);
      // Before its readers look for what comes in its place.
      const next = this.#replaceCurrent();
      if (!again) next.reject(error);
      await file.end(error);
      if (!again) throw error;
      // What came before the surplus is no better.
      await held.discard();
      return false;
    }
  }

  async #transfer(writer: IngestWriter): Promise<void> {
    const { fetcher, budget } = this.#options;
    await downloadBlob({
      fetcher,
      writer,
      extra: budget.extra,
      signal: this.#stop.signal,
      onBytes: () => undefined,
      onRetry: () => undefined,
    });
  }

  /** Another try may bring the right bytes; and what an earlier process left may have been damaged since. */
  async #mayTryAgain(error: unknown, resumed: boolean): Promise<boolean> {
    if (!isWrongContent(error) || this.isStopped) return false;
    return (resumed && error.retryable) || (await this.#options.fetcher.distrust(this.descriptor));
  }

  /** What whoever waits for the current file waits for from now on. */
  #replaceCurrent(): Deferred<GrowingFile | undefined> {
    const before = this.#current;
    const next = silent<GrowingFile | undefined>();
    this.#current = next;
    next.promise.then(before.resolve, before.reject);
    return next;
  }
}

/** One whose failure is told by others too. */
function silent<T>(): Deferred<T> {
  const one = deferred<T>();
  one.promise.catch(() => undefined);
  return one;
}

/** How many bytes of its blob a writer has. */
function arrivedIn(writer: IngestWriter): number {
  const missing = writer.missing().reduce((sum, { start, end }) => sum + end - start, 0);
  return writer.descriptor.size - missing;
}
