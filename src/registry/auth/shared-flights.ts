import { setMaxListeners } from 'node:events';
import { type Abortable, abortedError, throwIfAborted } from '../../errors.js';

interface Flight<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  waiting: number;
}

/** Work that several callers want at one moment, done once. It is aborted only when the last of them has gone. */
export class SharedFlights<T> {
  readonly #flights = new Map<string, Flight<T>>();

  async join(
    key: string,
    start: (signal: AbortSignal) => Promise<T>,
    { signal }: Abortable = {},
  ): Promise<T> {
    throwIfAborted(signal);
    const flight = this.#flights.get(key) ?? this.#begin(key, start);
    flight.waiting += 1;
    let leave: (() => void) | undefined;
    const left = new Promise<never>((_resolve, reject) => {
      leave = () => reject(abortedError(signal));
      // That many wait under one signal is no leak.
      if (signal !== undefined) setMaxListeners(0, signal);
      signal?.addEventListener('abort', leave, { once: true });
    });
    try {
      return await Promise.race([flight.result, left]);
    } finally {
      if (leave !== undefined) signal?.removeEventListener('abort', leave);
      flight.waiting -= 1;
      if (flight.waiting === 0) {
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.abort.abort();
      }
    }
  }

  #begin(key: string, start: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const abort = new AbortController();
    const result = start(abort.signal);
    // Every caller may have gone by the time that it fails.
    result.catch(() => undefined);
    const flight: Flight<T> = { result, abort, waiting: 0 };
    this.#flights.set(key, flight);
    return flight;
  }
}
