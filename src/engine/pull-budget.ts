import { availableParallelism } from 'node:os';

import { type Abortable, LandfallError } from '../errors.js';
import { ExtraConnections } from './extra-connections.js';
import { FairSlots, type SlotRequest } from './fair-slots.js';

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
