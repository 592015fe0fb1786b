import { SpecError } from '../errors.js';
import {
  type Descriptor,
  formatPlatform,
  type ImageIndex,
  type ImageManifest,
  isIndexType,
  isManifestType,
  LIMITS,
  type Platform,
  selectPlatform,
} from '../spec/index.js';
import type { ImageDocument } from './read-document.js';

/** A manifest with the descriptor that names it and the index, if any, that leads to it. */
export interface SelectedManifest {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
  readonly index?: ImageIndex;
}

/**
 * Follows an image's target to the manifest for a platform, through nested indexes (image-spec: image-index.md).
 * `read` fetches or reads a document. Errors: NO_MATCHING_PLATFORM (details.available says which exist),
 * LIMIT_EXCEEDED (indexes within indexes without end), and those of `read`.
 */
export async function selectManifest(
  target: Descriptor,
  platform: Platform,
  read: (descriptor: Descriptor) => Promise<ImageDocument>,
): Promise<SelectedManifest> {
  let descriptor = target;
  let index: ImageIndex | undefined;
  for (let depth = 0; depth <= LIMITS.indexDepth; depth++) {
    const document = await read(descriptor);
    if (document.kind === 'manifest') {
      return { descriptor, manifest: document, ...(index === undefined ? {} : { index }) };
    }
    index ??= document;
    descriptor = childForPlatform(target, document, platform);
  }
  throw new SpecError('LIMIT_EXCEEDED', `${target.digest} nests indexes more than ${LIMITS.indexDepth} deep`);
}

/** What of an index leads on to the manifest for a platform. @throws {SpecError} NO_MATCHING_PLATFORM */
export function childForPlatform(target: Descriptor, index: ImageIndex, platform: Platform): Descriptor {
  const next = selectPlatform(index.manifests, platform) ?? onlyNestedIndex(index);
  if (next === undefined) throw noMatchingPlatform(target, platform, availablePlatforms(index));
  return next;
}

/** An index that names no platform for its one nested index still leads somewhere. */
function onlyNestedIndex(index: ImageIndex): Descriptor | undefined {
  const nested = index.manifests.filter((d) => isIndexType(d.mediaType) && d.platform === undefined);
  return nested.length === 1 ? nested[0] : undefined;
}

/** The platforms an index offers, as text, in its order; attestations (`unknown/unknown`) are none. */
export function availablePlatforms(index: ImageIndex): string[] {
  const platforms = index.manifests
    .filter((d) => isManifestType(d.mediaType) || isIndexType(d.mediaType))
    .flatMap((d) => (d.platform === undefined ? [] : [formatPlatform(d.platform)]))
    .filter((text) => !text.startsWith('unknown'));
  return [...new Set(platforms)];
}

export function noMatchingPlatform(
  target: Descriptor,
  wanted: Platform,
  available: readonly string[],
): SpecError {
  const list = available.length === 0 ? 'none' : available.join(', ');
  return new SpecError(
    'NO_MATCHING_PLATFORM',
    `the image has no manifest for ${formatPlatform(wanted)}; it has: ${list}`,
    {
      hint:
        available.length === 0
          ? 'Choose another image.'
          : `Choose one of them: --platform ${available[0] ?? ''}`,
      details: { digest: target.digest, wanted: formatPlatform(wanted), available },
    },
  );
}
