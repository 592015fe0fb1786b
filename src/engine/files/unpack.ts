import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { BlobProvider } from '../../content/index.js';
import { type Abortable, LandfallError, throwIfAborted } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  hostPlatform,
  type Platform,
  platformMatcher,
  unpackLimits,
} from '../../spec/index.js';
import { tellingCaller } from '../../concurrency/index.js';
import {
  bundleConfig,
  CALLERS,
  callersMappings,
  checkIdRanges,
  claimDirectory,
  exportTree,
  type ExtractionOptions,
  filesystemError,
  type IdMappings,
  type IdRange,
  type LayerInput,
  type Ownership,
  refuseOtherDigest,
  requireConvertible,
  type RuntimeConfig,
  unmappedIds,
  type UnpackEvent,
  unpackTree,
  type WorkerPool,
} from '../../unpack/index.js';
import {
  type ImageLayer,
  type LoadedImage,
  loadImage,
  manifestsHere,
  requireUnpackable,
} from '../images/image.js';
import { digestIn } from '../images/read-manifest.js';
import { settleStore, type Store } from '../store.js';

export interface UnpackImageOptions extends Abortable, ExtractionOptions {
  /** A store's content, or an OCI layout. */
  readonly content: BlobProvider;
  readonly target: Descriptor;
  readonly platform?: Platform | undefined;
  /** Absent or empty. */
  readonly directory: string;
  readonly pool: WorkerPool;
  /** Told what becomes of each layer. What it throws ends the operation. */
  readonly onEvent?: (event: UnpackEvent) => void;
}

/** What was taken of an image. */
export interface UnpackImageResult {
  /** Of the manifest that was unpacked. */
  readonly digest: Digest;
  /** That was chosen. */
  readonly platform: Platform;
  /** The config's digest. */
  readonly imageId: Digest;
  /** Of the topmost layer; undefined for an image without layers. */
  readonly chainId: Digest | undefined;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
}

/** The result of {@link unpackTarget}. */
export interface UnpackedImage extends UnpackImageResult {
  /** For people. */
  readonly warnings: readonly string[];
}

/**
 * Writes an image's merged root file system into a directory, without mounts and without snapshots.
 *
 * A directory that is made for it is closed to other users, since the root file system may hold setuid
 * programs; one that is there gets the mode of the image's root.
 * Errors: INVALID_CONFIG (the directory is not empty), those of reading the image, and UnpackError's.
 */
export async function unpackTarget(options: UnpackImageOptions): Promise<UnpackedImage> {
  return await tellingCaller(options, (telling) =>
    unpackTelling({ ...options, ...telling }, { closed: true }),
  );
}

async function unpackTelling(
  options: UnpackImageOptions,
  { closed }: { readonly closed: boolean },
): Promise<UnpackedImage> {
  const { content, target, platform, directory, signal } = options;
  const image = await loadImage(content, target, platform);
  requireUnpackable(image.layers, unpackLimits(options.limits));
  const inputs = image.layers.map(({ descriptor, diffId }): LayerInput => ({
    descriptor,
    diffId,
    open: async () => ({
      path: await content.path(descriptor.digest),
      verified: verifyBlob(content, descriptor, { signal }),
    }),
  }));
  const { warnings } = await unpackTree(inputs, directory, { ...options, closed });
  return { ...resultOf(image), warnings };
}

/** What is said of an image whose layers were taken for something. */
function resultOf(image: LoadedImage): UnpackImageResult {
  const { manifestDescriptor, platform, imageId, chainId, layers } = image;
  return { digest: manifestDescriptor.digest, platform, imageId, chainId, layers };
}

/** A layout on disk was verified by nobody, and a store's blob may have rotted since. */
async function verifyBlob(content: BlobProvider, descriptor: Descriptor, o: Abortable): Promise<void> {
  refuseOtherDigest(descriptor.digest, await digestIn(content, descriptor, o));
}

export type ExportImageOptions = Omit<UnpackImageOptions, 'directory' | 'pool' | 'ownership' | 'devices'>;

/** An image as a tar. */
export interface ExportImageResult extends UnpackImageResult {
  /**
   * The tar, which is made while it is read. Breaking off is allowed; an error means that what came is of
   * no use.
   */
  readonly archive: AsyncGenerator<Buffer, void, undefined>;
}

/**
 * An image's merged root file system as one tar, as {@link unpackTarget} would leave it as root: without
 * mounts, snapshots or privileges. When it resolves, all layers are verified.
 * Errors: those of reading the image, and of `exportTree`, the latter while the archive is read too.
 */
export async function exportTarget(options: ExportImageOptions): Promise<ExportImageResult> {
  const { content, target, platform, limits = {}, inflate, signal, onEvent } = options;
  throwIfAborted(signal);
  const image = await loadImage(content, target, platform);
  requireUnpackable(image.layers, unpackLimits(limits));
  const layers = image.layers.map(({ descriptor, diffId }) => {
    return { descriptor, diffId, open: (): Promise<Readable> => content.open(descriptor) };
  });
  const archive = await exportTree(layers, { limits, inflate, signal, onEvent });
  return { ...resultOf(image), archive };
}

export interface BundleImageOptions extends Omit<UnpackImageOptions, 'ownership'> {
  /** For who is not root: a user namespace that has only the caller, as its root, and whose files all are. */
  readonly rootless?: boolean;
  /**
   * A user namespace with these IDs, to which the root file system is given too. Takes `gidMap` beside it.
   */
  readonly uidMap?: readonly IdRange[] | undefined;
  /** The same for groups. Takes `uidMap` beside it. */
  readonly gidMap?: readonly IdRange[] | undefined;
  /** Whether the process gets a terminal of its own. Default false. */
  readonly terminal?: boolean;
}

