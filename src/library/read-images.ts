import { type ImageLayer, platformsOf } from '../engine/images/image.js';
import { unpackedLayers } from '../engine/images/layer-blobs.js';
import type { Store } from '../engine/store.js';
import { type Abortable, LandfallError } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import {
  type Descriptor,
  type Digest,
  type ImageConfig,
  type ImageManifest,
  type Platform,
  quoted,
} from '../spec/index.js';
import { fromBytePath, toBytePath } from '../system/index.js';
import { ImageViews, type LayeredSource } from '../transfer/image-views.js';
import { parseTransport } from '../transfer/transports/image-transport.js';
import { resolveReadable } from '../transfer/copy/resolve-source.js';
import { loadImageAnywhere, RepositoryContent } from '../transfer/copy/repository-content.js';
import { verify, type VerifyReport } from '../transfer/verify/verify.js';
import { storeRoots } from '../transfer/verify/layout-roots.js';
import {
  compareStacks,
  findPath,
  type FoundPath,
  type TreeChange,
  type TreeEntry,
  type ViewedFile,
} from '../unpack/index.js';
import { LibraryTransports } from './library-transports.js';

/** How an image is read, wherever it lies. */
export interface ReadImageOptions extends Abortable {
  /**
   * The client that registries are asked through, closed by its owner. Default: what {@link openRegistry}
   * opens, for this call alone.
   */
  readonly registry?: RegistryClient;
  /** Default: this machine's, else the only one that the image has. */
  readonly platform?: Platform;
  /** Told what people should know. */
  readonly onWarning?: (message: string) => void;
}

/** An image for one platform, as its manifest and its config describe it. */
export interface InspectedImage {
  /** Canonical in the store, as it was given elsewhere. */
  readonly name: string;
  /** The target of the name: a manifest, or an index of several. */
  readonly target: Descriptor;
  /** Of the manifest below. */
  readonly platform: Platform;
  /** All that can be read where the image lies; empty for one at a registry, which is not asked. */
  readonly platforms: readonly Platform[];
  /** Of the manifest below, as its index or the name has it. */
  readonly manifestDescriptor: Descriptor;
  /** OCI image-spec: manifest.md. */
  readonly manifest: ImageManifest;
  /** OCI image-spec: config.md. */
  readonly config: ImageConfig;
  /** The digest of the config. */
  readonly imageId: Digest;
  /** Of the topmost layer; undefined for an image without layers. */
  readonly chainId: Digest | undefined;
  /** The bottom one first. */
  readonly layers: readonly ImageLayer[];
}

/** One difference between the files of two images. */
export interface ImageChange {
  /** From the first image to the second. */
  readonly kind: 'added' | 'removed' | 'changed';
  /** Inside the image: `/etc/os-release`. What is not UTF-8 in it is U+FFFD. */
  readonly path: string;
  /** The differences of a file that both have; empty otherwise. */
  readonly aspects: readonly (
    'type' | 'content' | 'target' | 'device' | 'mode' | 'owner' | 'xattrs' | 'time'
  )[];
  /** Undefined for what was added. */
  readonly before: ImageEntry | undefined;
  /** Undefined for what was removed. */
  readonly after: ImageEntry | undefined;
}

/** A file of an image. */
export interface ImageEntry {
  /** `link`: a hard link to a file of a lower layer. */
  readonly type: 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'link';
  /** The permission bits, setuid, setgid and sticky among them. */
  readonly mode: number;
  /** The owner's number in the image. */
  readonly uid: number;
  /** The group's number in the image. */
  readonly gid: number;
  /** Bytes; of regular files only. */
  readonly size: number | undefined;
}

/** How two images are compared. */
export interface DiffImagesOptions extends ReadImageOptions {
  /** Whether modification times count. Default false: builds seldom agree on them. */
  readonly times?: boolean;
}

/** The parts of an image to verify. */
export interface VerifyImageOptions extends Omit<ReadImageOptions, 'platform' | 'onWarning'> {
  /**
   * Also holds the layers against the configs, for which they are decompressed. Default false.
   */
  readonly diffIds?: boolean;
  /** Also what refers to it, signatures and SBOMs, as its repository lists them. Default false. */
  readonly referrers?: boolean;
  /** Blobs that are read at once. Default 8. */
  readonly concurrency?: number;
}

/**
 * Describes an image, wherever it is. Only its manifest and config are read.
 *
 * @param store for names without a transport; undefined where there is none
 * @param source `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`, or
 *   `REF` for an image of the store
 * @throws
 * - {@link LandfallError} INVALID_CONFIG (a name without a transport, and no store), ABORTED
 * - {@link RegistryError}, {@link ContentError} where the image is not there or cannot be read
 * - {@link SpecError} INVALID_REFERENCE, INVALID_MANIFEST, NO_MATCHING_PLATFORM
 */
export async function inspectImage(
  store: Store | undefined,
  source: string,
  options: ReadImageOptions = {},
): Promise<InspectedImage> {
  await using transports = new LibraryTransports({ ...options, store });
  const { name, image, target, readable } = await openImage(transports, source, options);
  return {
    name,
    target,
    platform: image.platform,
    platforms: readable === undefined ? [] : await platformsOf(readable, target),
    manifestDescriptor: image.manifestDescriptor,
    manifest: image.manifest,
    config: image.config,
    imageId: image.imageId,
    chainId: image.chainId,
    layers: image.layers,
  };
}

/**
 * Which files differ between two images, wherever they lie, by path. Layers that both have at their bottom are
 * read only where those above do not tell what differs.
 *
 * @param store for names without a transport; undefined where there is none
 * @param before as for {@link inspectImage}
 * @param after as for {@link inspectImage}
 * @returns the changes; leaving the loop early ends what is under way
 * @throws those of {@link readImageFile}, but for NOT_FOUND of a file
 */
