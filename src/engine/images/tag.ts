import type { BlobProvider, ImageRecord, Lease } from '../../content/index.js';
import { type Abortable, ContentError, SpecError, throwIfAborted } from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  formatReference,
  isConfigType,
  isIndexType,
  isManifestType,
  LIMITS,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import { noteDiscarded } from './discard-layers.js';
import { recordDocuments } from './documents.js';
import { resolveImage, resolveOwnImage } from './find-image.js';
import { readManifest } from './read-document.js';
import type { Store } from '../store.js';

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
  const { name: known, target, discardLayers } = await resolveImage(store, source);
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
  return await store.images.put({ name: formatReference(reference), target, discardLayers });
}

/**
 * Copies the documents of an image that lies in an additional store, before the main store gives it a name. Layers stay
 * where they are, and those that it goes without are noted.
 *
 * @param lease - holds what is copied until it has a name
 * @param source - `registry/repository` of the image, as far as its name says it
 */
async function copyDocuments(
  store: Store,
  target: Descriptor,
  { lease, source }: { readonly lease: Lease; readonly source: string },
): Promise<void> {
  if (store.additional.length === 0) return;
  for await (const document of documentsHere(store.content, target)) {
    await lease.addBlob(document.digest);
    // What is here needs no writer; asking for one is what copies it.
    await (await store.content.ingest(document))?.discard();
    if (!isManifestType(document.mediaType)) continue;
    await noteDiscarded(store, childrenOf(await readManifest(store.content, document)), source);
  }
}

/** Indexes, manifests and configs from a target down, as far as they are here. */
async function* documentsHere(
  content: BlobProvider,
  descriptor: Descriptor,
  depth = 0,
): AsyncGenerator<Descriptor> {
  const { digest, mediaType } = descriptor;
  const lists = isIndexType(mediaType) || isManifestType(mediaType);
  if (!lists && !isConfigType(mediaType)) return;
  if (depth > LIMITS.indexDepth + 1 || (await content.info(digest)) === undefined) return;
  yield descriptor;
  if (!lists) return;
  for (const child of childrenOf(await readManifest(content, descriptor))) {
    yield* documentsHere(content, child, depth + 1);
  }
}

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
