import { type Waiter, WaitingLine } from '../concurrency/index.js';
import type { Abortable } from '../errors.js';

/** What is to be done, and for whom. */
export interface SlotRequest extends Abortable {
  /** Owners with less under way come before others. */
  readonly owner: object;
  /** How large it is: of one owner the largest comes first, since what takes longest should not begin last. */
  readonly bytes: number;
}

/** So many things at once, of several owners in turn, so that none is behind all that another one wants. */
export class FairSlots {
  readonly size: number;
  /** How many slots each owner has. */
  readonly #owners = new Map<object, number>();
  readonly #line = new WaitingLine<SlotRequest>();
  #taken = 0;
  #admitting = false;

  constructor(size: number) {
    this.size = size;
  }

  /** Slots that nobody has or waits for. */
  get free(): number {
    return Math.max(0, this.size - this.#taken - this.#line.size);
  }

  /** How many wait for a slot. */
  get waiting(): number {
    return this.#line.size;
  }

  /** Whether somebody waits. */
  get wanted(): boolean {
    return this.#line.size > 0;
  }

  /** @throws LandfallError ABORTED while it waits; what the action throws */
  async run<T>(request: SlotRequest, action: () => Promise<T>): Promise<T> {
    const turn = this.#line.wait(request, request);
    this.#admitSoon();
    await turn;
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
      this.#taken += 1;
      this.#count(next.wanted.owner, 1);
      next.admit();
    }
  }

  /** Whose owner has least, then what is largest, then who came first. */
  #next(): Waiter<SlotRequest> | undefined {
    let best: Waiter<SlotRequest> | undefined;
    for (const waiter of this.#line) if (best === undefined || this.#isBefore(waiter, best)) best = waiter;
    return best;
  }

  #isBefore({ wanted: a }: Waiter<SlotRequest>, { wanted: b }: Waiter<SlotRequest>): boolean {
    return (this.#of(a.owner) - this.#of(b.owner) || b.bytes - a.bytes) < 0;
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
