import { buffer } from 'node:stream/consumers';

import type { BlobProvider } from '../store/content-store.js';
import { LandfallError, SpecError } from '../../errors.js';
import { type Digest, type ImageIndex, type ImageManifest, LIMITS, parseManifest } from '../../spec/index.js';

/** Undefined where it is not here, or is no manifest of the type that is said, or of any when none is. */
export async function readManifestBlob(
  blobs: BlobProvider,
  digest: Digest,
  mediaType?: string,
): Promise<{ manifest: ImageManifest | ImageIndex; size: number } | undefined> {
  const info = await blobs.info(digest);
  if (info === undefined || info.size > LIMITS.manifestBytes) return undefined;
  const descriptor = { mediaType: mediaType ?? 'application/octet-stream', digest, size: info.size };
  try {
    const bytes = await buffer(await blobs.open(descriptor));
    return { manifest: parseManifest(bytes, mediaType), size: info.size };
  } catch (error) {
    const gone = error instanceof LandfallError && error.code === 'BLOB_NOT_FOUND';
    if (gone || error instanceof SpecError) return undefined;
    throw error;
  }
}
