import type { Throughput } from './timeline.js';

/** Milliseconds of the first intervals, and so many of them before two become one. */
const FINEST_MS = 25;
const MOST = 2048;

/** Counts what comes in equal intervals of time, which become longer as time goes on: in the end there are 1,024 to 2,048 of them. */
export class ThroughputCounter {
  #interval = FINEST_MS;
  #bytes: number[] = [];

  /**
   * @param since when the bytes before these came: they are spread from then on
   * @param at milliseconds since the beginning
   */
  add(bytes: number, since: number, at: number): void {
    if (bytes <= 0) return;
    while (at / this.#interval >= MOST) this.#coarsen();
    const first = this.#place(since);
    const last = Math.max(first, this.#place(at));
    const span = at - since;
    for (let place = first; place <= last; place += 1) {
      const start = Math.max(since, place * this.#interval);
      const end = Math.min(at, (place + 1) * this.#interval);
      const share = first === last || span <= 0 ? 1 / (last - first + 1) : (end - start) / span;
      this.#bytes[place] = (this.#bytes[place] ?? 0) + bytes * share;
    }
  }

  /** In whole bytes, which together are all of them. */
  throughput(): Throughput {
    let sum = 0;
    const bytes = Array.from({ length: this.#bytes.length }, (_, at) => {
      const before = Math.round(sum);
      sum += this.#bytes[at] ?? 0;
      return Math.round(sum) - before;
    });
    return { interval: this.#interval, bytes };
  }

  #place(at: number): number {
    return Math.max(0, Math.floor(at / this.#interval));
  }

  #coarsen(): void {
    this.#interval *= 2;
    this.#bytes = Array.from(
      { length: Math.ceil(this.#bytes.length / 2) },
      (_, at) => (this.#bytes[2 * at] ?? 0) + (this.#bytes[2 * at + 1] ?? 0),
    );
  }
}
