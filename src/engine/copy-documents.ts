import type { BlobProvider, Lease } from '../content/index.js';
import {
  childrenOf,
  type Descriptor,
  isConfigType,
  isIndexType,
  isManifestType,
  LIMITS,
} from '../spec/index.js';
import { noteDiscarded } from './note-discarded.js';
import { readManifest } from './read-document.js';
import type { Store } from './store.js';

/**
 * Copies the documents of an image that lies in an additional store, before the main store gives it a name. Layers stay
 * where they are, and those that it goes without are noted.
 *
 * @param lease - holds what is copied until it has a name
 * @param source - `registry/repository` of the image, as far as its name says it
 */
export async function copyDocuments(
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
