import type { BlobProvider } from '../content/index.js';
import { ContentError, type ErrorCode, SpecError } from '../errors.js';
import {
  chainIds,
  childrenOf,
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageConfig,
  type ImageManifest,
  isConfigType,
  isIndexType,
  isLayerType,
  isManifestType,
  LIMITS,
  normalizePlatform,
  type Platform,
  platformMatcher,
  platformOf,
  type UnpackLimits,
} from '../spec/index.js';
import type { BlobArrivals } from './blob-arrivals.js';
import type { DocumentBytes } from './document-bytes.js';
import type { BlobRole } from './pull-event.js';
import {
  type ImageDocument,
  noMatchingPlatform,
  readConfig,
  readManifest,
  refuseLarger,
  selectManifest,
} from './read-document.js';

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
  readonly layers: readonly ImageLayer[];
}

export interface FetchGraphOptions {
  readonly content: BlobProvider;
  readonly arrivals: BlobArrivals;
  /** Gives what is only looked at, to see for which platform it is, and is not kept. */
  readonly read: DocumentBytes;
  readonly platform: Platform;
  /** The caller asked for this platform, so another one is an error and not a remark. */
  readonly platformRequired: boolean;
  readonly onWarning: (message: string) => void;
  /** Told of the manifest that was chosen, while its config is on its way. */
  readonly onManifest?: (manifest: ImageManifest, descriptor: Descriptor) => void;
}

/** Fetches index, manifest and config of the wanted platform. Its layers are not begun. */
export async function fetchImage(target: Descriptor, options: FetchGraphOptions): Promise<FetchedImage> {
  const { descriptor, manifest } = await selectManifest(target, options.platform, options.read, (d) =>
    fetchDocument(d, options),
  );
  if (!isConfigType(manifest.config.mediaType)) {
    return { manifestDescriptor: descriptor, manifest, platform: options.platform, layers: [] };
  }
  refuseLarger(manifest.config, LIMITS.configBytes);
  options.onManifest?.(manifest, descriptor);
  const config = await arrivedDocument(manifest.config, 'config', options, (d) =>
    readConfig(options.content, d),
  );
  checkPlatform(target, platformOf(config), options);
  return {
    manifestDescriptor: descriptor,
    manifest,
    config,
    platform: normalizePlatform(platformOf(config)),
    layers: imageLayers(manifest, config),
  };
}

/** A blob below a document, not yet begun. */
export interface GraphBlob {
  readonly descriptor: Descriptor;
  readonly role: BlobRole;
}

/** What is still to come of an image: its layers; of an artifact, which has no config to be read, that too. */
export function blobsOf({ manifest, config }: FetchedImage): readonly GraphBlob[] {
  return childrenOf(manifest)
    .map((descriptor) => ({ descriptor, role: roleIn(manifest, descriptor) }))
    .filter(({ role }) => role !== 'config' || config === undefined);
}

/** Fetches every document below a descriptor, for all platforms, and lists the blobs that they name. */
export async function fetchDocuments(
  target: Descriptor,
  options: FetchGraphOptions,
  depth = 0,
): Promise<readonly GraphBlob[]> {
  if (!isIndexType(target.mediaType) && !isManifestType(target.mediaType)) {
    return [{ descriptor: target, role: 'other' }];
  }
  if (depth > LIMITS.indexDepth) {
    throw new SpecError('LIMIT_EXCEEDED', `indexes are nested more than ${LIMITS.indexDepth} deep`);
  }
  const document = await fetchDocument(target, options);
  if (document.kind === 'manifest') {
    return childrenOf(document).map((child) => ({ descriptor: child, role: roleIn(document, child) }));
  }
  const below = await Promise.all(
    document.manifests.map((child) => fetchDocuments(child, options, depth + 1)),
  );
  return below.flat();
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

/** Refuses layers that are no file system changesets, and more of them than can be mounted; only unpacking minds. */
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

async function fetchDocument(descriptor: Descriptor, options: FetchGraphOptions): Promise<ImageDocument> {
  refuseLarger(descriptor, LIMITS.manifestBytes);
  const role = isIndexType(descriptor.mediaType) ? 'index' : 'manifest';
  return arrivedDocument(descriptor, role, options, (d) => readManifest(options.content, d));
}

/** A document that is here already may have been damaged since it came: then it is fetched again, once. */
async function arrivedDocument<T>(
  descriptor: Descriptor,
  role: BlobRole,
  { arrivals }: FetchGraphOptions,
  read: (descriptor: Descriptor) => Promise<T>,
): Promise<T> {
  await arrivals.start(descriptor, role).done;
  try {
    return await read(descriptor);
  } catch (error) {
    if (!(error instanceof ContentError) || !DAMAGED.has(error.code)) throw error;
    await arrivals.renew(descriptor, role);
    return await read(descriptor);
  }
}

const DAMAGED: ReadonlySet<ErrorCode> = new Set(['DIGEST_MISMATCH', 'STORE_CORRUPT', 'BLOB_NOT_FOUND']);

function roleIn(manifest: ImageManifest, child: Descriptor): BlobRole {
  return child.digest === manifest.config.digest ? 'config' : 'layer';
}

/** A single manifest carries no platform, so its config is asked. */
function checkPlatform(target: Descriptor, actual: Platform, options: FetchGraphOptions): void {
  if (platformMatcher(options.platform).matches(normalizePlatform(actual))) return;
  if (options.platformRequired) throw noMatchingPlatform(target, options.platform, [actual]);
  options.onWarning(
    `the image is for ${formatPlatform(actual)}, this machine is ${formatPlatform(options.platform)}`,
  );
}
