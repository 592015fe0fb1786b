import { performance } from 'node:perf_hooks';

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
