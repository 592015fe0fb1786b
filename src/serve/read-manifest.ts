import { buffer } from 'node:stream/consumers';

import type { BlobInfo, BlobProvider } from '../content/index.js';
import { SpecError } from '../errors.js';
import { type Digest, LIMITS, parseManifest } from '../spec/index.js';

export interface ReadManifest {
  readonly info: BlobInfo;
  readonly bytes: Buffer;
  /** What its body says, or what its fields are those of. */
  readonly mediaType: string;
}

/** Undefined where there is no such blob, or it is larger than a manifest may be. */
export async function readSmallBlob(
  blobs: BlobProvider,
  digest: Digest,
): Promise<Omit<ReadManifest, 'mediaType'> | undefined> {
  const info = await blobs.info(digest);
  if (info === undefined || info.size > LIMITS.manifestBytes) return undefined;
  const descriptor = { mediaType: 'application/octet-stream', digest, size: info.size };
  return { info, bytes: await buffer(await blobs.open(descriptor)) };
}

/** Undefined where there is no such blob, or it is no manifest: a digest may name any blob. */
export async function readManifestBytes(
  blobs: BlobProvider,
  digest: Digest,
): Promise<ReadManifest | undefined> {
  const found = await readSmallBlob(blobs, digest);
  if (found === undefined) return undefined;
  try {
    return { ...found, mediaType: parseManifest(found.bytes).mediaType };
  } catch (error) {
    if (error instanceof SpecError) return undefined;
    throw error;
  }
}
