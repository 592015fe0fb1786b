import { setMaxListeners } from 'node:events';

import { type Abortable, abortedError, throwIfAborted } from '../errors.js';

/** What is to be done, and for whom. */
export interface SlotRequest extends Abortable {
  /** Owners with less under way come before others. */
  readonly owner: object;
  /** How large it is: of one owner the largest comes first, since what takes longest should not begin last. */
  readonly bytes: number;
}

interface Waiter extends SlotRequest {
  readonly enter: () => void;
}

/** So many things at once, of several owners in turn, so that none is behind all that another one wants. */
export class FairSlots {
  readonly size: number;
  /** How many slots each owner has. */
  readonly #owners = new Map<object, number>();
  readonly #waiting: Waiter[] = [];
  #taken = 0;
  #admitting = false;

  constructor(size: number) {
    this.size = size;
  }

  /** Slots that nobody has or waits for. */
  get free(): number {
    return Math.max(0, this.size - this.#taken - this.#waiting.length);
  }

  /** Whether somebody waits. */
  get wanted(): boolean {
    return this.#waiting.length > 0;
  }

  /** @throws LandfallError ABORTED while it waits; what the action throws */
  async run<T>(request: SlotRequest, action: () => Promise<T>): Promise<T> {
    await this.#enter(request);
    try {
      return await action();
    } finally {
      this.#count(request.owner, -1);
      this.#leave();
    }
  }

  /** One slot more, if nobody else wants it; what is returned gives it back. */
  tryTake(): (() => void) | undefined {
    if (this.free === 0) return undefined;
    this.#taken += 1;
    let back = false;
    return () => {
      if (!back) this.#leave();
      back = true;
    };
  }

  async #enter(request: SlotRequest): Promise<void> {
    const { signal } = request;
    throwIfAborted(signal);
    await new Promise<void>((resolve, reject) => {
      const withdraw = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(abortedError(signal));
      };
      const waiter: Waiter = {
        ...request,
        enter: () => {
          signal?.removeEventListener('abort', withdraw);
          resolve();
        },
      };
      // That all layers of an image wait for one signal is no leak.
      if (signal !== undefined) setMaxListeners(0, signal);
      signal?.addEventListener('abort', withdraw, { once: true });
      this.#waiting.push(waiter);
      this.#admitSoon();
    });
  }

  #leave(): void {
    this.#taken -= 1;
    this.#admitSoon();
  }

  /** Not at once: all that is asked for in one go is looked at together. */
  #admitSoon(): void {
    if (this.#admitting) return;
    this.#admitting = true;
    queueMicrotask(() => {
      this.#admitting = false;
      this.#admit();
    });
  }

  #admit(): void {
    while (this.#taken < this.size) {
      const next = this.#next();
      if (next === undefined) return;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.#taken += 1;
      this.#count(next.owner, 1);
      next.enter();
    }
  }

  /** Whose owner has least, then what is largest, then who came first. */
  #next(): Waiter | undefined {
    return this.#waiting.reduce<Waiter | undefined>((best, waiter) => {
      if (best === undefined) return waiter;
      const order = this.#of(waiter.owner) - this.#of(best.owner) || best.bytes - waiter.bytes;
      return order < 0 ? waiter : best;
    }, undefined);
  }

  #of(owner: object): number {
    return this.#owners.get(owner) ?? 0;
  }

  #count(owner: object, change: 1 | -1): void {
    const slots = this.#of(owner) + change;
    if (slots === 0) this.#owners.delete(owner);
    else this.#owners.set(owner, slots);
  }
}
