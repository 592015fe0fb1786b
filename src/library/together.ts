import { mapLimited } from '../concurrency/index.js';
import { type Abortable, throwIfAborted } from '../errors.js';

/** Things that are done at the same time, and end together. */
export interface Together<T, R> extends Abortable {
  readonly items: readonly T[];
  /** So many at once. */
  readonly atOnce: number;
  /** Says what to do with each. The signal is aborted when the caller's is, or one of them has failed. */
  readonly doing: (signal: AbortSignal) => (item: T) => Promise<R>;
}

/**
 * Does something with each; what comes of it in their order. The first that fails stops the others, and is thrown when they have
 * ended, so that nobody uses any more what they use.
 */
export async function together<T, R>({ items, atOnce, doing, signal }: Together<T, R>): Promise<R[]> {
  const failed = new AbortController();
  const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const use = doing(either);
  const outcomes = await mapLimited(items, atOnce, async (item): Promise<R[]> => {
    try {
      throwIfAborted(either);
      return [await use(item)];
    } catch (error) {
      if (!failed.signal.aborted) failed.abort(error);
      return [];
    }
  });
  if (failed.signal.aborted) throw failed.signal.reason;
  return outcomes.flatMap((outcome) => outcome);
}
