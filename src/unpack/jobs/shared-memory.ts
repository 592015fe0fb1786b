import { limitExceeded } from '../terms/layer-fault.js';
import { formatSize } from '../../spec/index.js';

/**
 * Which threads of a pool are at work: one word for each, in memory that all of them see. A core for which
 * there is no thread has a word too, and it stays 0.
 */
export type ActivityWords = SharedArrayBuffer;

/** What a thread starts with. */
export interface WorkerStart {
  readonly activity: ActivityWords;
  /** Which of the words is this thread's. */
  readonly number: number;
  /** Whether Node tracks descriptors in the thread that starts it, and so in it. */
  readonly tracksDescriptors: boolean;
}

export function activityWords(threads: number): ActivityWords {
  return new SharedArrayBuffer(threads * Int32Array.BYTES_PER_ELEMENT);
}

/**
 * What one thread of a pool tells the others of itself: whether any of its jobs has something to do. A job
 * that waits for its download has not.
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

  /**
   * Whether there are cores for which no thread has work, so that what is moved off this one runs beside it.
   */
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

/** What a thread needs to count one layer in its image's {@link ImageBudget}. */
export interface LayerBudget {
  readonly shared: SharedArrayBuffer;
  /** The layer's place in the image. */
  readonly index: number;
}

/**
 * Counts the uncompressed bytes of all layers of one image, across the threads that unpack them at the same
 * time.
 */
export class ImageBudget {
  readonly #shared: SharedArrayBuffer;

  constructor(layers: number) {
    this.#shared = new SharedArrayBuffer(layers * BigInt64Array.BYTES_PER_ELEMENT);
  }

  layer(index: number): LayerBudget {
    return { shared: this.#shared, index };
  }
}

/** Counts one layer; made anew where the layer is begun anew. */
export class LayerBytes {
  readonly #layers: BigInt64Array;
  readonly #index: number;
  readonly #limit: number;

  /** @param limit - bytes of all layers together */
  constructor(limit: number, budget: LayerBudget = { shared: new SharedArrayBuffer(8), index: 0 }) {
    this.#limit = limit;
    this.#layers = new BigInt64Array(budget.shared);
    this.#index = budget.index;
    Atomics.store(this.#layers, this.#index, 0n);
  }

  /**
   * @returns bytes of all layers so far
   * @throws {UnpackError} LIMIT_EXCEEDED
   */
  add(bytes: number): number {
    Atomics.add(this.#layers, this.#index, BigInt(bytes));
    let sum = 0n;
    for (let i = 0; i < this.#layers.length; i++) sum += Atomics.load(this.#layers, i);
    if (sum > BigInt(this.#limit)) {
      throw limitExceeded(`the layers of the image have more than ${formatSize(this.#limit)} uncompressed`);
    }
    return Number(sum);
  }
}
