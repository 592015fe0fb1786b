import { performance } from 'node:perf_hooks';
import { LONGEST_TIMER_MS, WaitingLine } from '../../concurrency/index.js';
import { type Abortable, RegistryError, throwIfAborted } from '../../errors.js';
import { MAX_RETRY_AFTER_MS } from '../http/retry.js';

/** When a host is left for the next one. */
export interface FailoverOptions {
  /**
   * How long a host that failed is left alone, in milliseconds; each further failure doubles it. Default
   * 10,000.
   */
  readonly pauseMs?: number;
  /** The longest such pause, in milliseconds. Default 300,000. */
  readonly maxPauseMs?: number;
  /** How long a host may take to answer while another could be asked, in milliseconds. Default 20,000. */
  readonly firstByteMs?: number;
  /** A blob that comes slower than this is gone on with at another host, if there is one. Default 32 KiB. */
  readonly minBytesPerSecond?: number;
  /** The time over which that is measured, in milliseconds. Default 10,000. */
  readonly windowMs?: number;
}

/** Of a host that has not shown what it can do, so many blobs are asked for at once. */
const ON_TRIAL = 2;
/** What shows it: so much of one blob, or so many whole ones. */
const PROVING_BYTES = 2 * 1024 * 1024;
const PROVING_BLOBS = 8;

/**
 * What is known of one host by all that ask it: whether it is being left alone, and whether it has delivered
 * yet.
 */
export class HostHealth {
  readonly #options: FailoverOptions;
  #failures = 0;
  #pausedUntil = 0;
  #proven = false;
  #delivered = 0;
  #onTrial = 0;
  readonly #line = new WaitingLine();

  constructor(options: FailoverOptions = {}) {
    this.#options = options;
  }

