import type { IngestProgress } from './content-store.js';

/** How often who waits is told how far it is, in ms. */
const TELL_EVERY_MS = 200;

/** Tells now and then how far it is that is waited for, until it settles. A look that fails is left out. */
export async function whileWaiting<T>(
  awaited: Promise<T>,
  look: () => Promise<IngestProgress>,
  onWait: ((progress: IngestProgress) => void) | undefined,
): Promise<T> {
  if (onWait === undefined) return await awaited;
  let settled = false;
  const timer = setInterval(() => {
    look().then(
      (progress) => {
        // Nobody is told of a wait that has ended meanwhile.
        if (!settled) onWait(progress);
      },
      () => undefined,
    );
  }, TELL_EVERY_MS);
  try {
    return await awaited;
  } finally {
    settled = true;
    clearInterval(timer);
  }
}
