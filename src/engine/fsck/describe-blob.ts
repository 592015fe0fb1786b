import { LandfallError } from '../../errors.js';
import { textOf } from '../../metadata/index.js';
import { childrenOf, type Descriptor, type Digest } from '../../spec/index.js';
import { readManifest } from '../read-document.js';
import type { StoreParts } from '../store.js';

/** What a registry asks nothing about: it is fetched as a blob. */
const OCTET_STREAM = 'application/octet-stream';

/**
 * The descriptor of a blob of which only digest and size are known: a registry has indexes and manifests at another place
 * than other blobs, so it matters what it is.
 */
export async function describeBlob(
  { database, documents, content }: Pick<StoreParts, 'database' | 'documents' | 'content'>,
  digest: Digest,
  size: number,
): Promise<Descriptor> {
  const facts = await documents.get(digest);
  if (facts !== undefined) return { mediaType: facts.mediaType, digest, size };
  const image = await database.get('SELECT media_type FROM images WHERE digest = ? LIMIT 1', [digest]);
  if (image !== undefined) return { mediaType: textOf(image, 'media_type'), digest, size };
  for (const holder of await documents.holders(digest)) {
    const info = await content.info(holder.digest);
    if (info === undefined) continue;
    const { mediaType } = holder;
    try {
      const document = await readManifest(content, { mediaType, digest: holder.digest, size: info.size });
      const child = childrenOf(document).find((descriptor) => descriptor.digest === digest);
      if (child !== undefined) return child;
    } catch (error) {
      // A damaged document is another one's problem.
      if (!(error instanceof LandfallError)) throw error;
    }
  }
  return { mediaType: OCTET_STREAM, digest, size };
}
