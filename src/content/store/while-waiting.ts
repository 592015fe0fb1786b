import type { Abortable } from '../../errors.js';
import { type Telling, tellingCaller } from '../../concurrency/index.js';
import type { IngestProgress } from './content-store.js';

/** The progress of a wait is reported at this interval, in ms. */
const TELL_EVERY_MS = 200;

/** A wait, and a look at the progress of what it waits for. */
export interface Waiting<T> extends Abortable {
  readonly wait: (o: Abortable) => Promise<T>;
  /** Undefined where there is nothing to be told. */
  readonly look: () => Promise<IngestProgress | undefined>;
  readonly onWait?: ((progress: IngestProgress) => void) | undefined;
  /** Gives back what came of the wait after all, where the callback has failed. */
  readonly undo?: (value: T) => Promise<void>;
}

/**
 * Tells now and then how far it is that is waited for, until it settles. A look that fails is left out; a callback that throws ends
 * the wait, with what it throws.
 */
export async function whileWaiting<T>({ signal, wait, look, onWait, undo }: Waiting<T>): Promise<T> {
  const waiting = async ({ onEvent: tell, ...o }: Telling<IngestProgress>): Promise<T> => {
    if (tell === undefined) return await wait(o);
    let settled = false;
    const timer = setInterval(() => {
      look().then(
        (progress) => {
          // A wait that has ended meanwhile reports nothing.
          if (!settled && progress !== undefined) tell(progress);
        },
        () => undefined,
      );
    }, TELL_EVERY_MS);
    try {
      return await wait(o);
    } finally {
      settled = true;
      clearInterval(timer);
    }
  };
  return await tellingCaller({ signal, onEvent: onWait }, waiting, undo);
}
