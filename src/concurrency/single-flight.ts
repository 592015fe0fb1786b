import { type Abortable, throwIfAborted } from '../errors.js';
import { untilAborted } from './waiting.js';

/** Work under way, and how many callers wait for it. */
interface Flight<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  waiting: number;
}

/**
 * Work that several callers want at once, done once.
 *
 * The first caller of a key begins the work; a caller that comes while it is under way joins it. All of them
 * get what comes of it, success or failure. A caller that comes afterwards begins anew: nothing is
 * remembered.
 *
 * An abort ends the wait of its own caller and leaves the others alone. The work has a signal of its own,
 * which is aborted when the last caller has left; from then on the work is not joined any more.
 */
export class SingleFlight<K, T> {
  readonly #flights = new Map<K, Flight<T>>();

  /** Works that can be joined. */
  get size(): number {
    return this.#flights.size;
  }

  /**
   * @param work called unless it is under way; its signal stands for all callers together
   * @throws LandfallError ABORTED when this caller's signal is; what the work throws
   */
  async run(key: K, work: (signal: AbortSignal) => Promise<T>, { signal }: Abortable = {}): Promise<T> {
    throwIfAborted(signal);
    const flight = this.#flights.get(key) ?? this.#begin(key, work);
    flight.waiting += 1;
    try {
      return await untilAborted(flight.result, signal);
    } finally {
      flight.waiting -= 1;
      if (flight.waiting === 0 && this.#forget(key, flight)) flight.abort.abort();
    }
  }

  #begin(key: K, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const abort = new AbortController();
    const flight: Flight<T> = { result: called(() => work(abort.signal)), abort, waiting: 0 };
    this.#flights.set(key, flight);
    const forget = (): void => void this.#forget(key, flight);
    // Also the handler of a failure that comes when every caller has left.
    flight.result.then(forget, forget);
    return flight;
  }

  /** Whether it was still under way. */
  #forget(key: K, flight: Flight<T>): boolean {
    return this.#flights.get(key) === flight && this.#flights.delete(key);
  }
}

/**
 * Results that are made when they are first wanted, and kept: a {@link SingleFlight} that remembers success.
 * A failure is never kept: it goes to the callers that waited for it, and the next caller has the work done
 * again.
 */
export class ResultCache<K, T> {
  readonly #results = new Map<K, T>();
  readonly #flights = new SingleFlight<K, T>();

  /** Results that are here, in the order in which they were made. */
  values(): IterableIterator<T> {
    return this.#results.values();
  }

  /** @throws LandfallError ABORTED when this caller's signal is; what the work throws */
  async get(key: K, work: (signal: AbortSignal) => Promise<T>, options: Abortable = {}): Promise<T> {
    throwIfAborted(options.signal);
    const known = this.#results.get(key);
    if (known !== undefined || this.#results.has(key)) return known as T;
    return await this.#flights.run(
      key,
      async (signal) => {
        const result = await work(signal);
        this.#results.set(key, result);
        return result;
      },
      options,
    );
  }
}

/** Makes a rejection of what the work throws at once. */
async function called<T>(work: () => Promise<T>): Promise<T> {
  return await work();
}
