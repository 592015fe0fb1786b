/** Ends what makes no progress for some time. Time in which it can make none is left out. */
export class StallWatch implements Disposable {
  readonly #ms: number;
  readonly #onStall: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param ms how long nothing may happen */
  constructor(ms: number, onStall: () => void) {
    this.#ms = ms;
    this.#onStall = onStall;
    this.progressed();
  }

  /** From now on the time does not count, until there is progress. */
  pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  progressed(): void {
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#onStall();
      }, this.#ms);
      this.#timer.unref();
    } else this.#timer.refresh();
  }

  [Symbol.dispose](): void {
    this.pause();
  }
}
