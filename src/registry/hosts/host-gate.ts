import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';

import { type Abortable, abortedError, throwIfAborted } from '../../errors.js';

export interface HostGateOptions {
  /** Requests at once, the reading of their bodies included. Default: no bound. */
  readonly maxConnections?: number | undefined;
  readonly requestsPerSecond?: number | undefined;
}

/** After a 429 the bound rises by one for so many answers that were none. */
const ANSWERS_PER_STEP = 4;

interface Waiter {
  readonly enter: () => void;
}

/**
 * What all requests to one host pass through: it bounds how many are under way and how many start per second. When the
 * host answers 429, the bound is halved for everybody and nothing starts before the time that it named; the bound rises
 * again while it answers.
 */
export class HostGate {
  readonly #maxConnections: number;
  readonly #intervalMs: number;
  #bound: number;
  #active = 0;
  #answers = 0;
  #slowedAt = Number.NEGATIVE_INFINITY;
  /** By `performance.now()`: when the next request may start. */
  #opensAt = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #waiting: Waiter[] = [];

  constructor(options: HostGateOptions = {}) {
    this.#maxConnections = options.maxConnections ?? Number.POSITIVE_INFINITY;
    this.#intervalMs = options.requestsPerSecond === undefined ? 0 : 1000 / options.requestsPerSecond;
    this.#bound = this.#maxConnections;
  }

  /** How many may be under way at the moment. */
  get bound(): number {
    return this.#bound;
  }

  /** Waits for its turn, in order. What it resolves to must be called when the exchange is over; twice does no harm. */
  async enter({ signal }: Abortable = {}): Promise<() => void> {
    throwIfAborted(signal);
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        enter: () => {
          signal?.removeEventListener('abort', leave);
          resolve();
        },
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        // It may be set for minutes, and would keep the process alive for nobody.
        if (this.#waiting.length === 0) clearTimeout(this.#timer);
        reject(abortedError(signal));
      };
      // That many wait under one signal is no leak.
      if (signal !== undefined) setMaxListeners(0, signal);
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiter);
      this.#admit();
    });
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
   * @param startedAt when the request started, by `performance.now()`: several that were refused together count once
   */
  slowDown(retryAfterMs: number | undefined, startedAt: number): void {
    const now = performance.now();
    if (retryAfterMs !== undefined) this.#opensAt = Math.max(this.#opensAt, now + retryAfterMs);
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

  #admit(): void {
    while (this.#active < this.#bound && this.#waiting.length > 0) {
      const wait = this.#opensAt - performance.now();
      if (wait > 0) {
        this.#admitIn(wait);
        return;
      }
      this.#active += 1;
      this.#opensAt = Math.max(this.#opensAt, performance.now()) + this.#intervalMs;
      this.#waiting.shift()?.enter();
    }
  }

  #admitIn(milliseconds: number): void {
    clearTimeout(this.#timer);
    // Timers may fire a little early; then it is set once more.
    this.#timer = setTimeout(() => this.#admit(), Math.ceil(milliseconds));
  }
}
