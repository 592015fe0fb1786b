import { type Abortable, throwIfAborted } from '../errors.js';
import { WaitingLine } from './waiting.js';

/**
 * So many actions at once; the others wait, in the order in which they came. A slot is taken for as long as an action runs, and
 * comes back however it ends. Who is aborted while it waits is out of the line at once, and its action never begins. No action begins
 * before the call that asks for it has returned.
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
      // The next takes over the slot, so that nobody comes in between.
      if (!this.#line.admitFirst()) this.#active -= 1;
    }
  }
}

/** A {@link Limiter} for each key; of size 1, a lock for each. Keys are kept only while in use. */
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
 * Does something with each, so many at once; what comes of it, in the order of the items. Rejects with the first failure; the
 * others go on, and come to their end by the signal that they are given, or by themselves.
 */
export async function mapLimited<T, R>(
  items: readonly T[],
  size: number,
  action: (item: T) => R | Promise<R>,
): Promise<R[]> {
  const limiter = new Limiter(size);
  return await Promise.all(items.map((item) => limiter.run(() => action(item))));
}
