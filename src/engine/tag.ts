import type { ImageRecord } from '../content/index.js';
import { type Abortable, SpecError, throwIfAborted } from '../errors.js';
import { formatReference, parseReference, repositoryName } from '../spec/index.js';
import { copyDocuments } from './copy-documents.js';
import { isLean, leanLabels } from './discard-layers.js';
import { recordDocuments } from './documents.js';
import { resolveImage } from './find-image.js';
import type { Store } from './store.js';

/**
 * Gives an image one more name, or moves a name to it.
 *
 * @param source any name of the image, as a person would write it
 * @param name the new one
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image), FILESYSTEM
 * - {@link SpecError} INVALID_REFERENCE (also for a name with another digest, which only a pull can vouch for)
 * - {@link LandfallError} ABORTED, before the name is given
 */
export async function tagImage(
  store: Store,
  source: string,
  name: string,
  { signal }: Abortable = {},
): Promise<ImageRecord> {
  throwIfAborted(signal);
  const reference = parseReference(name, { defaultTag: true });
  await using lease = await store.leases.create();
  await lease.addBlob((await resolveImage(store, source)).target.digest);
  // Looked for again now that it is leased: its last name may have gone in between, and all that it held.
  const { name: known, target, labels } = await resolveImage(store, source);
  if (reference.digest !== undefined && reference.digest !== target.digest) {
    throw new SpecError(
      'INVALID_REFERENCE',
      `${JSON.stringify(name)} names another digest than ${target.digest}`,
      {
        hint: 'Leave the digest out of the new name.',
      },
    );
  }
  await copyDocuments(store, target, { lease, source: repositoryName(parseReference(known)) });
  await recordDocuments(store, target);
  throwIfAborted(signal);
  const canonical = formatReference(reference);
  const before = await store.images.get(canonical);
  const changed = leanLabels(before?.labels, isLean(labels));
  return await store.images.put({
    name: canonical,
    target,
    ...(changed === undefined ? {} : { labels: changed }),
  });
}
