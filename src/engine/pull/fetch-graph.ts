import type { BlobProvider, Lease } from '../../content/index.js';
import { type Abortable, ContentError, type ErrorCode, SpecError } from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  formatPlatform,
  hostPlatform,
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
import { requireSpace } from './require-space.js';
import { type FetchedImage, imageLayers, requireUnpackable } from '../images/image.js';
import {
  type ReadManifestBytes,
  type ManifestOrIndex,
  noMatchingPlatform,
  readConfig,
  readManifest,
  refuseLarger,
  selectManifest,
} from '../images/read-manifest.js';
import type { Store } from '../store.js';
import type { BlobDownloads } from './blob-downloads.js';
import type { BlobRole } from './pull-report.js';

export interface FetchGraphOptions {
  readonly content: BlobProvider;
  readonly downloads: BlobDownloads;
  /** Gives what is only looked at, to see for which platform it is, and is not kept. */
  readonly read: ReadManifestBytes;
  /** An image for another platform is an error. Default: this machine's, and another one is a warning. */
  readonly platform: Platform | undefined;
  readonly onWarning: (message: string) => void;
  /** Called with the manifest that was chosen, while its config is on its way. */
  readonly onManifest?: (manifest: ImageManifest, descriptor: Descriptor) => void;
}

/** Fetches index, manifest and config of the wanted platform. Its layers are not begun. */
export async function fetchImage(target: Descriptor, options: FetchGraphOptions): Promise<FetchedImage> {
  const platform = options.platform ?? hostPlatform();
  const { descriptor, manifest } = await selectManifest(target, platform, options.read, (d) =>
    fetchManifest(d, options),
  );
  if (!isConfigType(manifest.config.mediaType)) {
    return { manifestDescriptor: descriptor, manifest, platform, layers: [] };
  }
  refuseLarger(manifest.config, LIMITS.configBytes);
  options.onManifest?.(manifest, descriptor);
  const config = await fetchedManifest(manifest.config, 'config', options, (d) =>
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

/** A blob below a manifest, not yet begun. */
export interface GraphBlob {
  readonly descriptor: Descriptor;
  readonly role: BlobRole;
}

/**
 * What is still to come of an image: its layers; of an artifact, which has no config to be read, that too.
 */
export function blobsOf({ manifest, config }: FetchedImage): readonly GraphBlob[] {
  return childrenOf(manifest)
    .map((descriptor) => ({ descriptor, role: roleIn(manifest, descriptor) }))
    .filter(({ role }) => role !== 'config' || config === undefined);
}

/** Fetches every manifest below a descriptor, for all platforms, and lists the blobs that they name. */
export async function fetchManifests(
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
  const manifest = await fetchManifest(target, options);
  if (manifest.kind === 'manifest') {
    return childrenOf(manifest).map((child) => ({ descriptor: child, role: roleIn(manifest, child) }));
  }
  const below = await Promise.all(
    manifest.manifests.map((child) => fetchManifests(child, options, depth + 1)),
  );
  return below.flat();
}

async function fetchManifest(descriptor: Descriptor, options: FetchGraphOptions): Promise<ManifestOrIndex> {
  refuseLarger(descriptor, LIMITS.manifestBytes);
  const role = isIndexType(descriptor.mediaType) ? 'index' : 'manifest';
  return fetchedManifest(descriptor, role, options, (d) => readManifest(options.content, d));
}

/** A manifest that is here already may have been damaged since it came: then it is fetched again, once. */
async function fetchedManifest<T>(
  descriptor: Descriptor,
  role: BlobRole,
  { downloads }: FetchGraphOptions,
  read: (descriptor: Descriptor) => Promise<T>,
): Promise<T> {
  await downloads.start(descriptor, role).done;
  try {
    return await read(descriptor);
  } catch (error) {
    if (!(error instanceof ContentError) || !DAMAGED.has(error.code)) throw error;
    await downloads.renew(descriptor, role);
    return await read(descriptor);
  }
}

const DAMAGED: ReadonlySet<ErrorCode> = new Set(['DIGEST_MISMATCH', 'STORE_CORRUPT', 'BLOB_NOT_FOUND']);

function roleIn(manifest: ImageManifest, child: Descriptor): BlobRole {
  return child.digest === manifest.config.digest ? 'config' : 'layer';
}

/** A single manifest carries no platform, so its config is asked. */
function checkPlatform(target: Descriptor, actual: Platform, options: FetchGraphOptions): void {
  const { platform = hostPlatform() } = options;
  if (platformMatcher(platform).matches(normalizePlatform(actual))) return;
  if (options.platform !== undefined) throw noMatchingPlatform(target, platform, [actual]);
  options.onWarning(
    `the image is for ${formatPlatform(actual)}, this machine is ${formatPlatform(platform)}`,
  );
}

export interface EarlyLayersOptions extends Abortable {
  readonly store: Store;
  readonly downloads: Pick<BlobDownloads, 'start'>;
  readonly lease: Lease;
  readonly unpack: boolean;
}

/**
 * The layers of an image that are begun while its config is on its way, which saves a round trip. Nothing
 * is unpacked before the config says what each of them is to be.
 */
export class EarlyLayers {
  readonly #options: EarlyLayersOptions;
  #begun: Promise<ReadonlySet<Digest>> = Promise.resolve(new Set<Digest>());

  constructor(options: EarlyLayersOptions) {
    this.#options = options;
  }

  /** Begins with what is sure to be needed. */
  begin(manifest: ImageManifest): void {
    this.#begun = this.#begin(manifest);
    // Looked at when the config is here, unless that fails first.
    this.#begun.catch(() => undefined);
  }

  /**
   * Waits until none is begun any more.
   *
   * @returns whether all of some blobs were, and then there is space for them
   * @throws what comes of beginning later too: LIMIT_EXCEEDED, UNSUPPORTED_MEDIA_TYPE, NO_SPACE; those of
   *   the database
   */
  async include(blobs: readonly Descriptor[]): Promise<boolean> {
    const begun = await this.#begun;
    return blobs.every(({ digest }) => begun.has(digest));
  }

  /** Waits for the same, whatever becomes of it. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#begun]);
  }

  async #begin({ config, layers }: ImageManifest): Promise<ReadonlySet<Digest>> {
    const { store, downloads, lease, unpack, signal } = this.#options;
    const { root, content } = store;
    // Where it is here, there is nothing to wait for; where it is none, the pull may end at it.
    if (!isConfigType(config.mediaType) || (await content.info(config.digest)) !== undefined)
      return new Set();
    const input = layers.map((descriptor) => ({ descriptor }));
    if (unpack) requireUnpackable(input, store.limits);
    const digests = layers.map(({ digest }) => digest);
    // Before it is looked at what is here, so that it stays true.
    await lease.addBlob(...digests);
    // Whether a store can go on without these depends on the config.
    const lists = [store.discarded, ...store.additional.map(({ discarded }) => discarded)];
    const discarded = await Promise.all(lists.map((list) => list.among(digests)));
    const needed = layers.filter(({ digest }) => !discarded.some((list) => list.has(digest)));
    const unpacked = unpack ? { layers: needed, database: store.database } : undefined;
    await requireSpace({ root, content, descriptors: needed, unpacked, signal });
    for (const layer of needed) downloads.start(layer, 'layer');
    return new Set(needed.map(({ digest }) => digest));
  }
}
