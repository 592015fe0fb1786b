import { performance } from 'node:perf_hooks';

/**
 * Bytes may come a little faster for so long before they are held back, in seconds: enough that timers need
 * not be exact.
 */
const BURST_S = 0.1;

/**
 * A bound on bytes per second, shared by all that it is given to: `--limit-rate` holds for the whole process.
 */
export class ByteRateLimit {
  /** On average, over all that share it. */
  readonly bytesPerSecond: number;
  #debt = 0;
  #at: number = performance.now();

  constructor(bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond;
  }

  /** Counts bytes that have come, and says for how many milliseconds no more should be asked for. */
  take(bytes: number): number {
    const now = performance.now();
    this.#debt = Math.max(0, this.#debt - ((now - this.#at) / 1000) * this.bytesPerSecond) + bytes;
    this.#at = now;
    const over = this.#debt - this.bytesPerSecond * BURST_S;
    return over <= 0 ? 0 : (over / this.bytesPerSecond) * 1000;
  }
}
