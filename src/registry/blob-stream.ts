import { Readable } from 'node:stream';

import type { BodySource } from './http/body-source.js';
import type { BlobOutcome } from './hosts/host-chain.js';
import { RateWatch } from './rate-watch.js';

// Enough that the socket is seldom paused while the reader writes to disk, little enough for many at once.
const BUFFER_BYTES = 512 * 1024;

export interface BlobStreamOptions {
  /** Bytes to leave out at the start: the server sent more than was asked for. */
  readonly skip: number;
  /** Bytes to yield after them. */
  readonly length: number;
  /** What further bytes mean: the server ignored the range, or the content is not what was promised. */
  readonly surplus: 'ignore' | (() => Error);
  /** The error for a body that ends early without a fault of the connection. */
  readonly shortfall: (received: number) => Error;
  /** A body that comes more slowly than this ends with the error. Default: however slow. */
  readonly pace?: BlobPace | undefined;
  readonly onProgress?: (received: number) => void;
  /** Called once: all that was wanted has come, or it broke, or was destroyed by its reader. */
  readonly onOver?: (outcome: BlobOutcome) => void;
}

export interface BlobPace {
  readonly minBytesPerSecond: number;
  readonly windowMs: number;
  readonly tooSlow: (bytesPerSecond: number) => Error;
}

/**
 * A body as a stream of exactly the bytes wanted. When the connection breaks, what has arrived is read before the error
 * is met, so that a resumed download need not fetch it again. Destroying it closes the connection.
 */
export class BlobStream extends Readable {
  readonly #source: BodySource;
  readonly #options: BlobStreamOptions;
  #skip: number;
  #remaining: number;
  #held: Error | undefined;
  #over = false;
  readonly #watch: RateWatch | undefined;
  readonly #begun: PromiseWithResolversLike;

  constructor(source: BodySource, options: BlobStreamOptions) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#source = source;
    this.#options = options;
    this.#skip = options.skip;
    this.#remaining = options.length;
    this.#begun = withResolvers();
    const { pace } = options;
    this.#watch =
      pace === undefined
        ? undefined
        : new RateWatch({
            ...pace,
            onSlow: (bytesPerSecond) => this.#fail(pace.tooSlow(bytesPerSecond), true),
          });
    // The connection may break before the reader listens; it meets the error when it reads.
    this.on('error', () => undefined);
    source.start({
      data: (chunk) => this.#take(chunk),
      limited: (isHeldBack) => {
        if (isHeldBack) this.#watch?.pause('limit');
        else this.#watch?.resume('limit');
      },
      end: () => {
        if (this.#remaining === 0) this.#complete();
        else this.#fail(options.shortfall(this.#received));
      },
      error: (error) => this.#fail(error),
    });
  }

  /** Bytes that it is to yield. */
  get wanted(): number {
    return this.#options.length;
  }

  /** Resolves with the first byte, wanted or not, or an orderly end; rejects when it fails before. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  override _read(): void {
    this.#watch?.resume('reader');
    this.#source.resume();
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    if (this.#held !== undefined && this.readableLength === 0) this.destroy(this.#held);
    return chunk;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source.destroy();
    this.#tellOver(error === null ? {} : { error });
    callback(error);
  }

  #take(chunk: Buffer): boolean {
    if (this.#skip >= chunk.length) {
      this.#skip -= chunk.length;
      // The reader may not want to wait for all that is left out.
      this.#begun.resolve();
      return true;
    }
    let wanted = this.#skip === 0 ? chunk : chunk.subarray(this.#skip);
    this.#skip = 0;
    if (wanted.length > this.#remaining) {
      if (this.#options.surplus !== 'ignore') {
        this.#fail(this.#options.surplus());
        return true;
      }
      wanted = wanted.subarray(0, this.#remaining);
    }
    this.#remaining -= wanted.length;
    this.#watch?.came(wanted.length);
    this.#options.onProgress?.(this.#received);
    const more = wanted.length === 0 || this.push(wanted);
    if (!more) this.#watch?.pause('reader');
    this.#begun.resolve();
    if (this.#remaining === 0 && this.#options.surplus === 'ignore') {
      this.#source.destroy();
      this.#complete();
    }
    return more;
  }

  get #received(): number {
    return this.#options.length - this.#remaining;
  }

  #complete(): void {
    this.#tellOver({ whole: true });
    this.#begun.resolve();
    this.push(null);
  }

  #fail(error: Error, slow = false): void {
    this.#tellOver({ error, slow });
    this.#begun.reject(error);
    this.#source.destroy();
    if (this.readableLength === 0) this.destroy(error);
    else this.#held = error;
  }

  #tellOver(outcome: Omit<BlobOutcome, 'bytes'>): void {
    this.#watch?.stop();
    if (this.#over) return;
    this.#over = true;
    this.#options.onOver?.({ ...outcome, bytes: this.#received });
  }
}

interface PromiseWithResolversLike {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

function withResolvers(): PromiseWithResolversLike {
  let settle: Omit<PromiseWithResolversLike, 'promise'> | undefined;
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  promise.catch(() => undefined);
  return { promise, resolve: () => settle?.resolve(), reject: (error) => settle?.reject(error) };
}
