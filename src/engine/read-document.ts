import type { BlobProvider } from '../content/index.js';
import { ContentError, SpecError } from '../errors.js';
import {
  createDigester,
  type Descriptor,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  isConfigType,
  LIMITS,
  parseImageConfig,
  parseManifest,
} from '../spec/index.js';

/** A manifest or an index of the image specification, parsed. */
export type ImageDocument = ImageManifest | ImageIndex;

/**
 * The bytes of a small blob. They are verified here once more, since a document steers everything after it and
 * an OCI layout on disk was verified by nobody.
 * Errors: BLOB_NOT_FOUND, SIZE_MISMATCH, DIGEST_MISMATCH, LIMIT_EXCEEDED (larger than `maxBytes`).
 */
export async function readVerified(
  content: Pick<BlobProvider, 'open'>,
  descriptor: Descriptor,
  maxBytes: number,
): Promise<Buffer> {
  refuseLarger(descriptor, maxBytes);
  const digester = createDigester(descriptor.digest);
  const chunks: Buffer[] = [];
  for await (const chunk of await content.open(descriptor)) {
    const bytes = chunk as Buffer;
    digester.update(bytes);
    chunks.push(bytes);
  }
  const actual = digester.digest();
  if (actual !== descriptor.digest) {
    throw new ContentError('DIGEST_MISMATCH', `blob ${descriptor.digest} reads as ${actual}`, {
      details: { digest: descriptor.digest, expected: descriptor.digest, actual },
      hint: 'The stored blob is damaged: run `landfall fsck --repair`, or pull the image again.',
    });
  }
  return Buffer.concat(chunks);
}

/** Reads and parses a manifest or index (image-spec: manifest.md, image-index.md). */
export async function readManifest(
  content: Pick<BlobProvider, 'open'>,
  descriptor: Descriptor,
): Promise<ImageDocument> {
  return parseManifest(await readVerified(content, descriptor, LIMITS.manifestBytes), descriptor.mediaType);
}

/** Reads and parses an image config (image-spec: config.md). */
export async function readConfig(content: BlobProvider, descriptor: Descriptor): Promise<ImageConfig> {
  return parseImageConfig(await readVerified(content, descriptor, LIMITS.configBytes));
}

/** How many bytes a document may have. */
export function documentLimit({ mediaType }: Descriptor): number {
  return isConfigType(mediaType) ? LIMITS.configBytes : LIMITS.manifestBytes;
}

/** Refuses a document by what its descriptor says, before a byte of it is fetched. */
export function refuseLarger(descriptor: Descriptor, maxBytes: number): void {
  if (descriptor.size <= maxBytes) return;
  throw new SpecError(
    'LIMIT_EXCEEDED',
    `${descriptor.mediaType} ${descriptor.digest} has ${descriptor.size} bytes; the limit is ${maxBytes}`,
    { details: { digest: descriptor.digest, size: descriptor.size, limit: maxBytes } },
  );
}
