import { deferred, type Deferred } from '../../concurrency/index.js';

/** Messages between who makes them and who sends them. Where too many wait, the oldest go. */
export class MessageQueue<T> implements AsyncIterable<T> {
  readonly #most: number;
  readonly #waiting: T[] = [];
  #changed: Deferred<undefined> = deferred();
  #ended = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** How many messages nobody has taken. */
  get waiting(): number {
    return this.#waiting.length;
  }

  push(message: T): void {
    if (this.#ended) return;
    this.#waiting.push(message);
    if (this.#waiting.length > this.#most) this.#waiting.shift();
    this.#changed.resolve(undefined);
  }

  /** What waits is still sent. */
  end(): void {
    this.#ended = true;
    this.#changed.resolve(undefined);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      yield* this.#waiting.splice(0);
      if (this.#ended && this.#waiting.length === 0) return;
      await this.#changed.promise;
      this.#changed = deferred();
    }
  }
}
