import type { PullEvent } from '../../engine/pull-event.js';
import { RecordedPull } from './recorded-pull.js';
import { ThroughputCounter } from './throughput-counter.js';
import type { PullOutcome, TimedPull, Timeline } from './timeline.js';

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
