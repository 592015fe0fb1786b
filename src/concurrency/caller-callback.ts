import type { Abortable } from '../errors.js';

/** An operation's signal, and the callback of its caller by which it tells of itself. */
export interface Telling<E> extends Abortable {
  readonly onEvent?: ((event: E) => void) | undefined;
}

/** As the operation has them; without a callback where there is none. */
interface Guarded<E> extends Abortable {
  readonly onEvent?: (event: E) => void;
}

/**
 * Runs an operation that tells its caller of itself. What the caller's callback throws, or rejects with, ends
 * the operation as an abort does and is what it fails with, wherever the callback was called: in a timer, a
 * stream, or between two steps that would take the error for their own. It is not called again after that.
 *
 * @param undo gives back what the operation came to all the same, where that is something to be given back
 */
export async function tellingCaller<E, T>(
  { signal, onEvent }: Telling<E>,
  operation: (telling: Guarded<E>) => Promise<T>,
  undo?: (result: T) => Promise<void>,
): Promise<T> {
  if (onEvent === undefined) return await operation(signal === undefined ? {} : { signal });
  // Typed as one that answers nothing, which keeps no caller from giving an asynchronous one.
  const callback: (event: E) => unknown = onEvent;
  const stop = new AbortController();
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    stop.abort(error);
  };
  const emit = (event: E): void => {
    if (failure !== undefined) return;
    try {
      const answer = callback(event);
      if (answer instanceof Promise) answer.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const failed = (): typeof failure => failure;
  try {
    const result = await operation({ signal: either, onEvent: emit });
    if (failed() === undefined) return result;
    await undo?.(result);
  } catch (error) {
    if (failed() === undefined) throw error;
  }
  throw failed()?.error;
}
