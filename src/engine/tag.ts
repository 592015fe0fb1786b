import type { ImageRecord } from '../content/index.js';
import { SpecError } from '../errors.js';
import { formatReference, parseReference } from '../spec/index.js';
import { resolveImage } from './find-image.js';
import type { Store } from './store.js';

/**
 * Gives an image one more name, or moves a name to it.
 * Errors: INVALID_REFERENCE (also for a name with a digest, which only a pull can vouch for), BLOB_NOT_FOUND.
 */
export async function tagImage(store: Store, source: string, name: string): Promise<ImageRecord> {
  const reference = parseReference(name, { defaultTag: true });
  const { target } = await resolveImage(store, source);
  if (reference.digest !== undefined && reference.digest !== target.digest) {
    throw new SpecError(
      'INVALID_REFERENCE',
      `${JSON.stringify(name)} names another digest than ${target.digest}`,
      {
        hint: 'Leave the digest out of the new name.',
      },
    );
  }
  return store.images.put({ name: formatReference(reference), target });
}
