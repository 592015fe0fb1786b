import { ByteRanges, type ByteSpan } from '../content/byte-ranges.js';

/** A part of a blob that one connection is bringing. */
export interface Part {
  readonly start: number;
  /** How far it has come. */
  at: number;
  /** Where it ends. The plan moves it: towards the start for another connection, and on where nobody else wants what follows. */
  end: number;
  /** In milliseconds, of the plan's clock: when it was asked for, and then when it began to come. */
  begunAt: number;
}

/** A part should take about so long, in seconds: each costs a request. */
const PART_SECONDS = 1;
/** What takes less is not split any more, and a part that is younger says nothing about its connection, in seconds. */
const LEAST_SECONDS = 0.25;
/** Bounds of the size of a part, in bytes. */
const LEAST_BYTES = 1024 * 1024;
const MOST_BYTES = 32 * 1024 * 1024;
/**
 * No part begins so far beyond the frontier, in bytes: what lies there waits to be digested and unpacked, and should still be
 * in the kernel's cache when its turn comes.
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
 * Which connection brings which part of a blob. The first begins everything; where others come, it gives up what is not near
 * to it. Parts are given away in order, so that the frontier goes on, and with it whoever reads behind it; towards the end,
 * or where a slow part holds the frontier, parts under way are split again, so that all connections end together.
 *
 * It makes no request: it is told by {@link Part.at} how far each part has come.
 */
export class PartPlan {
  readonly #now: () => number;
  /** What nobody has begun. */
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
   * The next part for one of several connections: the first that nobody has begun, or a piece of the one that would take
   * longest. Undefined where nothing is left that is worth a request.
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
   * Lets a part that has come to its end go on with what follows, if nobody has begun that.
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

  /** Lets a part go on to the end of the blob, also over what is here: its host sends all of it whatever is asked for. */
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
    const frontier = Math.min(gap.start, ...[...this.#active].map(({ at }) => at));
    return gap.start - frontier < AHEAD_BYTES;
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

  /** Whether so much takes long, as far as that is known: by what its own part has shown, or else all of them. */
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
