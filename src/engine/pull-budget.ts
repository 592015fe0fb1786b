import { availableParallelism } from 'node:os';
import { type Waiter, WaitingLine } from '../concurrency/index.js';
import { type Abortable, LandfallError } from '../errors.js';
import { ExtraConnections } from './extra-connections.js';

/** How much pulls with one budget do at once. */
export interface PullBudgetOptions {
  /** Blobs that are on their way at once, and layers that are unpacked at once. Default: {@link defaultConcurrency}. */
  readonly concurrency?: number;
}

/** Many small layers far away are brought as fast as round trips can overlap, so it is no fewer, whatever the machine is. */
const LEAST_CONCURRENCY = 8;
/** As many connections are kept to one host (src/registry). */
const MOST_CONCURRENCY = 16;
/** A layer that is still arriving leaves its core idle for most of the time. */
const PER_CORE = 2;

/**
 * What is smaller takes about as long as asking for it, so such layers go in the image's order: a layer is committed after those
 * below it.
 */
const SMALL_BYTES = 4 * 1024 * 1024;

/** 8 to 16, by the cores. */
export function defaultConcurrency(cores: number = availableParallelism()): number {
  return Math.min(MOST_CONCURRENCY, Math.max(LEAST_CONCURRENCY, PER_CORE * cores));
}

/** What all pulls use together that are given the same one: connections for layers, and layers being unpacked. */
export class PullBudget {
  /** Blobs that are on their way at once, and layers that are unpacked at once. */
  readonly concurrency: number;
  readonly #downloads: FairSlots;
  readonly #unpacking: FairSlots;
  readonly #extra: ExtraConnections;

  /** @throws {@link LandfallError} INVALID_CONFIG for less than one, or a part of one */
  constructor({ concurrency = defaultConcurrency() }: PullBudgetOptions = {}) {
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      throw new LandfallError('INVALID_CONFIG', `a concurrency of ${concurrency} lets nothing begin`, {
        hint: 'Give a whole number from 1 on.',
      });
    }
    this.concurrency = concurrency;
    this.#downloads = new FairSlots(concurrency);
    this.#unpacking = new FairSlots(concurrency);
    this.#extra = new ExtraConnections(this.#downloads);
  }

  /** One pull's share. All shares have the same claim to what is free. @internal */
  share(): BudgetShare {
    const owner = {};
    const asked = ({ bytes, signal }: BudgetRequest): SlotRequest => ({
      owner,
      bytes: Math.max(bytes, SMALL_BYTES),
      signal,
    });
    return {
      download: (request, action) => this.#downloads.run(asked(request), action),
      unpack: (request, action) => this.#unpacking.run(asked(request), action),
      extra: this.#extra,
    };
  }
}

/** Something of so many bytes that waits for its turn: largest first, and small ones in their order. */
export interface BudgetRequest extends Abortable {
  readonly bytes: number;
}

/** Both throw ABORTED while they wait, and then what the action throws. */
export interface BudgetShare {
  readonly download: <T>(request: BudgetRequest, action: () => Promise<T>) => Promise<T>;
  readonly unpack: <T>(request: BudgetRequest, action: () => Promise<T>) => Promise<T>;
  readonly extra: ExtraConnections;
}

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
