import type { BlobProvider, ManifestInfo } from '../../content/index.js';
import {
  type Abortable,
  ContentError,
  isLandfallError,
  LandfallError,
  SpecError,
  throwIfAborted,
} from '../../errors.js';
import {
  chainIds,
  childrenOf,
  closestPlatform,
  type Descriptor,
  type Digest,
  formatPlatform,
  hostPlatform,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  isConfigType,
  isIndexType,
  isLayerType,
  isManifestType,
  isRunnablePlatform,
  LIMITS,
  normalizePlatform,
  type Platform,
  platformMatcher,
  platformOf,
  type UnpackLimits,
} from '../../spec/index.js';
import type { StoreParts } from '../store.js';
import {
  isSilent,
  noMatchingPlatform,
  readConfig,
  readManifest,
  readVerified,
  selectManifest,
} from './read-manifest.js';

/** One layer of an image: what the manifest says of it, and what the config says (image-spec: config.md). */
export interface ImageLayer {
  /** Of the compressed blob. */
  readonly descriptor: Descriptor;
  /** Of the uncompressed tar. */
  readonly diffId: Digest;
  /** Of this layer and all below it (image-spec: config.md, Layer ChainID). */
  readonly chainId: Digest;
}

export interface FetchedImage {
  readonly manifestDescriptor: Descriptor;
  readonly manifest: ImageManifest;
  /** Absent for an artifact, which is carried but has no root file system. */
  readonly config?: ImageConfig;
  readonly platform: Platform;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
}

/** An image in a store or a layout, for one platform. */
export interface LoadedImage extends FetchedImage {
  readonly index?: ImageIndex;
  readonly config: ImageConfig;
  /** The config's digest. */
  readonly imageId: Digest;
  /** Of the topmost layer; absent for an image without layers. */
  readonly chainId: Digest | undefined;
}

/**
 * Reads an image for a platform. Without one it takes, of what is here, this machine's, else the only one.
 * Errors: NO_MATCHING_PLATFORM, UNSUPPORTED_MEDIA_TYPE, INVALID_MANIFEST, BLOB_NOT_FOUND.
 */
export async function loadImage(
  content: BlobProvider,
  target: Descriptor,
  platform?: Platform,
): Promise<LoadedImage> {
  const here = await manifestsHere(content, target);
  const wanted = platform ?? hostPlatform();
  const descriptor = platform === undefined ? chosenOf(here) : undefined;
  const image = await loadManifest(
    content,
    descriptor ?? (await listedFor(content, { target, wanted, here })),
    target,
  );
  if (platform !== undefined && !platformMatcher(wanted).matches(image.platform)) {
    throw noMatchingPlatform(target, platform, platformsIn(here));
  }
  return image;
}

/**
 * What is taken where no platform is named; undefined where nothing is here, or none is closer than others.
 */
function chosenOf(here: readonly LocalManifest[]): Descriptor | undefined {
  // What an index says of a platform may tell apart what configs do not, such as the levels of arm.
  const offered = here.map(({ descriptor, platform }) => ({
    descriptor,
    platform: isSilent(descriptor) ? platform : (descriptor.platform ?? platform),
  }));
  const closest = closestPlatform(offered, hostPlatform());
  return (closest ?? (here.length === 1 ? here[0] : undefined))?.descriptor;
}

/**
 * What the image lists for a platform, whatever is here of it. Errors: BLOB_NOT_FOUND where others are
 * here, and that is not.
 */
async function listedFor(
  content: BlobProvider,
  o: { readonly target: Descriptor; readonly wanted: Platform; readonly here: readonly LocalManifest[] },
): Promise<Descriptor> {
  const { target, wanted, here } = o;
  try {
    return (await selectManifest(target, wanted, (d) => readVerified(content, d))).descriptor;
  } catch (error) {
    if (here.length === 0 || !isLandfallError(error)) throw error;
    if (error.code === 'BLOB_NOT_FOUND') throw notHere(o, error);
    if (error.code === 'NO_MATCHING_PLATFORM') throw noMatchingPlatform(target, wanted, platformsIn(here));
    throw error;
  }
}

function notHere({ target, wanted, here }: Parameters<typeof listedFor>[1], cause: unknown): ContentError {
  const [text, others] = [formatPlatform(wanted), platformsIn(here).map(formatPlatform)];
  return new ContentError(
    'BLOB_NOT_FOUND',
    `the image for ${text} is not here; here it is for: ${others.join(', ') || 'no platform'}`,
    {
      cause,
      hint:
        others[0] === undefined
          ? `Pull it with --platform ${text}.`
          : `Choose one that is here, --platform ${others[0]}, or pull it with --platform ${text}.`,
      details: { digest: target.digest },
    },
  );
}

