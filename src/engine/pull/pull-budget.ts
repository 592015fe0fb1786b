import { availableParallelism } from 'node:os';
import { performance } from 'node:perf_hooks';
import { type Waiter, WaitingLine } from '../../concurrency/index.js';
import { type Abortable, LandfallError } from '../../errors.js';

/** How much pulls with one budget do at once. */
export interface PullBudgetOptions {
  /**
   * Blobs that are on their way at once, and layers that are unpacked at once. Default:
   * {@link defaultConcurrency}.
   */
  readonly concurrency?: number | undefined;
}

/**
 * Many small layers far away are brought as fast as round trips can overlap, so it is no fewer, whatever
 * the machine is.
 */
const LEAST_CONCURRENCY = 8;
/** As many connections are kept to one host (src/registry). */
const MOST_CONCURRENCY = 16;
/** A layer that is still arriving leaves its core idle for most of the time. */
const PER_CORE = 2;

/**
 * What is smaller takes about as long as asking for it, so such layers go in the image's order: a layer is
 * committed after those below it.
 */
const SMALL_BYTES = 4 * 1024 * 1024;

/** 8 to 16, by the cores. */
export function defaultConcurrency(cores: number = availableParallelism()): number {
  return Math.min(MOST_CONCURRENCY, Math.max(LEAST_CONCURRENCY, PER_CORE * cores));
}

