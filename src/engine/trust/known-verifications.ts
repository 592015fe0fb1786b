import type { ContentStore, Verification, VerificationStore } from '../../content/index.js';
import { isLandfallError } from '../../errors.js';
import { type Descriptor, type Digest, isIndexType } from '../../spec/index.js';
import { readManifest } from '../read-document.js';

interface KnownIn {
  readonly content: Pick<ContentStore, 'info' | 'open'>;
  readonly verifications: Pick<VerificationStore, 'about'>;
}

/**
 * By whom an image is known to be signed: itself, or a manifest that its index leads to. The oldest first; nothing is verified, and
 * nothing of the image needs to be here.
 */
export async function knownVerifications(
  store: KnownIn,
  target: Descriptor,
): Promise<readonly Verification[]> {
  const documents = new Set<Digest>();
  let level: readonly Descriptor[] = [target];
  while (level.length > 0) {
    const fresh = level.filter(({ digest }) => !documents.has(digest));
    for (const { digest } of fresh) documents.add(digest);
    level = (await Promise.all(fresh.map((descriptor) => manifestsIn(store, descriptor)))).flat();
  }
  return await store.verifications.about(documents);
}

/** What an index lists, as far as it is here; of all else nothing. */
async function manifestsIn({ content }: KnownIn, descriptor: Descriptor): Promise<readonly Descriptor[]> {
  if (!isIndexType(descriptor.mediaType) || (await content.info(descriptor.digest)) === undefined) return [];
  try {
    const document = await readManifest(content, descriptor);
    return document.kind === 'index' ? document.manifests : [];
  } catch (error) {
    // What is damaged says nothing, and is for fsck.
    if (isLandfallError(error)) return [];
    throw error;
  }
}
