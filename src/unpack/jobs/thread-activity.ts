/**
 * Which threads of a pool are at work: one word for each, in memory that all of them see. A core for which there is no
 * thread has a word too, and it stays 0.
 */
export type ActivityWords = SharedArrayBuffer;

export function activityWords(threads: number): ActivityWords {
  return new SharedArrayBuffer(threads * Int32Array.BYTES_PER_ELEMENT);
}

/**
 * What one thread of a pool tells the others of itself: whether any of its jobs has something to do. A job that waits for its
 * download has not.
 */
export class ThreadActivity {
  readonly #words: Int32Array;
  readonly #thread: number;
  #active = 0;

  /** @param thread - which of the words is this thread's */
  constructor(words: ActivityWords, thread: number) {
    this.#words = new Int32Array(words);
    this.#thread = thread;
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#begin();
    try {
      return await work();
    } finally {
      this.#end();
    }
  }

  /** Waits for something, during which there is nothing to do here. */
  async pausedFor<T>(something: Promise<T>): Promise<T> {
    this.#end();
    try {
      return await something;
    } finally {
      this.#begin();
    }
  }

  /** Whether there are cores for which no thread has work, so that what is moved off this one runs beside it. */
  get coresIdle(): boolean {
    for (let thread = 0; thread < this.#words.length; thread++) {
      if (Atomics.load(this.#words, thread) === 0) return true;
    }
    return false;
  }

  #begin(): void {
    this.#active += 1;
    if (this.#active === 1) Atomics.store(this.#words, this.#thread, 1);
  }

  #end(): void {
    this.#active -= 1;
    if (this.#active === 0) Atomics.store(this.#words, this.#thread, 0);
  }
}

/** Of a thread that has ended, whatever it was doing. */
export function forgetActivity(words: ActivityWords, thread: number): void {
  Atomics.store(new Int32Array(words), thread, 0);
}
