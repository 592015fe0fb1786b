import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';
import { pause } from '../../concurrency/index.js';
import { ByteRanges, type ByteSpan, type IngestWriter } from '../../content/index.js';
import { type Abortable, LandfallError, throwIfAborted } from '../../errors.js';
import type { Fetcher } from '../../registry/index.js';
import type { ExtraConnection, ExtraConnections, KnownDownload } from './pull-budget.js';

export interface BlobDownloadOptions extends Abortable {
  readonly fetcher: Pick<Fetcher, 'fetchPart'>;
  readonly writer: IngestWriter;
  /** Where further connections for a large blob come from. Without it, there is one. */
  readonly extra?: Pick<ExtraConnections, 'add'> | undefined;
  /** Called with the length of what has come. */
  readonly onBytes?: (bytes: number) => void;
  readonly onRetry?: () => void;
}

/**
 * How often a body may break off before it has brought a byte that is missing, and the first pause after
 * that, in ms.
 */
const FRUITLESS_BODIES = 5;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
/** After so many bytes a broken connection is only that, and the next one is asked for at once. */
const FRUITFUL_BYTES = 64 * 1024;

/**
 * Brings what is missing of one blob into its ingest. The fetcher retries until bytes flow, and where it
 * gives up that is final; this goes on where they stopped. Bytes that have come are not asked for again.
 *
 * One connection asks for all of it. Where others come to its help, each asks for a part near the offset,
 * and the first one ends where theirs begin. What one of them fails to bring is left to the first, so only
 * what fails there fails all.
 *
 * Errors: those of the fetcher and of the writer.
 */
export async function downloadBlob(options: BlobDownloadOptions): Promise<void> {
  await new BlobDownload(options).run();
}

/** How many bytes of its blob a writer has. */
export function arrivedIn(writer: IngestWriter): number {
  const missing = writer.missing().reduce((sum, { start, end }) => sum + end - start, 0);
  return writer.descriptor.size - missing;
}

class BlobDownload {
  readonly #options: BlobDownloadOptions;
  readonly #plan: PartPlan;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #helpers = new Set<Promise<void>>();
  #known: KnownDownload | undefined;
  /** Cleared when a host turns out to ignore ranges, or refuses more connections. */
  #helpable = true;

