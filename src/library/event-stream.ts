import type { Abortable } from '../errors.js';
import { deferred } from '../concurrency/index.js';

/**
 * The events of one operation, to loop over: `for await (const event of …)`.
 *
 * The operation begins with the loop, and its last event has the result. What fails is thrown out of the
 * loop. Leaving the loop early, by `break`, `return` or an exception, aborts the operation and waits until it
 * has cleaned up after itself.
 *
 * A slow loop holds up nothing: of news that only say how far something has come, the latest waits for it,
 * and those before are dropped. It can be looped over once.
 */
export interface EventStream<E> extends AsyncIterableIterator<E, undefined, undefined>, AsyncDisposable {
  /**
   * Aborts the operation, if it is under way, and waits until it has ended. What it fails with is dropped.
   */
  return(): Promise<IteratorReturnResult<undefined>>;
}

/**
 * Takes the events of an operation, and aborts it: by the caller's signal, or when the loop was left.
 */
export interface Emitted<E> {
  readonly emit: (event: E) => void;
  readonly signal: AbortSignal;
}

/** An operation whose events become a stream. */
export interface StreamedOperation<E> extends Abortable {
  /** Does it, and returns the last event. */
  readonly run: (reported: Emitted<E>) => Promise<E>;
  /** The same for all events of which only the latest counts; undefined for an event that is always kept. */
  readonly subject: (event: E) => string | undefined;
}

/** Makes a stream of an operation that tells of itself by a callback. */
export function eventStream<E>(operation: StreamedOperation<E>): EventStream<E> {
  return new OperationEvents(operation);
}

class OperationEvents<E> implements EventStream<E> {
  readonly #operation: StreamedOperation<E>;
  readonly #abandoned = new AbortController();
  /** The events that the loop has not seen, in order, by its subject or by a key of its own. */
  readonly #waiting = new Map<string | symbol, E>();
  #settled: Promise<void> | undefined;
  #hasEnded = false;
  #failure: { readonly error: unknown } | undefined;
  /** Resolved when there is something new. */
  #news = deferred<undefined>();

  constructor(operation: StreamedOperation<E>) {
    this.#operation = operation;
  }

  async next(): Promise<IteratorResult<E, undefined>> {
    this.#settled ??= this.#run();
    for (;;) {
      if (this.#abandoned.signal.aborted) return { done: true, value: undefined };
      for (const [key, event] of this.#waiting) {
        this.#waiting.delete(key);
        return { done: false, value: event };
      }
      if (this.#failure !== undefined) {
        const { error } = this.#failure;
        // Thrown once: the next call finds the end.
        this.#failure = undefined;
        throw error;
      }
      if (this.#hasEnded) return { done: true, value: undefined };
      await this.#news.promise;
    }
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    this.#settled ??= Promise.resolve();
    this.#abandoned.abort();
    this.#waiting.clear();
    this.#wake();
    await this.#settled;
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #run(): Promise<void> {
    const { run, signal: callers } = this.#operation;
    const { signal } = this.#abandoned;
    try {
      const last = await run({
        emit: (event) => this.#push(event),
        signal: callers === undefined ? signal : AbortSignal.any([callers, signal]),
      });
      this.#push(last);
    } catch (error) {
      this.#failure = { error };
    }
    this.#hasEnded = true;
    this.#wake();
  }

  #push(event: E): void {
    if (this.#abandoned.signal.aborted) return;
    const key = this.#operation.subject(event) ?? Symbol('event');
    // Again at the end, so that what happened in between comes before it.
    this.#waiting.delete(key);
    this.#waiting.set(key, event);
    this.#wake();
  }

  #wake(): void {
    this.#news.resolve(undefined);
    this.#news = deferred();
  }
}
