import type { PullEvent } from '../../engine/pull/pull-report.js';
import type { RequestEvent } from '../../registry/index.js';
import { RecordedPull } from './recorded-pull.js';
import type { PullOutcome, Throughput, TimedPull, Timeline } from './timeline.js';

/**
 * Takes the events of pulls and puts them on one clock. Each pull counts from its own beginning; when that was is told by its first
 * event, and a pull that was under way before anybody asked here (by a daemon) is drawn from when it was asked for. Its size
 * depends on how many layers there are, not on how long they take.
 */
export class TimelineRecorder {
  readonly #now: () => number;
  readonly #pulls = new Map<string, { readonly offset: number; readonly pull: RecordedPull }>();
  readonly #throughput = new ThroughputCounter();
  /** When the first pull began, by `now`. */
  #zero: number | undefined;
  #begun = new Date();

  /** @param now milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  add(event: PullEvent): void {
    const { offset, pull } = this.#pullOf(event.reference, event.at);
    const held = event.type === 'blob' ? (event.heldMs ?? 0) : 0;
    const at = Math.max(0, offset + event.at - held);
    const arrived = pull.add(event, at);
    if (arrived !== undefined) this.#throughput.add(arrived.bytes, arrived.since, at);
  }

  /** Of a pull that told nothing at all, too. */
  failed(reference: string, outcome: Exclude<PullOutcome, 'done'>, error: string): void {
    const { pull } = this.#pullOf(reference, 0);
    pull.end(outcome, this.moment(), error);
  }

  /** One of them. Empty where it told nothing. */
  pull(reference: string): TimedPull {
    return this.#pullOf(reference, 0).pull.timed(this.moment());
  }

  /** Bytes of an image's layers that its pull did not have to bring. */
  bytesReused(reference: string): number {
    return this.#pulls.get(reference)?.pull.bytesReused ?? 0;
  }

  /** Now, on the clock of the timeline. */
  moment(): number {
    return this.#zero === undefined ? 0 : this.#now() - this.#zero;
  }

  timeline(): Timeline {
    const now = this.moment();
    const pulls = [...this.#pulls.values()].map(({ pull }) => pull.timed(now));
    return {
      end: Math.max(0, ...pulls.map(({ end }) => end)),
      begun: this.#begun,
      pulls,
      throughput: this.#throughput.throughput(),
    };
  }

  #pullOf(reference: string, at: number): { readonly offset: number; readonly pull: RecordedPull } {
    const known = this.#pulls.get(reference);
    if (known !== undefined) return known;
    const now = this.#now();
    if (this.#zero === undefined) {
      this.#zero = now;
      this.#begun = new Date();
    }
    const offset = now - this.#zero - at;
    const recorded = { offset, pull: new RecordedPull(reference, Math.max(0, offset)) };
    this.#pulls.set(reference, recorded);
    return recorded;
  }
}

/** Milliseconds of the first intervals, and so many of them before two become one. */
const FINEST_MS = 25;
const MOST_BUCKETS = 2048;

/** Counts what comes in equal intervals of time, which become longer as time goes on: in the end there are 1,024 to 2,048 of them. */
class ThroughputCounter {
  #interval = FINEST_MS;
  #bytes: number[] = [];

  /**
   * @param since when the bytes before these came: they are spread from then on
   * @param at milliseconds since the beginning
   */
  add(bytes: number, since: number, at: number): void {
    if (bytes <= 0) return;
    while (at / this.#interval >= MOST_BUCKETS) this.#coarsen();
    const first = this.#place(since);
    const last = Math.max(first, this.#place(at));
    const span = at - since;
    for (let place = first; place <= last; place += 1) {
      const start = Math.max(since, place * this.#interval);
      const end = Math.min(at, (place + 1) * this.#interval);
      const share = first === last || span <= 0 ? 1 / (last - first + 1) : (end - start) / span;
      this.#bytes[place] = (this.#bytes[place] ?? 0) + bytes * share;
    }
  }

  /** In whole bytes, which together are all of them. */
  throughput(): Throughput {
    let sum = 0;
    const bytes = Array.from({ length: this.#bytes.length }, (_, at) => {
      const before = Math.round(sum);
      sum += this.#bytes[at] ?? 0;
      return Math.round(sum) - before;
    });
    return { interval: this.#interval, bytes };
  }

  #place(at: number): number {
    return Math.max(0, Math.floor(at / this.#interval));
  }

  #coarsen(): void {
    this.#interval *= 2;
    this.#bytes = Array.from(
      { length: Math.ceil(this.#bytes.length / 2) },
      (_, at) => (this.#bytes[2 * at] ?? 0) + (this.#bytes[2 * at + 1] ?? 0),
    );
  }
}

/** A request to a registry, or to where that sends its blobs: until its headers. */
export interface TimedRequest {
  readonly start: number;
  readonly end: number;
  readonly method: string;
  /** Without user info and query. */
  readonly url: string;
  readonly host: string;
  readonly attempt: number;
  /** A status, or why no answer came. */
  readonly answer: string;
}

/** Of more a trace would be too large to be opened. */
const MOST_REQUESTS = 20_000;

/** The requests of a run, on the clock of its timeline. */
export class RequestRecord {
  readonly #moment: () => number;
  readonly #requests: TimedRequest[] = [];

  /** @param moment now, on that clock */
  constructor(moment: () => number) {
    this.#moment = moment;
  }

  get all(): readonly TimedRequest[] {
    return this.#requests;
  }

  add({ method, url, host, attempt, durationMs, status, failure }: RequestEvent): void {
    if (this.#requests.length >= MOST_REQUESTS) return;
    const end = this.#moment();
    const answer = status === undefined ? (failure ?? 'no answer') : String(status);
    this.#requests.push({
      start: Math.max(0, end - durationMs),
      end,
      ...{ method, url, host, attempt, answer },
    });
  }
}