  constructor(options: BlobDownloadOptions) {
    const { signal, writer } = options;
    this.#options = options;
    this.#plan = new PartPlan(writer.missing(), () => performance.now());
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
    // That all connections wait for one signal is no leak.
    setMaxListeners(0, this.#signal);
  }

  async run(): Promise<void> {
    try {
      await this.#bringAll();
    } finally {
      this.#known?.end();
      this.#stop.abort();
      await Promise.all(this.#helpers);
    }
  }

  /** The first connection: it alone is tried again after a pause, and it ends last. */
  async #bringAll(): Promise<void> {
    let fruitless = 0;
    for (;;) {
      const part = this.#helpers.size === 0 ? this.#plan.takeAll() : this.#plan.take();
      if (part === undefined) {
        if (this.#helpers.size > 0) await Promise.race(this.#helpers);
        else if (!this.#isLeft()) return;
        continue;
      }
      const { at } = part;
      const body = { isHere: false };
      try {
        await this.#bring(part, () => {
          body.isHere = true;
          this.#begun();
        });
      } catch (error) {
        throwIfAborted(this.#options.signal);
        const came = part.at - at;
        fruitless = came > 0 ? 0 : fruitless + 1;
        // Without a body the fetcher has asked as often as is of use.
        if (!body.isHere || !isRetryable(error) || fruitless >= FRUITLESS_BODIES) throw error;
        this.#plan.renew(this.#options.writer.missing());
        this.#options.onRetry?.();
        if (came < FRUITFUL_BYTES) await pause(pauseAfter(fruitless), this.#options);
      }
    }
  }

  /**
   * Whether something is missing after all: what another connection seemed to write already, and then could
   * not.
   */
  #isLeft(): boolean {
    this.#plan.renew(this.#options.writer.missing());
    return this.#plan.remaining > 0;
  }

  #begun(): void {
    const plan = this.#plan;
    const isHelpable = (): boolean => this.#helpable;
    this.#known ??= this.#options.extra?.add({
      get secondsLeft() {
        return plan.secondsLeft;
      },
      get worthHelp() {
        return isHelpable() && plan.worthHelp;
      },
      help: (connection) => this.#beginHelper(connection),
    });
  }

  #beginHelper(connection: ExtraConnection): void {
    const helper = this.#help(connection).finally(() => {
      this.#helpers.delete(helper);
      connection.end();
    });
    this.#helpers.add(helper);
  }

  /**
   * Brings one part after the other. Fails never: what it leaves is taken by the first connection, which
   * then sees why.
   */
  async #help(connection: ExtraConnection): Promise<void> {
    for (let part = this.#plan.take(); part !== undefined;) {
      try {
        await this.#bring(part, (isAsAsked) => {
          if (!isAsAsked) throw new HostIgnoresRanges();
          connection.begun();
        });
      } catch {
        if (part.at - part.start < FRUITFUL_BYTES) {
          this.#helpable = false;
          return;
        }
      }
      part = connection.mayStay ? this.#plan.take() : undefined;
    }
  }

  /**
   * One request for a part, and what comes of it.
   *
   * @param begun called with the first byte, and whether the host sends what was asked for rather than
   *   everything
   */
  async #bring(part: Part, begun: (isAsAsked: boolean) => void): Promise<void> {
    const { fetcher, writer, onBytes, onRetry } = this.#options;
    const asked = part.end - part.at;
    try {
      const { body, length } = await fetcher.fetchPart(writer.descriptor, {
        offset: part.at,
        length: asked,
        signal: this.#signal,
        onRetry,
      });
      try {
        this.#plan.begun(part);
        begun(length === asked);
        let at = part.at;
        const until = at + length;
        if (length > asked) this.#onlyOne(part, until);
        do {
          const batch = await body.next();
          if (batch === undefined) return;
          const bytes = batch.reduce((sum, chunk) => sum + chunk.byteLength, 0);
          onBytes?.(bytes);
          this.#known?.came(bytes);
          await writer.write(at, ...batch);
          at += bytes;
          while (at >= part.end && this.#plan.extend(part, until));
          // What came beyond belongs to another connection, which brings it as well.
          part.at = Math.min(at, part.end);
        } while (at < part.end);
      } finally {
        body.destroy();
      }
    } finally {
      this.#plan.end(part);
    }
  }

  /** The host sends all to the end, so it brings that. */
  #onlyOne(part: Part, until: number): void {
    this.#helpable = false;
    if (this.#helpers.size === 0) this.#plan.extendOverAll(part, until);
  }
}

/** A host that would send everything to a connection that was to bring a part. */
class HostIgnoresRanges extends Error {}

function isRetryable(error: unknown): boolean {
  return error instanceof LandfallError && error.retryable && error.code !== 'ABORTED';
}

/** Exponential with full jitter, so that many clients of one broken registry do not come back together. */
function pauseAfter(attempt: number): number {
  return Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
}

/** A part of a blob that one connection is bringing. */
export interface Part {
  readonly start: number;
  /** How far it has come. */
  at: number;
  /**
   * Where it ends. The plan moves it: towards the start for another connection, and on where no other
   * wants what follows.
   */
  end: number;
  /** In milliseconds, of the plan's clock: when it was asked for, and then when it began to come. */
  begunAt: number;
}

/** A part should take about so long, in seconds: each costs a request. */
const PART_SECONDS = 1;
/**
 * What takes less is not split any more, and a part that is younger says nothing about its connection, in
 * seconds.
 */
const LEAST_SECONDS = 0.25;
/** Bounds of the size of a part, in bytes. */
const LEAST_BYTES = 1024 * 1024;
const MOST_BYTES = 32 * 1024 * 1024;
/**
 * No part begins so far beyond the offset, in bytes: what lies there waits to be digested and unpacked,
 * and should still be in the kernel's cache when its turn comes.
 */