export async function* diffImages(
  store: Store | undefined,
  before: string,
  after: string,
  options: DiffImagesOptions = {},
): AsyncGenerator<ImageChange, void, undefined> {
  const { times, signal } = options;
  await using transports = new LibraryTransports({ ...options, store });
  const opened = [await openImage(transports, before, options), await openImage(transports, after, options)];
  await using views = await openViews(store, opened, { ...options, contents: true });
  const [a, b] = views.stacks;
  if (a === undefined || b === undefined) return;
  for await (const change of compareStacks(a, b, { times, signal })) yield changeOf(change);
}

/**
 * The bytes of one file of an image, wherever that lies, without unpacking it. Layers are fetched from the
 * topmost down, only until the file is found, and each is verified before anything of it is given. Symlinks
 * lead where they lead inside the image.
 *
 * @param store for names without a transport; of other images the layers that it has are read there.
 *   Undefined where there is none
 * @param source as for {@link inspectImage}
 * @param path inside the image: `/etc/os-release`
 * @returns its chunks; leaving the loop early ends what is under way
 * @throws
 * - {@link LandfallError} NOT_FOUND (no such file), INVALID_CONFIG (it has no content: a directory, a
 *   device), ABORTED
 * - {@link RegistryError}, {@link ContentError} where the image is not there or cannot be read
 * - {@link SpecError} INVALID_REFERENCE, NO_MATCHING_PLATFORM, LIMIT_EXCEEDED
 * - {@link UnpackError} for a layer that is malformed; DIFF_ID_MISMATCH
 */
export async function* readImageFile(
  store: Store | undefined,
  source: string,
  path: string,
  options: ReadImageOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  await using transports = new LibraryTransports({ ...options, store });
  const opened = await openImage(transports, source, options);
  await using views = await openViews(store, [opened], { ...options, keep: true });
  for (const { root } of views.stacks)
    yield* views.readFile(fileOf(await findPath(root, toBytePath(path)), path));
}

/**
 * Proves an image whole: all that it consists of is there, has its size and its digest, and is what its type
 * says. Each blob is read once. What of an index was not pulled into a store, and layers that the store
 * dropped on purpose, do not count as missing.
 *
 * @param store for names without a transport; undefined where there is none
 * @param source as for {@link inspectImage}; undefined for all images of the store
 * @returns a report; the image is whole where its `faults` are empty. Sizes are in bytes
 * @throws
 * - {@link LandfallError} INVALID_CONFIG (no store), ABORTED
 * - {@link RegistryError}, {@link ContentError} where the image is not there at all
 */
export async function verifyImage(
  store: Store | undefined,
  source?: string,
  options: VerifyImageOptions = {},
): Promise<VerifyReport> {
  const { signal, diffIds, referrers, concurrency } = options;
  const how = { signal, diffIds, referrers, concurrency };
  await using transports = new LibraryTransports({ ...options, store });
  if (source === undefined || parseTransport(source).kind === 'store') {
    const opened = await transports.store(source ?? 'all that is to be verified');
    const { roots, isLeftOut } = await storeRoots(opened, source);
    return await verify(roots, { ...how, isLeftOut });
  }
  const { repository, from } = await transports.source(source);
  const content = new RepositoryContent(repository, { signal });
  const target = await resolveReadable(repository, from, { content, signal });
  return await verify([{ name: source, target, repository }], how);
}

type OpenedImage = Awaited<ReturnType<typeof openImage>>;

async function openImage(
  transports: LibraryTransports,
  source: string,
  { platform, signal }: ReadImageOptions,
) {
  const opened = await transports.source(source);
  const { repository, from, name } = opened;
  const content = new RepositoryContent(repository, { signal });
  const target = await resolveReadable(repository, from, { content, signal });
  const image = await loadImageAnywhere(content, target, platform);
  const isRemote = parseTransport(source).kind === 'registry';
  return { name, repository, readable: opened.content, target, image, isRemote, store: opened.store };
}

async function openViews(
  store: Store | undefined,
  opened: readonly OpenedImage[],
  o: ReadImageOptions & { readonly contents?: boolean; readonly keep?: boolean },
): Promise<ImageViews> {
  const { contents, keep, signal, onWarning } = o;
  const sources: LayeredSource[] = [];
  for (const { repository, isRemote, image, store: own } of opened) {
    const from = own ?? (isRemote ? store : undefined);
    const layers = from === undefined ? image.layers : await unpackedLayers(from, image.layers);
    sources.push({ repository, isRemote, layers });
  }
  const { limits, inflate, content: local } = store ?? {};
  return new ImageViews(sources, { limits, inflate, local, contents, keep, signal, onWarning });
}

function fileOf({ node }: FoundPath, path: string): ViewedFile {
  if (node.kind === 'file' && node.file.type === 'file') return node;
  const what = node.kind === 'file' ? `a ${node.file.type}` : `a ${node.kind}`;
  throw new LandfallError('INVALID_CONFIG', `${quoted(path)} is ${what}, and has no content`, {
    hint: 'Name a file.',
    details: { path },
  });
}

function changeOf(change: TreeChange): ImageChange {
  return {
    kind: change.kind,
    path: `/${fromBytePath(change.path)}`,
    aspects: change.kind === 'changed' ? change.aspects : [],
    before: change.kind === 'added' ? undefined : entryOf(change.before),
    after: change.kind === 'removed' ? undefined : entryOf(change.after),
  };
}

function entryOf({ node, attributes: { mode, uid, gid } }: TreeEntry): ImageEntry {
  const type = node.kind === 'file' ? node.file.type : node.kind;
  const size = node.kind === 'file' && type === 'file' ? node.file.size : undefined;
  return { type, mode, uid, gid, size };
}