/** A runtime bundle that was made. */
export interface BundleImageResult extends UnpackedImage {
  /** What config.json says. */
  readonly config: RuntimeConfig;
}

const ROOT = 'rootfs';

/**
 * Makes an OCI runtime bundle (runtime-spec: bundle.md) in a directory that is absent or empty: `rootfs`,
 * the image's merged root file system, and `config.json`. On failure or abort the directory is left as it
 * was found.
 *
 * A directory that is made for it is closed to other users, since the root file system may hold setuid
 * programs; in a user namespace of other IDs they may pass through it, since the container's root is one of
 * them.
 * Errors: INVALID_CONFIG (the directory is not empty; `uidMap` without `gidMap`), UNSUPPORTED (not for
 * Linux), INVALID_MANIFEST (a config that nothing can run), and those of {@link unpackTarget}.
 */
export async function bundleTarget(options: BundleImageOptions): Promise<BundleImageResult> {
  return await tellingCaller(options, (telling) => bundleTelling({ ...options, ...telling }));
}

async function bundleTelling(options: BundleImageOptions): Promise<BundleImageResult> {
  const { content, target, platform, directory, rootless = false, terminal = false, signal } = options;
  const { mappings, ownership } = idsOf(options);
  const image = await loadImage(content, target, platform);
  requireConvertible(image.config);
  throwIfAborted(signal);
  using place = await claimDirectory(directory);
  try {
    const rootfs = join(place.held, ROOT);
    const unpacked = await unpackTelling({ ...options, ...ownership, directory: rootfs }, { closed: false });
    const config = bundleConfig(rootfs, image.config, { root: ROOT, rootless, terminal, mappings });
    await writeFile(join(place.held, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
    const warnings = warningsOf(config, mappings);
    if (place.created) await chmod(place.held, options.uidMap === undefined ? 0o700 : 0o711);
    else warnings.push(...(await place.release()));
    return { ...unpacked, config, warnings };
  } catch (error) {
    await place.undo();
    throw filesystemError(error, `making a bundle in ${directory}`, { path: directory });
  }
}

/** The container's user namespace, if it has one, and whom its files belong to outside of it. */
function idsOf({ rootless = false, uidMap, gidMap }: BundleImageOptions): {
  readonly mappings: IdMappings | undefined;
  readonly ownership: { readonly ownership?: Ownership };
} {
  if (!rootless && uidMap === undefined && gidMap === undefined)
    return { mappings: undefined, ownership: {} };
  for (const ranges of [uidMap, gidMap]) checkIdRanges(ranges ?? []);
  const callers = rootless ? callersMappings() : undefined;
  const [uid, gid] = [uidMap ?? callers?.uid, gidMap ?? callers?.gid];
  if (uid === undefined || gid === undefined) {
    throw new LandfallError(
      'INVALID_CONFIG',
      'a user namespace takes both a map of users and one of groups',
      { hint: 'Give --uid-map and --gid-map, or --rootless.' },
    );
  }
  const ownership = { uid: uidMap ?? CALLERS.uid, gid: gidMap ?? CALLERS.gid };
  return { mappings: { uid, gid }, ownership: { ownership } };
}

function warningsOf({ process: { user } }: RuntimeConfig, mappings: IdMappings | undefined): string[] {
  const missing = mappings === undefined ? [] : unmappedIds(user, mappings);
  if (missing.length === 0) return [];
  return [
    `the image runs as ${missing.join(', ')}, which the user namespace does not have; no runtime starts it so`,
  ];
}

export interface UnpackPresentOptions extends Abortable {
  /** Default: this machine's. */
  readonly platform?: Platform | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

export interface UnpackedPresent {
  readonly platform: Platform;
  readonly chainId: Digest | undefined;
}

/**
 * Makes snapshots of the layers of an image whose blobs are in the store and that has a name there, as a
 * pull does. Undefined where it has no manifest for the platform, or is no container image.
 *
 * Errors: those of the unpacker; NO_SPACE, FILESYSTEM; ABORTED.
 */
export async function unpackPresent(
  store: Store,
  target: Descriptor,
  { platform = hostPlatform(), signal, onWarning }: UnpackPresentOptions = {},
): Promise<UnpackedPresent | undefined> {
  const { matches, compare } = platformMatcher(platform);
  const here = await manifestsHere(store.content, target);
  const [image] = here
    .filter((manifest) => matches(manifest.platform))
    .sort((a, b) => compare(a.platform, b.platform));
  if (image === undefined) return undefined;
  requireUnpackable(image.layers, store.limits);
  await using lease = await store.leases.create();
  await lease.addBlob(...image.layers.map(({ descriptor }) => descriptor.digest));
  await lease.addSnapshot(...image.layers.map(({ chainId }) => chainId));
  await store.unpacker.unpack(
    image.layers.map(({ descriptor, diffId }) => ({
      descriptor,
      diffId,
      // What is committed was verified.
      open: async () => ({ path: await store.content.path(descriptor.digest), verified: Promise.resolve() }),
    })),
    {
      signal,
      onEvent: (event) => {
        if (event.type === 'warning') onWarning?.(event.message);
      },
    },
  );
  await settleStore(store);
  return { platform: image.platform, chainId: image.layers.at(-1)?.chainId };
}
