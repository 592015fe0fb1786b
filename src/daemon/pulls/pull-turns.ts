import pLimit, { type LimitFunction } from 'p-limit';
import { abortedError, throwIfAborted } from '../../errors.js';

export interface PullTurnsOptions {
  /** Images that are pulled at once; what is more waits. Default: no bound but the budget's. */
  readonly maxParallel?: number | undefined;
  /** The same for those of one registry. */
  readonly maxParallelPerRegistry?: number | undefined;
}

/** Lets so many pulls go on at once, and so many of one registry. */
export class PullTurns {
  readonly #options: PullTurnsOptions;
  readonly #all: LimitFunction;
  readonly #perRegistry = new Map<string, LimitFunction>();

  constructor(options: PullTurnsOptions) {
    this.#options = options;
    this.#all = pLimit(options.maxParallel ?? Number.POSITIVE_INFINITY);
  }

  /**
   * Acts when there is room for one more pull, and for one more from its registry.
   *
   * @throws LandfallError ABORTED while it waits; what the action throws
   */
  async take<T>(registry: string, signal: AbortSignal, action: () => Promise<T>): Promise<T> {
    const limit = this.#limitOf(registry);
    return await new Promise<T>((resolve, reject) => {
      const withdraw = (): void => {
        reject(abortedError(signal));
      };
      signal.addEventListener('abort', withdraw, { once: true });
      const enter = async (): Promise<T> => {
        throwIfAborted(signal);
        signal.removeEventListener('abort', withdraw);
        return await action();
      };
      limit(() => this.#all(enter)).then(resolve, reject);
    });
  }

  #limitOf(registry: string): LimitFunction {
    const known = this.#perRegistry.get(registry);
    if (known !== undefined) return known;
    // Those that nobody needs any more are forgotten, since clients name as many registries as they like.
    for (const [name, { activeCount, pendingCount }] of this.#perRegistry)
      if (activeCount + pendingCount === 0) this.#perRegistry.delete(name);
    const limit = pLimit(this.#options.maxParallelPerRegistry ?? Number.POSITIVE_INFINITY);
    this.#perRegistry.set(registry, limit);
    return limit;
  }
}