const AHEAD_BYTES = 256 * 1024 * 1024;
/** A blob of which less is left is not worth another connection, in bytes, unless that takes long. */
const WORTH_BYTES = 8 * 1024 * 1024;
/** What takes longer is worth another connection, however little it is, in seconds. */
const LONG_SECONDS = 2;
/** A connection that has been seen for less is not known to be slow: it may only have begun, in seconds. */
const SEEN_SECONDS = 1;
/** No part of what takes long is smaller, in bytes. */
const LEAST_SLOW_BYTES = 32 * 1024;

/**
 * Which connection brings which part of a blob. The first begins everything; where others come, it gives up
 * what is not near to it. Parts are given away in order, so that the offset goes on, and with it the
 * reader behind it; towards the end, or where a slow part holds the offset, parts under way are split
 * again, so that all connections end together.
 *
 * It makes no request: {@link Part.at} says how far each part has come.
 */
export class PartPlan {
  readonly #now: () => number;
  /** The bytes that no connection has begun. */
  readonly #left = new ByteRanges();
  readonly #active = new Set<Part>();
  /** The part that ended last, for its rate. */
  #ended: { readonly bytes: number; readonly ms: number } = { bytes: 0, ms: 0 };

  /** @param now milliseconds, of a clock that never goes back */
  constructor(missing: readonly ByteSpan[], now: () => number) {
    this.#now = now;
    this.renew(missing);
  }

