import { performance } from 'node:perf_hooks';
import { type Deferred, deferred } from '../concurrency/index.js';
import type { BlobOutcome } from './hosts/host-chain.js';
import type { BodySource } from './http/http.js';

/**
 * So much is gathered while the reader is busy with what it took before; then the connection is paused. Together with that,
 * a connection holds at most twice as many bytes, and one chunk. Enough that the reader writes it with one call.
 */
const BATCH_BYTES = 512 * 1024;
/** The same for a body that comes in tiny chunks, of which each costs some memory of its own. */
const BATCH_CHUNKS = 1024;

/** The bytes of a part as they arrive, for one reader. */
export interface PartBody {
  /**
   * All that has arrived since the last call, at least a byte; waits where nothing has; undefined at the end. One call at a
   * time. What is given is the caller's to keep.
   *
   * @throws what ended the body early, after everything that did arrive was given
   */
  next(): Promise<readonly Uint8Array[] | undefined>;
  /** Ends it, and closes the connection if bytes are still to come. Twice does no harm. */
  destroy(): void;
}

export interface BlobBodyOptions {
  /** Bytes to leave out at the start: the server sent more than was asked for. */
  readonly skip: number;
  /** Bytes to give after them. */
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

/** How it ended: `error` where not all that was wanted has come. */
interface BodyEnd {
  readonly error?: Error;
}

interface BodyReader {
  readonly resolve: (batch: readonly Uint8Array[] | undefined) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A body as exactly the bytes wanted. When the connection breaks, what has arrived is given before the error is met, so that
 * a resumed download need not fetch it again.
 */
export class BlobBody implements PartBody {
  readonly #source: BodySource;
  readonly #options: BlobBodyOptions;
  readonly #watch: RateWatch | undefined;
  readonly #begun: Deferred<undefined> = deferred();
  readonly #arrived: Deferred<undefined> = deferred();
  #skip: number;
  #remaining: number;
  /** What has arrived and was not given yet. */
  #batch: Buffer[] = [];
  #batchBytes = 0;
  #end: BodyEnd | undefined;
  #reader: BodyReader | undefined;
  #over = false;

  constructor(source: BodySource, options: BlobBodyOptions) {
    this.#source = source;
    this.#options = options;
    this.#skip = options.skip;
    this.#remaining = options.length;
    // Who waits for it may have left by then.
    this.#begun.promise.catch(() => undefined);
    this.#arrived.promise.catch(() => undefined);
    const { pace } = options;
    this.#watch =
      pace === undefined
        ? undefined
        : new RateWatch({
            ...pace,
            onSlow: (bytesPerSecond) => this.#fail(pace.tooSlow(bytesPerSecond), true),
          });
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

  /** Bytes that it is to give. */
  get wanted(): number {
    return this.#options.length;
  }

  /** Resolves with the first byte, wanted or not, or an orderly end; rejects when it fails before. */
  get begun(): Promise<undefined> {
    return this.#begun.promise;
  }

  /** The same with the first byte that is wanted. */
  get arrived(): Promise<undefined> {
    return this.#arrived.promise;
  }

  next(): Promise<readonly Uint8Array[] | undefined> {
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#give();
    });
  }

  destroy(): void {
    this.#source.destroy();
    this.#batch = [];
    this.#end ??= {};
    this.#tellOver({});
    this.#give();
  }

