import { KeyedLimiter, Limiter } from '../../concurrency/index.js';

export interface PullTurnsOptions {
  /** Images that are pulled at once; what is more waits. Default: no bound but the budget's. */
  readonly maxParallel?: number | undefined;
  /** The same for those of one registry. */
  readonly maxParallelPerRegistry?: number | undefined;
}

/** Lets so many pulls go on at once, and so many of one registry. */
export class PullTurns {
  readonly #all: Limiter;
  readonly #perRegistry: KeyedLimiter<string>;

  constructor(options: PullTurnsOptions) {
    this.#all = new Limiter(options.maxParallel ?? Number.POSITIVE_INFINITY);
    this.#perRegistry = new KeyedLimiter(options.maxParallelPerRegistry ?? Number.POSITIVE_INFINITY);
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#all.waiting + this.#perRegistry.waiting;
  }

  /**
   * Acts when there is room for one more pull, and for one more from its registry.
   *
   * @throws LandfallError ABORTED while it waits; what the action throws
   */
  async take<T>(registry: string, signal: AbortSignal, action: () => Promise<T>): Promise<T> {
    return await this.#perRegistry.run(registry, () => this.#all.run(action, { signal }), { signal });
  }
}
