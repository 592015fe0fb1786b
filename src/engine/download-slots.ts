import pLimit, { type LimitFunction } from 'p-limit';

/** Bounds how many downloads are under way at once. One that is large may use what the others leave free. */
export class DownloadSlots {
  readonly #limit: LimitFunction;
  readonly #slots: number;
  #extra = 0;

  constructor(slots: number) {
    this.#limit = pLimit(slots);
    this.#slots = slots;
  }

  /** Runs it when a slot is free, in order. */
  async run<T>(download: () => Promise<T>): Promise<T> {
    return await this.#limit(download);
  }

  /** One more slot, if nobody else wants it; what is returned gives it back. */
  tryTake(): (() => void) | undefined {
    if (this.#limit.pendingCount > 0 || this.#limit.activeCount + this.#extra >= this.#slots)
      return undefined;
    this.#extra += 1;
    let back = false;
    return () => {
      if (!back) this.#extra -= 1;
      back = true;
    };
  }
}
