/** Ends what makes no progress for some time. */
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

  progressed(): void {
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#onStall();
      }, this.#ms);
      this.#timer.unref();
    } else this.#timer.refresh();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
