import type { BlobProvider } from '../../content/index.js';
import { ContentError, type ErrorCode, SpecError } from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  formatPlatform,
  type ImageManifest,
  isConfigType,
  isIndexType,
  isManifestType,
  LIMITS,
  normalizePlatform,
  type Platform,
  platformMatcher,
  platformOf,
} from '../../spec/index.js';
import { type FetchedImage, imageLayers } from '../images/image.js';
import type { BlobArrivals } from './blob-arrivals.js';
import {
  type DocumentBytes,
  type ImageDocument,
  noMatchingPlatform,
  readConfig,
  readManifest,
  refuseLarger,
  selectManifest,
} from '../images/read-document.js';
import type { BlobRole } from './pull-report.js';

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
