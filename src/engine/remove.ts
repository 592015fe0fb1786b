import type { Digest } from '../spec/index.js';
import { collectGarbage } from './collect-garbage.js';
import { resolveImage } from './find-image.js';
import type { Store } from './store.js';

export interface RemovedImage {
  /** Canonical. */
  readonly name: string;
  readonly digest: Digest;
  /** Bytes that only this image used. */
  readonly freed: number;
}

/**
 * Removes a name from the store, and with the last name of an image what only that image used.
 * Errors: BLOB_NOT_FOUND (no such image), INVALID_REFERENCE.
 */
export async function removeImage(store: Store, name: string): Promise<RemovedImage> {
  const image = await resolveImage(store, name);
  await store.images.delete(image.name);
  const { freed } = await collectGarbage(store);
  return { name: image.name, digest: image.target.digest, freed };
}
