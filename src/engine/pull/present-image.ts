import type { CatalogImage } from '../../content/index.js';
import { LandfallError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  hostPlatform,
  isConfigType,
  normalizePlatform,
  type Platform,
  platformMatcher,
  platformOf,
} from '../../spec/index.js';
import { settleStore, type Store } from '../store.js';
import { type FetchedImage, imageLayers, requireUnpackable } from '../images/image.js';
import { type BlobRole, type Fetched, imageEvent, type PullEventBody } from './pull-report.js';
import { isSilent, readConfig, readManifest, readVerified, selectManifest } from '../images/read-manifest.js';

interface PresentImageOptions {
  /** Default: this machine's. */
  readonly platform?: Platform | undefined;
  readonly unpack: boolean;
  readonly discardLayers: boolean;
}

type BlobEvent = Extract<PullEventBody, { type: 'blob' }>;

/** The content that a pull would have brought, and the events that it would have reported. */
interface PresentImage {
  readonly fetched: Fetched;
  readonly events: readonly PullEventBody[];
}

/**
 * What a pull of a name comes to that stands for its target already and lacks nothing. Then nothing is
 * leased, since a collection leaves alone what a name reaches, and one row is written: that the image was
 * used.
 *
 * Undefined where anything is missing, damaged or to be changed, or is not quite what was asked for: an
 * ordinary pull says what and why. Manifests are verified, blobs of layers looked at only, as by an
 * ordinary pull.
 *
 * @param name what had the name before the registry was asked
 * @throws those of the database; UnpackError FILESYSTEM
 */
export async function usePresentImage(
  store: Store,
  name: CatalogImage,
  target: Descriptor,
  options: PresentImageOptions,
): Promise<PresentImage | undefined> {
  const { digest, mediaType, size } = name.target;
  if (digest !== target.digest || mediaType !== target.mediaType || size !== target.size) return undefined;
  if (name.additionalRoot !== undefined) return undefined;
  const { unpack, discardLayers } = options;
  // Such pulls change how the image is kept: an image without layer blobs is to have them, or the other way
  // round.
  if (unpack ? discardLayers && !name.discardLayers : name.discardLayers) return undefined;
  const present = await findPresentImage(store, target, options).catch((error: unknown) => {
    if (error instanceof LandfallError) return undefined;
    throw error;
  });
  if (present === undefined) return undefined;
  await settleStore(store);
  // What was found is there still only if all the time the name has reached it.
  return (await store.images.touchUnchanged(name)) ? present : undefined;
}

async function findPresentImage(
  store: Store,
  target: Descriptor,
  options: PresentImageOptions,
): Promise<PresentImage | undefined> {
  const { unpack } = options;
  const manifests: BlobEvent[] = [];
  const image = await readImage(store, target, options, (role, descriptor) =>
    manifests.push(blobIsPresent(role, descriptor)),
  );
  if (image === undefined) return undefined;
  if (unpack) requireUnpackable(image.layers, store.limits);
  const blobs = await layerBlobs(store, image, options);
  if (blobs === undefined) return undefined;
  const chains = unpack ? image.layers.map(({ chainId }) => store.snapshotter.findChain(chainId)) : [];
  if ((await Promise.all(chains)).includes(undefined)) return undefined;
  return { fetched: fetchedOf(image, unpack), events: eventsOf(image, [...manifests, ...blobs], unpack) };
}

/** Undefined where it is not for the platform, or not remembered in full: see `recordManifests`. */
async function readImage(
  store: Store,
  target: Descriptor,
  { platform = hostPlatform() }: PresentImageOptions,
  onRead: (role: BlobRole, descriptor: Descriptor) => void,
): Promise<FetchedImage | undefined> {
  const { content } = store;
  const { descriptor, manifest, index } = await selectManifest(
    target,
    platform,
    (d) => readVerified(content, d),
    async (d) => {
      const manifestOrIndex = await readManifest(content, d);
      onRead(manifestOrIndex.kind, d);
      return manifestOrIndex;
    },
  );
  if (!isConfigType(manifest.config.mediaType)) return undefined;
  const config = await readConfig(store.content, manifest.config);
  onRead('config', manifest.config);
  const actual = normalizePlatform(platformOf(config));
  if (!platformMatcher(platform).matches(actual)) return undefined;
  // Of entries that say no platform only some are here, and another one may be closer.
  if (index !== undefined && isSilent(descriptor) && !isSamePlatform(actual, platform)) return undefined;
  const { manifests } = store;
  if ((await manifests.get(target.digest)) === undefined) return undefined;
  if ((await manifests.get(descriptor.digest))?.platform === undefined) return undefined;
  return {
    manifestDescriptor: descriptor,
    manifest,
    config,
    platform: actual,
    layers: imageLayers(manifest, config),
  };
}

function isSamePlatform(a: Platform, b: Platform): boolean {
  return formatPlatform(normalizePlatform(a)) === formatPlatform(normalizePlatform(b));
}

/**
 * The events of the layers' blobs. Some may have been dropped on purpose, and have none.
 * Undefined where one is missing, or is here though it is to be dropped.
 */
async function layerBlobs(
  store: Store,
  { manifest }: FetchedImage,
  { unpack, discardLayers }: PresentImageOptions,
): Promise<readonly BlobEvent[] | undefined> {
  const layers = new Map(manifest.layers.map((descriptor) => [descriptor.digest, descriptor]));
  const dropped = unpack ? await store.discarded.among([...layers.keys()]) : new Map<Digest, unknown>();
  const kept = [...layers.values()].filter(({ digest }) => !dropped.has(digest));
  if (discardLayers && kept.length > 0) return undefined;
  const infos = await Promise.all(kept.map(({ digest }) => store.content.info(digest)));
  if (!kept.every(({ size }, at) => infos[at]?.size === size)) return undefined;
  return kept.map((descriptor) => blobIsPresent('layer', descriptor));
}

function fetchedOf(image: FetchedImage, unpack: boolean): Fetched {
  const layers = unpack ? image.layers : [];
  return {
    image,
    unpacked: layers.map(({ chainId, diffId }) => ({ chainId, diffId, reused: true, workMs: 0 })),
    present: new Set(image.manifest.layers.map(({ digest }) => digest)),
    bytesDownloaded: 0,
  };
}

/** In the order in which an ordinary pull tells them. */
function eventsOf(
  image: FetchedImage,
  blobs: readonly BlobEvent[],
  unpack: boolean,
): readonly PullEventBody[] {
  return [
    ...blobs.filter(({ role }) => role !== 'layer'),
    imageEvent(image),
    ...blobs.filter(({ role }) => role === 'layer'),
    ...(unpack ? image.layers : []).map(({ descriptor, diffId, chainId }): PullEventBody => ({
      type: 'layer',
      digest: descriptor.digest,
      diffId,
      chainId,
      state: 'present',
      bytes: 0,
    })),
  ];
}

function blobIsPresent(role: BlobRole, { digest, size }: Descriptor): BlobEvent {
  return { type: 'blob', role, digest, size, state: 'present', bytes: size };
}
