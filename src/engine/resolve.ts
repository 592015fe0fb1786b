import { buffer } from 'node:stream/consumers';
import { type Abortable, ContentError, isWrongContent, RegistryError } from '../errors.js';
import type { Fetcher, RegistryClient } from '../registry/index.js';
import { isMisdescribed } from '../registry/misdescribed.js';
import {
  createDigester,
  type Descriptor,
  type Digest,
  type ImageConfig,
  isConfigType,
  LIMITS,
  normalizePlatform,
  parseImageConfig,
  parseManifest,
  type Platform,
  platformMatcher,
  platformOf,
  type Reference,
} from '../spec/index.js';
import {
  documentLimit,
  type ImageDocument,
  noMatchingPlatform,
  refuseLarger,
  type SelectedManifest,
  selectManifest,
} from './read-document.js';

export interface ResolveOptions extends Abortable {
  readonly registry: Pick<RegistryClient, 'resolver' | 'repository'>;
  readonly reference: Reference;
  /** Goes on from an index to the manifest for it. */
  readonly platform?: Platform;
}

/**
 * What a reference leads to at its registry; nothing is kept. Without a platform that is what the name points to, often an
 * index. Errors: those of the resolver and the fetcher; NO_MATCHING_PLATFORM, INVALID_MANIFEST, LIMIT_EXCEEDED.
 */
export async function resolveReference(options: ResolveOptions): Promise<Descriptor> {
  return await resolve(options, false);
}

/** Once more by GET, where the manifest could not be had as HEAD had described it. */
async function resolve(options: ResolveOptions, byGet: boolean): Promise<Descriptor> {
  const { registry, reference, platform, signal } = options;
  const target = await registry.resolver().resolve(reference, { signal, byGet });
  if (platform === undefined) return target;
  const repository = registry.repository(reference);
  try {
    const selected = await selectManifest(target, platform, (d) =>
      fetchVerified(repository, d, documentLimit(d), { signal }),
    );
    if (selected.index === undefined) await checkPlatform(repository, selected, platform, { signal });
    return selected.descriptor;
  } catch (error) {
    if (byGet || !isMisdescribed(error, target)) throw error;
    return await resolve(options, true);
  }
}

/** No index says for what a single manifest is, so its config is asked; an artifact is for every platform. */
async function checkPlatform(
  source: DocumentSource,
  { descriptor, manifest }: SelectedManifest,
  wanted: Platform,
  options: Abortable,
): Promise<void> {
  if (!isConfigType(manifest.config.mediaType)) return;
  const actual = normalizePlatform(platformOf(await fetchConfig(source, manifest.config, options)));
  if (platformMatcher(wanted).matches(actual)) return;
  throw noMatchingPlatform(descriptor, wanted, [actual]);
}

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
async function fetchConfig(
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