function platformsIn(here: readonly LocalManifest[]): readonly Platform[] {
  return here.map(({ platform }) => platform).filter(isRunnablePlatform);
}

async function loadManifest(
  content: BlobProvider,
  descriptor: Descriptor,
  target: Descriptor,
): Promise<LoadedImage> {
  const manifest = await readManifest(content, descriptor);
  if (manifest.kind !== 'manifest') throw new TypeError(`${descriptor.digest} was taken for a manifest`);
  if (!isConfigType(manifest.config.mediaType)) throw artifactError(descriptor.digest, manifest);
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

/** Of a name or a digest that stands for what has no root file system. */
export function artifactError(name: string, { config }: ImageManifest, hint?: string): SpecError {
  return new SpecError(
    'UNSUPPORTED_MEDIA_TYPE',
    `${name} is an artifact (config ${config.mediaType}), not a container image`,
    { hint: hint ?? 'Look at it with `landfall tree`, or take it along with `landfall copy`.' },
  );
}

/** An image manifest of which manifest and config are here. */
export interface LocalManifest {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
  readonly platform: Platform;
  readonly layers: readonly ImageLayer[];
}

/**
 * The image manifests below a target of which manifest and config are here, each once, in the index's order.
 */
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
  const manifest = await readManifest(content, target);
  if (manifest.kind === 'index') {
    const below: LocalManifest[] = [];
    for (const child of manifest.manifests) {
      below.push(...(await manifestsBelow(content, child, { depth: depth + 1, seen })));
    }
    return below;
  }
  const image = await readRunnable(content, manifest);
  return image === undefined ? [] : [{ descriptor: target, manifest: manifest, ...image }];
}

/**
 * What the config of a manifest says. Undefined where it is not here, and for an artifact or an attestation.
 */
async function readRunnable(
  content: BlobProvider,
  manifest: ImageManifest,
): Promise<Pick<LocalManifest, 'platform' | 'layers'> | undefined> {
  if (!isConfigType(manifest.config.mediaType)) return undefined;
  if ((await content.info(manifest.config.digest)) === undefined) return undefined;
  const config = await readConfig(content, manifest.config);
  const platform = normalizePlatform(platformOf(config));
  // An attestation has a config of an image's type, but no platform that anything could run.
  if (platform.os === 'unknown' || platform.architecture === 'unknown') return undefined;
  return { platform, layers: imageLayers(manifest, config) };
}

/** The platforms of an image that are here. */
export async function platformsOf(content: BlobProvider, target: Descriptor): Promise<readonly Platform[]> {
  return (await manifestsHere(content, target)).map(({ platform }) => platform);
}

/**
 * Pairs layers with diffIds (image-spec: config.md, rootfs.diff_ids is in the order of the layers).
 * Errors: INVALID_MANIFEST (their numbers differ), UNSUPPORTED_MEDIA_TYPE (not a file system layer).
 */
export function imageLayers(manifest: ImageManifest, config: ImageConfig): readonly ImageLayer[] {
  const diffs = config.rootfs.diff_ids;
  if (diffs.length !== manifest.layers.length) {
    throw new SpecError(
      'INVALID_MANIFEST',
      `the manifest has ${manifest.layers.length} layers, its config ${diffs.length} diff_ids`,
      { hint: 'The image was put together wrongly; ask its publisher.' },
    );
  }
  const chains = chainIds(diffs);
  return manifest.layers.flatMap((descriptor, i) => {
    const diffId = diffs[i];
    const chainId = chains[i];
    if (diffId === undefined || chainId === undefined) return [];
    return [{ descriptor, diffId, chainId }];
  });
}

/**
 * Refuses layers that are no file system changesets, and more of them than can be mounted; only unpacking
 * minds.
 */
export function requireUnpackable(
  layers: readonly Pick<ImageLayer, 'descriptor'>[],
  limits: UnpackLimits,
): void {
  if (layers.length > limits.layers) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `the image has ${layers.length} layers; the limit is ${limits.layers}`,
      {
        hint: 'Use --no-unpack to keep the image without unpacking it, or raise the limit for one that you trust.',
        details: { actual: layers.length, limit: limits.layers },
      },
    );
  }
  const odd = layers.find(({ descriptor }) => !isLayerType(descriptor.mediaType));
  if (odd === undefined) return;
  throw new SpecError(
    'UNSUPPORTED_MEDIA_TYPE',
    `layer ${odd.descriptor.digest} is ${odd.descriptor.mediaType}, which is no file system layer`,
    { hint: 'Use --no-unpack to keep the image without unpacking it.' },
  );
}