  /** Milliseconds for which it is still left alone. */
  get pause(): number {
    return Math.max(0, this.#pausedUntil - performance.now());
  }

  /** How many wait to be entrusted with a blob. */
  get waiting(): number {
    return this.#line.size;
  }

  /** @param atLeastMs what the host itself asked for */
  failed(atLeastMs = 0): void {
    const { pauseMs = 10_000, maxPauseMs = 300_000 } = this.#options;
    const pause = Math.min(maxPauseMs, pauseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    this.#pausedUntil = performance.now() + Math.max(pause, atLeastMs);
    this.#proven = false;
    this.#delivered = 0;
    this.#line.admitAll();
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pausedUntil = 0;
  }

  /** @param bytes of one blob so far, or all of it */
  delivered(bytes: number, whole: boolean): void {
    if (whole) this.#delivered += 1;
    if (this.#proven || (bytes < PROVING_BYTES && this.#delivered < PROVING_BLOBS)) return;
    this.#proven = true;
    this.#line.admitAll();
  }

  /**
   * Waits until one more blob may be asked for. All would be lost at once if the host were to stall, so only
   * a few are entrusted to it before it has delivered.
   *
   * @param stillWanted false once the host is left alone
   * @returns what must be called when the blob is over; undefined where the host failed meanwhile
   */
  async enter(stillWanted: () => boolean, { signal }: Abortable): Promise<(() => void) | undefined> {
    while (stillWanted()) {
      throwIfAborted(signal);
      if (this.#proven || this.#onTrial < ON_TRIAL) {
        this.#onTrial += 1;
        let left = false;
        return () => {
          if (left) return;
          left = true;
          this.#onTrial -= 1;
          this.#line.admitAll();
        };
      }
      await this.#line.wait(undefined, { signal });
    }
    return undefined;
  }
}

/** The health of hosts, for as long as their configuration stays the same. */
export class HostHealths {
  readonly #options: FailoverOptions;
  readonly #healths = new WeakMap<object, HostHealth>();

  constructor(options: FailoverOptions = {}) {
    this.#options = options;
  }

  of(host: object): HostHealth {
    let health = this.#healths.get(host);
    if (health === undefined) this.#healths.set(host, (health = new HostHealth(this.#options)));
    return health;
  }
}

export interface HostLimiterOptions {
  /** Of the host, in messages. Default `the host`. */
  readonly name?: string;
  /** A host that wants to be left alone for longer is not waited for. Default 120,000. */
  readonly maxRetryAfterMs?: number | undefined;
  /** Requests at once, the reading of their bodies included. Default: no bound. */
  readonly maxConnections?: number | undefined;
  readonly requestsPerSecond?: number | undefined;
}

/** After a 429 the bound rises by one for so many answers that were none. */
const ANSWERS_PER_STEP = 4;

/**
 * What all requests to one host pass through: it bounds how many are under way and how many start per second.
 * When the host answers 429, the bound is halved for all requests and nothing starts before the time that it
 * named; the bound rises again while it answers. Where that time is further off than is waited for, what
 * would wait is refused instead; after the longest wait one request finds out whether the host still means
 * it.
 */
export class HostLimiter {
  readonly #name: string;
  readonly #maxRetryAfterMs: number;
  readonly #maxConnections: number;
  readonly #intervalMs: number;
  #bound: number;
  #active = 0;
  #answers = 0;
  #slowedAt = Number.NEGATIVE_INFINITY;
  /** By `performance.now()`: when the next request may start. */
  #opensAt = 0;
  /** By the same clock: the time that the host named, where it is not waited for. */
  #refusedUntil: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #line = new WaitingLine();

  constructor(options: HostLimiterOptions = {}) {
    this.#name = options.name ?? 'the host';
    this.#maxRetryAfterMs = options.maxRetryAfterMs ?? MAX_RETRY_AFTER_MS;
    this.#maxConnections = options.maxConnections ?? Number.POSITIVE_INFINITY;
    this.#intervalMs = options.requestsPerSecond === undefined ? 0 : 1000 / options.requestsPerSecond;
    this.#bound = this.#maxConnections;
  }

  /** How many may be under way at the moment. */
  get bound(): number {
    return this.#bound;
  }

  /** How many are under way. */
  get active(): number {
    return this.#active;
  }

  /** How many wait to be. */
  get waiting(): number {
    return this.#line.size;
  }

  /**
   * Waits for its turn, in order. What it resolves to must be called when the exchange is over; twice does no
   * harm.
   *
   * @throws {RegistryError} RATE_LIMITED where the host wants to be left alone for longer than is waited for
   */
  async enter({ signal }: Abortable = {}): Promise<() => void> {
    throwIfAborted(signal);
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    const attempt = this.#line.wait(undefined, { signal });
    this.#admit();
    try {
      await attempt;
    } catch (error) {
      this.#admit();
      throw error;
    }
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#active -= 1;
      this.#admit();
    };
  }

  /**
   * The host answered 429.
   *
   * @param retryAfterMs for how long it wants to be left alone, if it said so
   * @param startedAt when the request started, by `performance.now()`: several that were refused together
   *   count once
   */
  slowDown(retryAfterMs: number | undefined, startedAt: number): void {
    const now = performance.now();
    if (retryAfterMs !== undefined) this.#close(now, retryAfterMs);
    this.#answers = 0;
    if (startedAt < this.#slowedAt) return;
    this.#slowedAt = now;
    // The one that was refused is under way still.
    const underWay = Math.min(this.#bound, Math.max(1, this.#active));
    this.#bound = Math.max(1, Math.floor(underWay / 2));
  }

  /** The host answered, and not 429. */
  speedUp(): void {
    if (this.#bound >= this.#maxConnections) return;
    this.#answers += 1;
    if (this.#answers < ANSWERS_PER_STEP) return;
    this.#answers = 0;
    this.#bound += 1;
    this.#admit();
  }

  #close(now: number, retryAfterMs: number): void {
    this.#opensAt = Math.max(this.#opensAt, now + Math.min(retryAfterMs, this.#maxRetryAfterMs));
    if (retryAfterMs <= this.#maxRetryAfterMs) return;
    this.#refusedUntil = now + retryAfterMs;
    clearTimeout(this.#timer);
    const refusal = this.#refusal();
    if (refusal === undefined) return;
    for (const waiter of [...this.#line]) waiter.refuse(refusal);
  }

  /** What is said instead of waiting; undefined once one may be asked again. */
  #refusal(): RegistryError | undefined {
    const now = performance.now();
    if (now >= this.#opensAt) this.#refusedUntil = undefined;
    if (this.#refusedUntil === undefined) return undefined;
    return new RegistryError('RATE_LIMITED', `${this.#name} limits how often it may be asked`, {
      retryable: true,
      details: { retryAfterMs: Math.ceil(this.#refusedUntil - now) },
    });
  }

  #admit(): void {
    while (this.#active < this.#bound && this.#line.size > 0) {
      const wait = this.#opensAt - performance.now();
      if (wait > 0) {
        this.#admitIn(wait);
        return;
      }
      this.#active += 1;
      this.#opensAt = Math.max(this.#opensAt, performance.now()) + this.#intervalMs;
      this.#line.admitFirst();
    }
    // It may be set for minutes, and would keep the process alive for nothing.
    if (this.#line.size === 0) clearTimeout(this.#timer);
  }

  #admitIn(milliseconds: number): void {
    clearTimeout(this.#timer);
    // Timers may fire a little early, and cannot be set for months; then it is set once more.
    this.#timer = setTimeout(() => this.#admit(), Math.min(Math.ceil(milliseconds), LONGEST_TIMER_MS));
  }
}
