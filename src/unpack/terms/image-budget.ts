import { limitExceeded } from './archive-error.js';

/** What a thread needs to count one layer in its image's {@link ImageBudget}. */
export interface LayerBudget {
  readonly shared: SharedArrayBuffer;
  /** The layer's place in the image. */
  readonly index: number;
}

/** Counts the uncompressed bytes of all layers of one image, across the threads that unpack them at the same time. */
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

  /** @throws {UnpackError} LIMIT_EXCEEDED */
  add(bytes: number): void {
    Atomics.add(this.#layers, this.#index, BigInt(bytes));
    let sum = 0n;
    for (let i = 0; i < this.#layers.length; i++) sum += Atomics.load(this.#layers, i);
    if (sum > BigInt(this.#limit)) {
      throw limitExceeded(`the layers of the image have more than ${this.#limit} bytes uncompressed`);
    }
  }
}
