import type { DocumentStore } from '../../content/index.js';
import { type Digest, isIndexType } from '../../spec/index.js';

/** The indexes of a store that lead to a manifest, the nearest first: a signature for any of them counts for it. */
export async function indexesAbove(
  documents: Pick<DocumentStore, 'holders'>,
  manifest: Digest,
): Promise<readonly Digest[]> {
  const found = new Set<Digest>();
  let level: readonly Digest[] = [manifest];
  while (level.length > 0) {
    const holders = (await Promise.all(level.map((digest) => documents.holders(digest)))).flat();
    // Whatever lists a manifest as if it were a layer leads to nothing that could be used.
    const indexes = holders.filter(({ mediaType, digest }) => isIndexType(mediaType) && !found.has(digest));
    for (const { digest } of indexes) found.add(digest);
    level = indexes.map(({ digest }) => digest);
  }
  found.delete(manifest);
  return [...found];
}
