import type { BlobProvider } from '../content/index.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  hostPlatform,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  isConfigType,
  isIndexType,
  isManifestType,
  LIMITS,
  normalizePlatform,
  type Platform,
  platformMatcher,
  platformOf,
} from '../spec/index.js';
import { type ImageLayer, imageLayers } from './fetch-graph.js';
import { readConfig, readManifest } from './read-document.js';
import { noMatchingPlatform, selectManifest } from './select-manifest.js';

/** An image in a store or a layout, for one platform. */
export interface LoadedImage {
  readonly index?: ImageIndex;
  readonly manifestDescriptor: Descriptor;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
  readonly platform: Platform;
  /** The config's digest. */
  readonly imageId: Digest;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
  /** Of the topmost layer; absent for an image without layers. */
  readonly chainId: Digest | undefined;
}

/**
 * Reads an image for a platform. Without one it takes this machine's, else the only one that is here.
 * Errors: NO_MATCHING_PLATFORM, UNSUPPORTED_MEDIA_TYPE, INVALID_MANIFEST, BLOB_NOT_FOUND.
 */
export async function loadImage(
  content: BlobProvider,
  target: Descriptor,
  platform?: Platform,
): Promise<LoadedImage> {
  const here = await manifestsHere(content, target);
  const wanted = platform ?? hostPlatform();
  const { matches } = platformMatcher(wanted);
  const only = platform === undefined && here.length === 1 ? here[0] : undefined;
  if (only !== undefined && !matches(only.platform)) return loadManifest(content, only.descriptor, target);
  const { descriptor } = await selectManifest(target, wanted, (d) => readManifest(content, d));
  const image = await loadManifest(content, descriptor, target);
  if (platform !== undefined && !matches(image.platform)) {
    const available = here.map((manifest) => formatPlatform(manifest.platform));
    throw noMatchingPlatform(target, platform, available);
  }
  return image;
}

async function loadManifest(
  content: BlobProvider,
  descriptor: Descriptor,
  target: Descriptor,
): Promise<LoadedImage> {
  const manifest = await readManifest(content, descriptor);
  if (manifest.kind !== 'manifest') throw new TypeError(`${descriptor.digest} was taken for a manifest`);
  const config = await readConfig(content, manifest.config);
  const top = target.digest === descriptor.digest ? undefined : await readManifest(content, target);
  const layers = imageLayers(manifest, config);
  return {
    ...(top?.kind === 'index' ? { index: top } : {}),
    manifestDescriptor: descriptor,
    manifest,
    config,
    platform: normalizePlatform(platformOf(config)),
    imageId: manifest.config.digest,
    layers,
    chainId: layers.at(-1)?.chainId,
  };
}

/** An image manifest of which document and config are here. */
export interface LocalManifest {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
  readonly platform: Platform;
  readonly layers: readonly ImageLayer[];
}

/** The image manifests below a target of which manifest and config are here, each once, in the index's order. */
export async function manifestsHere(
  content: BlobProvider,
  target: Descriptor,
): Promise<readonly LocalManifest[]> {
  return await manifestsBelow(content, target, { depth: 0, seen: new Set() });
}

async function manifestsBelow(
  content: BlobProvider,
  target: Descriptor,
  { depth, seen }: { readonly depth: number; readonly seen: Set<Digest> },
): Promise<readonly LocalManifest[]> {
  const known = isIndexType(target.mediaType) || isManifestType(target.mediaType);
  // A few indexes that each list the next one many times would otherwise be read without an end.
  if (!known || depth > LIMITS.indexDepth || seen.has(target.digest)) return [];
  seen.add(target.digest);
  if ((await content.info(target.digest)) === undefined) return [];
  const document = await readManifest(content, target);
  if (document.kind === 'index') {
    const below: LocalManifest[] = [];
    for (const child of document.manifests) {
      below.push(...(await manifestsBelow(content, child, { depth: depth + 1, seen })));
    }
    return below;
  }
  if (!isConfigType(document.config.mediaType)) return [];
  if ((await content.info(document.config.digest)) === undefined) return [];
  const config = await readConfig(content, document.config);
  const platform = normalizePlatform(platformOf(config));
  // An attestation has a config of an image's type, but no platform that anything could run.
  if (platform.os === 'unknown' || platform.architecture === 'unknown') return [];
  return [{ descriptor: target, manifest: document, platform, layers: imageLayers(document, config) }];
}

/** The platforms of an image that are here. */
export async function platformsOf(content: BlobProvider, target: Descriptor): Promise<readonly Platform[]> {
  return (await manifestsHere(content, target)).map(({ platform }) => platform);
}