  /** Bytes that have not come. */
  get remaining(): number {
    return [...this.#active].reduce((sum, { at, end }) => sum + end - at, this.#left.bytes);
  }

  /** What one connection would take for what has not come, at the rates that were seen. */
  get secondsLeft(): number {
    const mean = this.#rate();
    const seconds = (bytes: number, rate: number): number => bytes / Math.max(1, rate);
    return [...this.#active].reduce(
      (sum, part) => sum + seconds(part.end - part.at, this.#rateOf(part, mean)),
      seconds(this.#left.bytes, mean),
    );
  }

  /** Whether one more connection could bring enough to be worth it. */
  get worthHelp(): boolean {
    const slowest = this.#slowest();
    if (this.#left.bytes === 0 && slowest === undefined) return false;
    const { remaining } = this;
    if (remaining >= WORTH_BYTES || this.#takesLong(remaining / Math.max(1, this.#active.size))) return true;
    return slowest !== undefined && this.#takesLong(slowest.end - slowest.at, slowest);
  }

  /** Begins with what is missing anew: all of it that no part under way brings. */
  renew(missing: readonly ByteSpan[]): void {
    this.#left.remove(0, Number.POSITIVE_INFINITY);
    for (const { start, end } of missing) this.#left.add(start, end);
    for (const { at, end } of this.#active) this.#left.remove(at, end);
  }

  /** All of the first gap: what the only connection asks for. */
  takeAll(): Part | undefined {
    const [gap] = this.#left.spans;
    return gap === undefined ? undefined : this.#begin(gap);
  }

  /**
   * The next part for one of several connections: the first that none has begun, or a piece of the one
   * that would take longest. Undefined where nothing is left that is worth a request.
   */
  take(): Part | undefined {
    if (!this.#isNear(this.#left.spans[0])) this.#split();
    const [gap] = this.#left.spans;
    return gap !== undefined && this.#isNear(gap) ? this.#begin(this.#beginningOf(gap)) : undefined;
  }

  /** Notes that a part begins to come: what its host has thought about before says nothing about its rate. */
  begun(part: Part): void {
    part.begunAt = this.#now();
  }

  /**
   * Lets a part that has come to its end go on with what follows, if none has begun that.
   *
   * @param until where its connection ends
   */
  extend(part: Part, until: number): boolean {
    const [gap] = this.#left.spans;
    if (gap?.start !== part.end || until <= part.end) return false;
    const { end } = this.#beginningOf(gap);
    this.#left.remove(part.end, end);
    part.end = end;
    return true;
  }

  /**
   * Lets a part go on to the end of the blob, also over what is here: its host sends all of it whatever is
   * asked for.
   */
  extendOverAll(part: Part, until: number): void {
    this.#left.remove(part.end, until);
    part.end = until;
  }

  /** Ends a part; what of it has not come is left for others. */
  end(part: Part): void {
    if (!this.#active.delete(part)) return;
    this.#ended = { bytes: part.at - part.start, ms: this.#now() - part.begunAt };
    this.#left.add(part.at, part.end);
  }

  #begin({ start, end }: ByteSpan): Part {
    const part = { start, at: start, end, begunAt: this.#now() };
    this.#left.remove(start, end);
    this.#active.add(part);
    return part;
  }

  /** As much of a gap as makes a part. A rest that is not worth a request goes with it. */
  #beginningOf({ start, end }: ByteSpan): ByteSpan {
    const size = this.#size();
    return { start, end: end - start - size < LEAST_BYTES ? end : start + size };
  }

  #isNear(gap: ByteSpan | undefined): boolean {
    if (gap === undefined) return false;
    const sharedOffset = Math.min(gap.start, ...[...this.#active].map(({ at }) => at));
    return gap.start - sharedOffset < AHEAD_BYTES;
  }

  /** Makes the part that would take longest give up what is beyond its own next bytes. */
  #split(): void {
    const part = this.#slowest();
    if (part === undefined) return;
    const { at, end } = part;
    part.end = at + Math.min(this.#size(), Math.floor((end - at) / 2));
    this.#left.add(part.end, end);
  }

  /** The part that would take longest, if it is one that can be split. */
  #slowest(): Part | undefined {
    const least = 2 * this.#least();
    const mean = this.#rate();
    const ms = (part: Part): number => (part.end - part.at) / Math.max(1, this.#rateOf(part, mean));
    const canBeSplit = (part: Part): boolean => {
      const bytes = part.end - part.at;
      return bytes >= least || (bytes >= 2 * LEAST_SLOW_BYTES && this.#takesLong(bytes, part));
    };
    return [...this.#active].filter(canBeSplit).sort((a, b) => ms(b) - ms(a))[0];
  }

  /**
   * Whether so much takes long, as far as that is known: by what its own part has shown, or else all of them.
   */
  #takesLong(bytes: number, part?: Part): boolean {
    const own = part === undefined ? undefined : this.#seen([part]);
    const seen = own !== undefined && own.ms >= SEEN_SECONDS * 1000 ? own : this.#seenOfAll();
    return seen.ms >= SEEN_SECONDS * 1000 && bytes * seen.ms >= LONG_SECONDS * 1000 * seen.bytes;
  }

  /** How large a part should be at the moment, in bytes: smaller towards the end. */
  #size(): number {
    const share = this.#left.bytes === 0 ? MOST_BYTES : this.#left.bytes / (this.#active.size + 1);
    const size = Math.min(this.#rate() * PART_SECONDS, share, MOST_BYTES);
    return Math.ceil(Math.max(size, this.#least()));
  }

  #least(): number {
    return Math.min(MOST_BYTES, Math.max(LEAST_BYTES, Math.ceil(this.#rate() * LEAST_SECONDS)));
  }

  /** What one connection brings, in bytes per second. */
  #rate(): number {
    const { bytes, ms } = this.#seenOfAll();
    return (bytes / Math.max(1, ms)) * 1000;
  }

  /** What came over how long a time, each connection's counted. */
  #seen(parts: Iterable<Part>): { readonly bytes: number; readonly ms: number } {
    let [bytes, ms] = [0, 0];
    for (const { start, at, begunAt } of parts) {
      bytes += at - start;
      ms += this.#now() - begunAt;
    }
    return { bytes, ms };
  }

  /** The part that ended last included. */
  #seenOfAll(): { readonly bytes: number; readonly ms: number } {
    const { bytes, ms } = this.#seen(this.#active);
    return { bytes: bytes + this.#ended.bytes, ms: ms + this.#ended.ms };
  }

  #rateOf({ start, at, begunAt }: Part, mean: number): number {
    const ms = this.#now() - begunAt;
    return ms < LEAST_SECONDS * 1000 ? mean : ((at - start) / ms) * 1000;
  }
}
