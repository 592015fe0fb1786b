import type { ImageRecord } from '../content/index.js';
import { type Abortable, ContentError, throwIfAborted } from '../errors.js';
import { resolveOwnImage } from './find-image.js';
import type { Store } from './store.js';

/**
 * Keeps an image from being collected for not being used, or no longer does. A pinned image goes only when it is removed by
 * its name.
 *
 * @param name as a person would write it: a reference, a digest, an image ID
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image), FILESYSTEM
 * - {@link SpecError} INVALID_REFERENCE
 * - {@link LandfallError} UNSUPPORTED (only an additional store has it), ABORTED
 */
export async function pinImage(
  store: Store,
  name: string,
  pinned: boolean,
  { signal }: Abortable = {},
): Promise<ImageRecord> {
  throwIfAborted(signal);
  const image = await resolveOwnImage(store, name);
  const record = await store.images.pin(image.name, pinned);
  if (record !== undefined) return record;
  throw new ContentError('BLOB_NOT_FOUND', `the image ${image.name} was removed meanwhile`);
}