interface RecordManifestsOptions {
  /**
   * What becomes of a manifest below an index that is here without all that it lists: it was left by a pull
   * that did not end, unless its content was lost. `skip` says the former, and is the default.
   */
  readonly incomplete?: 'skip' | 'record';
}

/**
 * Records what the indexes and manifests from a target down say, as far as they are here. The target itself
 * always is recorded. Call it before a name is given to the target, while everything is leased.
 *
 * Errors: those of reading manifests; of those below the target only where they are not damaged.
 */
export async function recordManifests(
  store: Pick<StoreParts, 'content' | 'manifests' | 'database'>,
  target: Descriptor,
  { incomplete = 'skip' }: RecordManifestsOptions = {},
): Promise<void> {
  const found: ManifestInfo[] = [];
  await survey(store, target, { found, incomplete, depth: 0 });
  await store.manifests.put(found);
}

/**
 * Records the manifests of images of which nothing is recorded. Returns the names of those whose target
 * cannot be read, by that target.
 */
export async function recordMissingManifests(
  store: Pick<StoreParts, 'content' | 'manifests' | 'database'>,
  o: Abortable = {},
): Promise<ReadonlyMap<Digest, string>> {
  const unreadable = new Map<Digest, string>();
  for (const { name, target } of await store.manifests.unrecorded()) {
    throwIfAborted(o.signal);
    try {
      await recordManifests(store, target);
      if ((await store.manifests.get(target.digest)) === undefined) unreadable.set(target.digest, name);
    } catch (error) {
      if (!(error instanceof LandfallError)) throw error;
      unreadable.set(target.digest, name);
    }
  }
  return unreadable;
}

async function survey(
  store: Pick<StoreParts, 'content' | 'manifests' | 'database'>,
  descriptor: Descriptor,
  o: Required<RecordManifestsOptions> & { readonly found: ManifestInfo[]; readonly depth: number },
): Promise<void> {
  const { digest, mediaType } = descriptor;
  const isIndex = isIndexType(mediaType);
  if (!isIndex && !isManifestType(mediaType)) return;
  if (o.depth > LIMITS.indexDepth || (await store.content.info(digest)) === undefined) return;
  const known = await store.manifests.get(digest);
  if (!isIndex && known?.platform !== undefined) return;
  const manifest = await readManifest(store.content, descriptor);
  const below = o.depth > 0;
  if (manifest.kind === 'manifest') {
    if (below && o.incomplete === 'skip' && !(await isWhole(store, manifest))) return;
    o.found.push(await infoOfManifest(store.content, descriptor, manifest));
    return;
  }
  if (known === undefined) o.found.push(infoOf(descriptor, manifest));
  for (const child of manifest.manifests) {
    try {
      await survey(store, child, { ...o, depth: o.depth + 1 });
    } catch (error) {
      // One platform that is damaged is no reason to know nothing of the others.
      if (!(error instanceof LandfallError)) throw error;
    }
  }
}

/** Whether all that a manifest lists came once: it is here, or damaged, or was dropped on purpose. */
async function isWhole(
  { content, database }: Pick<StoreParts, 'content' | 'database'>,
  manifest: ImageManifest,
): Promise<boolean> {
  for (const { digest } of childrenOf(manifest)) {
    const came = await database.get(
      'SELECT 1 FROM blobs WHERE digest = ?1 UNION ALL SELECT 1 FROM discarded WHERE digest = ?1',
      [digest],
    );
    if (came === undefined && (await content.info(digest)) === undefined) return false;
  }
  return true;
}

/** What a manifest says of itself: all there is to know of an index or an artifact. */
export function infoOf(
  { digest, mediaType }: Descriptor,
  manifest: ImageIndex | ImageManifest,
): ManifestInfo {
  return {
    digest,
    mediaType,
    subject: manifest.subject?.digest,
    children: childrenOf(manifest).map((child) => ({ digest: child.digest, size: child.size })),
    chainIds: [],
  };
}

/** The same of a manifest, with what only its config says, where that can be read. */
async function infoOfManifest(
  content: BlobProvider,
  descriptor: Descriptor,
  manifest: ImageManifest,
): Promise<ManifestInfo> {
  const info = infoOf(descriptor, manifest);
  try {
    const image = await readRunnable(content, manifest);
    if (image === undefined) return info;
    return {
      ...info,
      platform: formatPlatform(image.platform),
      imageId: manifest.config.digest,
      chainIds: image.layers.map(({ chainId }) => chainId),
    };
  } catch (error) {
    // Its blobs are known all the same.
    if (error instanceof LandfallError) return info;
    throw error;
  }
}
