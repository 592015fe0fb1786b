import pLimit from 'p-limit';
import { type Abortable, throwIfAborted } from '../errors.js';
import { WaitingLine } from './waiting.js';

/**
 * A number of slots, and a line of actions that wait for one. An action has a slot while it runs; the slot
 * comes back however the action ends, and goes to the first in the line. An aborted action leaves the line at
 * once and never begins. No action begins before the call that asks for it has returned.
 */
export class Limiter {
  readonly size: number;
  readonly #line = new WaitingLine();
  #active = 0;

  /** @param size from 1 on; Infinity lets everything begin */
  constructor(size: number) {
    this.size = size;
  }

  /** Actions that run. */
  get active(): number {
    return this.#active;
  }

  /** Actions that wait for a slot. */
  get waiting(): number {
    return this.#line.size;
  }

  /** @throws LandfallError ABORTED while it waits; what the action throws */
  async run<T>(action: () => T | Promise<T>, { signal }: Abortable = {}): Promise<T> {
    throwIfAborted(signal);
    if (this.#active < this.size) {
      this.#active += 1;
      await Promise.resolve();
    } else await this.#line.wait(undefined, { signal });
    try {
      // It may have been aborted between its turn and now.
      throwIfAborted(signal);
      return await action();
    } finally {
      // The next action takes over the slot, so that no newer one comes in between.
      if (!this.#line.admitFirst()) this.#active -= 1;
    }
  }
}

/** A {@link Limiter} for each key; of size 1, a lock for each. A key is kept only while it is in use. */
export class KeyedLimiter<K> {
  readonly #size: number;
  readonly #limiters = new Map<K, Limiter>();

  constructor(size: number) {
    this.#size = size;
  }

  /** Keys that are in use. */
  get size(): number {
    return this.#limiters.size;
  }

  /** Actions that wait for a slot, of all keys. */
  get waiting(): number {
    return [...this.#limiters.values()].reduce((sum, { waiting }) => sum + waiting, 0);
  }

  /** @throws LandfallError ABORTED while it waits; what the action throws */
  async run<T>(key: K, action: () => T | Promise<T>, options: Abortable = {}): Promise<T> {
    const limiter = this.#limiters.get(key) ?? new Limiter(this.#size);
    this.#limiters.set(key, limiter);
    try {
      return await limiter.run(action, options);
    } finally {
      if (limiter.active + limiter.waiting === 0 && this.#limiters.get(key) === limiter)
        this.#limiters.delete(key);
    }
  }
}

/**
 * Runs an action for each item, a number of them at once; the results are in the order of the items. Rejects
 * with the first failure; the other actions go on until they end by themselves, or by a signal that they were
 * given. No item waits by a signal of its own, so p-limit is enough.
 */
export async function mapLimited<T, R>(
  items: readonly T[],
  size: number,
  action: (item: T) => R | Promise<R>,
): Promise<R[]> {
  const limit = pLimit(size);
  return await Promise.all(items.map((item) => limit(action, item)));
}