  /** Gives the reader that waits, if there is one, what there is: bytes before the end. */
  #give(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    if (this.#batch.length > 0) {
      const batch = this.#batch;
      this.#reader = undefined;
      this.#batch = [];
      this.#batchBytes = 0;
      reader.resolve(batch);
      this.#watch?.resume('reader');
      this.#source.resume();
    } else if (this.#end !== undefined) {
      this.#reader = undefined;
      if (this.#end.error === undefined) reader.resolve(undefined);
      else reader.reject(this.#end.error);
    }
  }

  /** @returns whether more may come at once */
  #take(chunk: Buffer): boolean {
    if (this.#skip >= chunk.length) {
      this.#skip -= chunk.length;
      // The reader may not want to wait for all that is left out.
      this.#begun.resolve(undefined);
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
    this.#keep(wanted);
    this.#begun.resolve(undefined);
    if (wanted.length > 0) this.#arrived.resolve(undefined);
    if (this.#remaining === 0 && this.#options.surplus === 'ignore') {
      this.#source.destroy();
      this.#complete();
    }
    this.#give();
    const more = this.#batchBytes < BATCH_BYTES && this.#batch.length < BATCH_CHUNKS;
    if (!more) this.#watch?.pause('reader');
    return more;
  }

  #keep(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#batch.push(chunk);
    this.#batchBytes += chunk.length;
    this.#remaining -= chunk.length;
    this.#watch?.came(chunk.length);
    this.#options.onProgress?.(this.#received);
  }

  get #received(): number {
    return this.#options.length - this.#remaining;
  }

  #complete(): void {
    this.#tellOver({ whole: true });
    this.#begun.resolve(undefined);
    this.#arrived.resolve(undefined);
    this.#end ??= {};
    this.#give();
  }

  #fail(error: Error, slow = false): void {
    this.#tellOver({ error, slow });
    this.#begun.reject(error);
    this.#arrived.reject(error);
    this.#source.destroy();
    this.#end ??= { error };
    this.#give();
  }

  #tellOver(outcome: Omit<BlobOutcome, 'bytes'>): void {
    this.#watch?.stop();
    if (this.#over) return;
    this.#over = true;
    this.#options.onOver?.({ ...outcome, bytes: this.#received });
  }
}

/** How often it looks, in a window. */
const LOOKS = 4;

export interface RateWatchOptions {
  readonly minBytesPerSecond: number;
  readonly windowMs: number;
  /** Called once, with the bytes per second of the last window. */
  readonly onSlow: (bytesPerSecond: number) => void;
}

/** Who may want no bytes for a while: who reads them, and the limit of bytes per second. */
export type Holder = 'reader' | 'limit';

/** Watches how fast bytes come. Time during which somebody wanted none does not count. */
export class RateWatch {
  readonly #options: RateWatchOptions;
  readonly #timer: NodeJS.Timeout;
  /** Of the last looks, the newest last. */
  readonly #looks: { bytes: number; wantedMs: number }[] = [];
  readonly #holders = new Set<Holder>();
  #bytes = 0;
  #wantedMs = 0;
  /** Since when bytes have been wanted, by `performance.now()`. */
  #wantedSince: number | undefined = performance.now();

  constructor(options: RateWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), options.windowMs / LOOKS);
    this.#timer.unref();
  }

  came(bytes: number): void {
    this.#bytes += bytes;
  }

  /** No more are wanted until {@link resume}. */
  pause(holder: Holder): void {
    this.#holders.add(holder);
    this.#count();
    this.#wantedSince = undefined;
  }

  resume(holder: Holder): void {
    this.#holders.delete(holder);
    if (this.#holders.size === 0) this.#wantedSince ??= performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #count(): void {
    if (this.#wantedSince === undefined) return;
    const now = performance.now();
    this.#wantedMs += now - this.#wantedSince;
    this.#wantedSince = now;
  }

  #look(): void {
    this.#count();
    this.#looks.push({ bytes: this.#bytes, wantedMs: this.#wantedMs });
    this.#bytes = 0;
    this.#wantedMs = 0;
    if (this.#looks.length > LOOKS) this.#looks.shift();
    const wantedMs = this.#looks.reduce((sum, look) => sum + look.wantedMs, 0);
    // Where it was seldom wanted, little says nothing.
    if (this.#looks.length < LOOKS || wantedMs < this.#options.windowMs * 0.75) return;
    const rate = (this.#looks.reduce((sum, look) => sum + look.bytes, 0) / wantedMs) * 1000;
    if (rate >= this.#options.minBytesPerSecond) return;
    this.stop();
    this.#options.onSlow(rate);
  }
}
