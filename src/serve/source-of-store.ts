import { discardedBlobs } from '../engine/discard-layers.js';
import { restoreBlobs } from '../engine/restore-blobs.js';
import type { Store } from '../engine/store.js';
import type { RegistryClient } from '../registry/index.js';
import { RestoringBlobs } from './restoring-blobs.js';
import { StoreSource } from './store-source.js';

/** The images of a store, to be served; layers that it dropped once they were unpacked are brought back when somebody asks for them. */
export function sourceOfStore(
  store: Store,
  registry: RegistryClient,
  { signal, writable }: { readonly signal: AbortSignal; readonly writable: boolean },
): StoreSource {
  const { catalog: images, content, documents, database } = store;
  const restoring = new RestoringBlobs({
    blobs: content,
    discarded: discardedBlobs(store),
    restore: (descriptor) => restoreBlobs(store, registry, [descriptor], { signal }),
  });
  return new StoreSource({
    images,
    content,
    restoring,
    records: { documents, database, ownManifests: writable },
  });
}
