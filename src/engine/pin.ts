import type { ImageRecord } from '../content/index.js';
import { ContentError } from '../errors.js';
import { resolveOwnImage } from './find-image.js';
import type { Store } from './store.js';

/**
 * Keeps an image from being collected for not being used, or no longer does. A pinned image goes only when it is removed by
 * its name. Errors: BLOB_NOT_FOUND (no such image), UNSUPPORTED (only an additional store has it), INVALID_REFERENCE.
 */
export async function pinImage(store: Store, name: string, pinned: boolean): Promise<ImageRecord> {
  const image = await resolveOwnImage(store, name);
  const record = await store.images.pin(image.name, pinned);
  if (record !== undefined) return record;
  throw new ContentError('BLOB_NOT_FOUND', `the image ${image.name} was removed meanwhile`);
}
