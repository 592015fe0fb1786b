import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Abortable, abortedError, throwIfAborted } from '../errors.js';

/*
 * Three things hold for each wait of this file. An abort ends it with ABORTED at once, and ends no other
 * wait. No listener and no timer is left when it is over. A promise that is no longer waited for may still
 * fail: it has a handler.
 */

/** A promise with its two handles, as `Promise.withResolvers` gives it from Node 22 on. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/**
 * Waits for a promise, or for the signal; what the promise stands for goes on.
 *
 * @throws LandfallError ABORTED; what the promise rejects with
 */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  const aborted = deferred<never>();
  const listening = onAbort(signal, () => aborted.reject(abortedError(signal)));
  try {
    return await Promise.race([aborted.promise, promise]);
  } finally {
    listening[Symbol.dispose]();
  }
}

/** Node's timers take no more; what is set for longer fires at once. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1;

/**
 * Waits for some time, for 24 days at most.
 *
 * @throws LandfallError ABORTED
 */
export async function pause(milliseconds: number, { signal }: Abortable = {}): Promise<void> {
  throwIfAborted(signal);
  if (signal !== undefined) setMaxListeners(0, signal);
  try {
    await sleep(Math.min(milliseconds, LONGEST_TIMER_MS), undefined, signal === undefined ? {} : { signal });
  } catch {
    throw abortedError(signal);
  }
}

/** An operation that stands in a {@link WaitingLine}. */
export interface Waiter<T> {
  /** The thing that is waited for, as the line's owner needs it to choose. */
  readonly wanted: T;
  /** Ends the wait. The waiter leaves the line at once, and an abort cannot take back what it was given. */
  admit(): void;
  /** Ends the wait with an error, as {@link admit} does without. */
  refuse(error: Error): void;
}

/**
 * The operations that wait for something that the line's owner gives out: a slot, a turn, news of a change.
 * The owner looks through the line, which is in the order of arrival, admits waiters, and counts what it has
 * given at that moment. An aborted waiter leaves the line at once, so everything in it is still wanted.
 */
export class WaitingLine<T = undefined> implements Iterable<Waiter<T>> {
  readonly #waiters = new Set<Waiter<T>>();

  get size(): number {
    return this.#waiters.size;
  }

  [Symbol.iterator](): Iterator<Waiter<T>> {
    return this.#waiters.values();
  }

  /**
   * Stands in line from the call on, and resolves once admitted.
   *
   * @throws LandfallError ABORTED while it waits
   */
  async wait(wanted: T, { signal }: Abortable = {}): Promise<void> {
    throwIfAborted(signal);
    const { promise, resolve, reject } = deferred<undefined>();
    const leave = (): void => {
      this.#waiters.delete(waiter);
      listening?.[Symbol.dispose]();
    };
    const waiter: Waiter<T> = {
      wanted,
      admit: () => {
        leave();
        resolve(undefined);
      },
      refuse: (error) => {
        leave();
        reject(error);
      },
    };
    const listening =
      signal === undefined
        ? undefined
        : onAbort(signal, () => {
            leave();
            reject(abortedError(signal));
          });
    this.#waiters.add(waiter);
    await promise;
  }

  /** Admits the first, if there is one. */
  admitFirst(): boolean {
    const [first] = this.#waiters;
    first?.admit();
    return first !== undefined;
  }

  /** Admits all that stand in line now. */
  admitAll(): void {
    for (const waiter of [...this.#waiters]) waiter.admit();
  }
}

/** Listens until it is disposed of; a signal that is aborted already is heard at once. */
function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  // That many operations wait under one signal is no leak.
  setMaxListeners(0, signal);
  if (signal.aborted) listener();
  else signal.addEventListener('abort', listener, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', listener) };
}