/**
 * What all pulls use together that are given the same one: connections for layers, and layers being unpacked.
 */
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
  /**
   * How large it is: of one owner the largest comes first, since what takes longest should not begin last.
   */
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

  /** Slots that are neither taken nor waited for. */
  get free(): number {
    return Math.max(0, this.size - this.#taken - this.#line.size);
  }

  /** How many wait for a slot. */
  get waiting(): number {
    return this.#line.size;
  }

  /** Whether a request waits. */
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

  /** One slot more, if no request waits for it; the returned function gives it back. */
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

  /** The request whose owner has least, then the largest, then the earliest. */
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

/** A download under way that more connections may come to the help of. */
export interface HelpedDownload {
  /** What one connection would take for what has not come. */
  readonly secondsLeft: number;
  /** Whether one more connection could bring enough to be worth it. */
  readonly worthHelp: boolean;
  /** Begins with one connection more. It must end it, whatever becomes of it. */
  help(connection: ExtraConnection): void;
}

export interface ExtraConnection {
  /** False when it is to end with the part that it has: it brings nothing, or others need its slot. */
  readonly mayStay: boolean;
  /** Its first byte is here. */
  begun(): void;
  end(): void;
}

/** A download that is known to {@link ExtraConnections}. */
export interface KnownDownload {
  came(bytes: number): void;
  end(): void;
}

/** What is observed of this process: `now` and `idle` in milliseconds, both from any start. */
export interface NetworkClock {
  now(): number;
  /** How long the event loop has had nothing to do. */
  idle(): number;
}

/**
 * How long it is watched what a number of connections brings. Anything that changes the number begins it
 * anew.
 */
const WATCH_MS = 100;
/** What more connections must bring of what they would bring if each were as good as those before. */
const LEAST_GAIN = 0.3;
/**
 * It has brought nothing when it did not in so many watches: what comes in a tenth of a second goes up and
 * down.
 */
const WATCHES = 6;
/** For how long nothing is tried after a try that brought nothing; twice as long after each further one. */
const FIRST_REST_MS = 2_000;
/** An event loop that is busier than this is itself what bytes wait for. */
const LEAST_IDLE = 0.5;
/**
 * Bytes per second of a connection that is fast enough: no layer is unpacked faster, and others use other
 * connections.
 */
const FAST_ENOUGH = 64 * 1024 * 1024;

/**
 * A number of connections that is being tried: what there was before, and for how many watches it has
 * brought nothing.
 */
interface Trial {
  readonly rate: number;
  readonly connections: number;
  readonly extra: number;
  misses: number;
}

/**
 * Gives large downloads further connections, for as long as that makes the whole faster: twice as many as
 * before, and if what comes grows with them, twice as many again. A network that gives one connection all
 * it has is left with one, and so is a process that cannot take more. A download that waits gets a slot
 * that is used here when its part has come.
 */
export class ExtraConnections {
  readonly #slots: FairSlots;
  readonly #clock: NetworkClock;
  readonly #downloads = new Map<HelpedDownload, { extra: number }>();
  #timer: NodeJS.Timeout | undefined;
  #watch = { at: 0, idle: 0, bytes: 0 };
  /** Those that were begun and whose first byte is not here. */
  #starting = 0;
  #trial: Trial | undefined;
  #restUntil = Number.NEGATIVE_INFINITY;
  #restMs = FIRST_REST_MS;
  /** As many of them at most. */
  #allowed: number;

  constructor(slots: FairSlots, clock: NetworkClock = ownClock()) {
    this.#slots = slots;
    this.#clock = clock;
    this.#allowed = slots.size;
  }

  /** Tells of a download whose first byte is here. */
  add(download: HelpedDownload): KnownDownload {
    this.#downloads.set(download, { extra: 0 });
    this.#changed();
    return {
      came: (bytes) => {
        this.#watch.bytes += bytes;
      },
      end: () => {
        if (this.#downloads.delete(download)) this.#changed();
      },
    };
  }

  get #extra(): number {
    return [...this.#downloads.values()].reduce((sum, { extra }) => sum + extra, 0);
  }

  /** What was seen before says nothing about what comes now. */
  #changed(): void {
    this.#trial = undefined;
    this.#watchAnew();
  }

  #watchAnew(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#downloads.size === 0) {
      // What comes next may come from elsewhere.
      this.#restMs = FIRST_REST_MS;
      this.#restUntil = Number.NEGATIVE_INFINITY;
      return;
    }
    this.#watch = { at: this.#clock.now(), idle: this.#clock.idle(), bytes: 0 };
    this.#timer = setTimeout(() => this.#look(), WATCH_MS);
    this.#timer.unref();
  }

  #look(): void {
    const { at, idle, bytes } = this.#watch;
    const ms = Math.max(1, this.#clock.now() - at);
    const rate = (bytes / ms) * 1000;
    const isIdle = (this.#clock.idle() - idle) / ms >= LEAST_IDLE;
    this.#watchAnew();
    if (this.#starting > 0) return;
    if (this.#trial !== undefined && isIdle && !this.#judge(this.#trial, rate)) return;
    this.#trial = undefined;
    const connections = this.#downloads.size + this.#extra;
    if (!isIdle || rate / connections >= FAST_ENOUGH || this.#clock.now() < this.#restUntil) return;
    this.#try({ rate, connections, extra: this.#extra, misses: 0 });
  }

  /** Whether a trial has brought what it should; ends one that has not often enough. */
  #judge(trial: Trial, rate: number): boolean {
    const more = (this.#extra - trial.extra) / trial.connections;
    if (rate >= trial.rate * (1 + more * LEAST_GAIN)) return true;
    trial.misses += 1;
    if (trial.misses === WATCHES) {
      this.#trial = undefined;
      this.#allowed = trial.extra;
      this.#restUntil = this.#clock.now() + this.#restMs;
      this.#restMs *= 2;
    }
    return false;
  }

  #try(before: Trial): void {
    this.#allowed = this.#slots.size;
    for (let more = 0; more < before.connections; more += 1) {
      const download = this.#neediest();
      const back = download === undefined ? undefined : this.#slots.tryTake();
      if (download === undefined || back === undefined) break;
      download.help(this.#connection(download, back));
    }
    if (this.#extra > before.extra) this.#trial = before;
  }

  /** What would end last. */
  #neediest(): HelpedDownload | undefined {
    const left = ([download, { extra }]: [HelpedDownload, { extra: number }]): number =>
      download.secondsLeft / (1 + extra);
    const [first] = [...this.#downloads]
      .filter(([{ worthHelp }]) => worthHelp)
      .sort((a, b) => left(b) - left(a));
    return first?.[0];
  }

  #connection(download: HelpedDownload, back: () => void): ExtraConnection {
    const count = (change: 1 | -1): void => {
      const known = this.#downloads.get(download);
      if (known !== undefined) known.extra += change;
    };
    const mayStay = (): boolean => this.#extra <= this.#allowed && !this.#slots.wanted;
    let state: 'starting' | 'begun' | 'ended' = 'starting';
    const become = (next: 'begun' | 'ended'): void => {
      if (state === 'starting') this.#starting -= 1;
      state = next;
    };
    count(1);
    this.#starting += 1;
    return {
      get mayStay() {
        return mayStay();
      },
      begun: () => {
        if (state !== 'starting') return;
        become('begun');
        // From here on all of them bring what they can.
        this.#watchAnew();
      },
      end: () => {
        if (state === 'ended') return;
        become('ended');
        count(-1);
        back();
        this.#changed();
      },
    };
  }
}

function ownClock(): NetworkClock {
  return { now: () => performance.now(), idle: () => performance.eventLoopUtilization().idle };
}
