import type { Abortable } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import { isMisdescribed } from '../registry/misdescribed.js';
import {
  type Descriptor,
  isConfigType,
  normalizePlatform,
  type Platform,
  platformMatcher,
  platformOf,
  type Reference,
} from '../spec/index.js';
import { type DocumentSource, fetchConfig, fetchVerified } from './fetch-document.js';
import { documentLimit } from './read-document.js';
import { noMatchingPlatform, type SelectedManifest, selectManifest } from './select-manifest.js';

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
