import type { Descriptor } from '../spec/index.js';
import { discardedBlobs, type DiscardingStore } from './discard-layers.js';
import type { StoreParts } from './store.js';

/**
 * Takes over from additional stores what they go without on purpose: the main store does so too then, and knows where the
 * blobs came from. What is here is passed over.
 *
 * @param source - `registry/repository`, for a blob of which that store does not know where it came from
 */
export async function noteDiscarded(
  store: DiscardingStore & Pick<StoreParts, 'content' | 'additional'>,
  blobs: readonly Descriptor[],
  source?: string,
): Promise<void> {
  for (const { discarded } of store.additional) {
    for (const [digest, blob] of await discarded.among(blobs.map((blob) => blob.digest))) {
      if ((await store.content.info(digest)) !== undefined) continue;
      const from = blob.source ?? source;
      if (from !== undefined) await discardedBlobs(store).note([{ digest, size: blob.size }], from);
    }
  }
}
