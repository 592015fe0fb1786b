import { buffer } from 'node:stream/consumers';

import { type Abortable, ContentError, isWrongContent, RegistryError } from '../errors.js';
import type { Fetcher } from '../registry/index.js';
import {
  createDigester,
  type Descriptor,
  type Digest,
  type ImageConfig,
  LIMITS,
  parseImageConfig,
  parseManifest,
} from '../spec/index.js';
import { type ImageDocument, refuseLarger } from './read-document.js';

/** Where documents come from, and what is told when one was not what it should be. */
export type DocumentSource = Pick<Fetcher, 'fetch' | 'distrust'>;

/**
 * A manifest or an index straight from its registry, kept nowhere (image-spec: manifest.md, image-index.md).
 * Errors: those of {@link Fetcher}; DIGEST_MISMATCH, SIZE_MISMATCH, LIMIT_EXCEEDED, INVALID_MANIFEST.
 */
export async function fetchDocument(
  source: DocumentSource,
  descriptor: Descriptor,
  options: Abortable = {},
): Promise<ImageDocument> {
  const bytes = await fetchVerified(source, descriptor, LIMITS.manifestBytes, options);
  return parseManifest(bytes, descriptor.mediaType);
}

/** The same of an image config (image-spec: config.md). */
export async function fetchConfig(
  source: DocumentSource,
  descriptor: Descriptor,
  options: Abortable = {},
): Promise<ImageConfig> {
  return parseImageConfig(await fetchVerified(source, descriptor, LIMITS.configBytes, options));
}

/** How many bodies of a document may break off. Until the first byte, the source itself tries again. */
const BROKEN_BODIES = 3;

/** The bytes of a document, verified. Errors: as {@link fetchDocument}, INVALID_MANIFEST excepted. */
export async function fetchVerified(
  source: DocumentSource,
  descriptor: Descriptor,
  maxBytes: number,
  options: Abortable,
): Promise<Buffer> {
  refuseLarger(descriptor, maxBytes);
  for (let broken = 0; ;) {
    const body = await source.fetch(descriptor, options);
    try {
      const bytes = await buffer(body);
      const actual = createDigester(descriptor.digest).update(bytes).digest();
      if (actual === descriptor.digest) return bytes;
      throw mismatch(descriptor.digest, actual);
    } catch (error) {
      if (isWrongContent(error) && (await source.distrust(descriptor))) continue;
      broken += 1;
      if (!(error instanceof RegistryError) || !error.retryable || broken === BROKEN_BODIES) throw error;
    }
  }
}

function mismatch(expected: Digest, actual: Digest): ContentError {
  return new ContentError('DIGEST_MISMATCH', `what the registry sent for ${expected} is ${actual}`, {
    details: { digest: expected, expected, actual },
    hint: 'The registry, or a proxy before it, has changed the content; do not trust it.',
  });
}
