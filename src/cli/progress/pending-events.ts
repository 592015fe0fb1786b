import type { ProgressEvent } from './pull-model.js';

/**
 * Events between two frames. Of those that only say how far a blob or a layer is, the newest counts, so that a fast
 * network costs no more to display than a slow one.
 */
export class PendingEvents {
  readonly #events = new Map<string, ProgressEvent>();
  #others = 0;

  add(event: ProgressEvent): void {
    const key = keyOf(event) ?? `other ${(this.#others += 1)}`;
    // Taken out first, so that the order is that of the newest of each kind.
    this.#events.delete(key);
    this.#events.set(key, event);
  }

  /** The events since the last call, oldest first. */
  take(): ProgressEvent[] {
    const events = [...this.#events.values()];
    this.#events.clear();
    this.#others = 0;
    return events;
  }
}

function keyOf(event: ProgressEvent): string | undefined {
  if (event.type === 'blob') return `blob ${event.reference} ${event.digest} ${event.state}`;
  if (event.type === 'layer') return `layer ${event.reference} ${event.chainId} ${event.state}`;
  return undefined;
}
