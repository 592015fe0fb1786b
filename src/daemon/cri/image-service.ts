import type { Verification } from '../../content/index.js';
import { loadImage } from '../../engine/images/image.js';
import { recordedUsage } from '../../engine/upkeep/disk-usage.js';
import { type RemovedImage, removeImage } from '../../engine/images/names.js';
import type { Store } from '../../engine/store.js';
import { knownVerifications } from '../../engine/trust/signature-sources.js';
import { type Abortable, isLandfallError, LandfallError } from '../../errors.js';
import { formatPlatform } from '../../spec/index.js';
import type { StreamingMethod, UnaryMethod } from '../grpc/calls.js';
import type { NodeImage, NodeImages } from './node-images.js';
import { nameIn, pullImage, type PullImageOptions } from './pull-image.js';
import type { FilesystemUsage, Image, ImageSpec, PullImageRequest } from './messages.js';

export interface ImageServiceOptions extends PullImageOptions, RemoveNodeImageOptions {
  readonly store: Store;
  readonly images: NodeImages;
}

interface ListRequest {
  readonly filter: { readonly image: ImageSpec | null } | null;
}

interface ListResponse {
  readonly images: readonly Image[];
}

interface StatusResponse {
  readonly image?: Image;
  readonly info?: Readonly<Record<string, string>>;
}

interface FsInfoResponse {
  readonly imageFilesystems: readonly FilesystemUsage[];
  readonly containerFilesystems: readonly FilesystemUsage[];
}

/** CRI: ImageService. */
export interface ImageService {
  readonly listImages: UnaryMethod<ListRequest, ListResponse>;
  readonly streamImages: StreamingMethod<ListRequest, ListResponse>;
  readonly imageStatus: UnaryMethod<
    { readonly image: ImageSpec | null; readonly verbose: boolean },
    StatusResponse
  >;
  readonly pullImage: UnaryMethod<PullImageRequest, { readonly imageRef: string }>;
  readonly removeImage: UnaryMethod<{ readonly image: ImageSpec | null }, object>;
  readonly imageFsInfo: UnaryMethod<object, FsInfoResponse>;
}

/** Images in a message of a stream: some 100 KB, far below what a client takes by default. */
const STREAMED_AT_ONCE = 100;

export function imageService(options: ImageServiceOptions): ImageService {
  const { store, images } = options;
  const listed = async (request: ListRequest): Promise<readonly NodeImage[]> => {
    const wanted = request.filter?.image?.image ?? '';
    if (wanted === '') return await images.list();
    const found = await images.find(wanted);
    return found === undefined ? [] : [found];
  };
  return {
    listImages: async (request) => ({ images: (await listed(request)).map((image) => messageOf(image)) }),
    streamImages: async function* (request) {
      const all = await listed(request);
      for (let at = 0; at < all.length; at += STREAMED_AT_ONCE)
        yield { images: all.slice(at, at + STREAMED_AT_ONCE).map((image) => messageOf(image)) };
    },
    imageStatus: async ({ image: spec, verbose }) => {
      const image = await images.find(nameIn(spec));
      if (image === undefined) return {};
      const message = { image: messageOf(image, spec) };
      return verbose ? { ...message, info: await imageInfo(store, image) } : message;
    },
    pullImage: (request, call) => pullImage(request, call, options),
    removeImage: async ({ image: spec }, { signal }) => {
      await removeNodeImage(nameIn(spec), { ...options, signal });
      return {};
    },
    imageFsInfo: async () => await imageFsInfo(store),
  };
}

/** @param asked the request's spec, whose annotations go back to the client */
function messageOf(image: NodeImage, asked: ImageSpec | null = null): Image {
  const { uid, username } = imageUser(image.user);
  return {
    id: image.id,
    repoTags: image.repoTags,
    repoDigests: image.repoDigests,
    // It must not be 0, and an image without any layers still has a manifest.
    size: String(Math.max(1, image.size)),
    uid: uid === undefined ? undefined : { value: String(uid) },
    username,
    spec: { image: image.id, ...(asked && { annotations: asked.annotations }) },
    pinned: image.pinned,
  };
}

/**
 * What `verbose` asks for (CRI: ImageStatusResponse.info): `info`, a JSON object with the chain ID, the
 * image's config as `imageSpec`, which is what peers call it, its layers, the snapshot of the topmost, the
 * source of its blobs, and its verified signatures.
 */
async function imageInfo(store: Store, image: NodeImage): Promise<Readonly<Record<string, string>>> {
  const { catalog, content, snapshotter } = store;
  const [name = ''] = image.names;
  try {
    const record = await catalog.get(name);
    if (record === undefined) return {};
    const { chainId, config, layers, platform, manifestDescriptor } = await loadImage(content, record.target);
    const snapshot = chainId === undefined ? undefined : await snapshotter.findChain(chainId);
    const source = (await content.info(manifestDescriptor.digest))?.source;
    return {
      info: JSON.stringify({
        chainID: chainId ?? '',
        imageSpec: config,
        target: record.target,
        platform: formatPlatform(platform),
        layers: layers.map(({ descriptor, diffId }) => ({
          digest: descriptor.digest,
          mediaType: descriptor.mediaType,
          size: descriptor.size,
          diffID: diffId,
        })),
        snapshotter: snapshotter.kind,
        snapshot: snapshot?.name ?? '',
        source: source ?? '',
        signatures: (await knownVerifications(store, record.target)).map((known) => signatureOf(known)),
      }),
    };
  } catch (error) {
    if (!(error instanceof LandfallError)) throw error;
    // The image is there, and what is damaged of it is for fsck.
    return { info: JSON.stringify({ error: error.message }) };
  }
}

function signatureOf(known: Verification): Readonly<Record<string, string>> {
  const { digest, signedBy, policy, scope, verifiedAt, format, signature } = known;
  return { digest, signedBy, policy, scope, verifiedAt: verifiedAt.toISOString(), format, signature };
}

const NANOSECONDS = 1_000_000n;

/**
 * What images take on the disk (CRI: ImageFsInfo): the content store and the unpacked layers. The database
 * alone answers; a layer is measured once, soon after its pull. Images and containers share a file system.
 */
async function imageFsInfo(store: Store): Promise<FsInfoResponse> {
  const { blobs, snapshots } = await recordedUsage(store);
  const usage: FilesystemUsage = {
    timestamp: String(BigInt(Date.now()) * NANOSECONDS),
    fsId: { mountpoint: store.root },
    usedBytes: { value: String(blobs.bytes + snapshots.bytes) },
    inodesUsed: { value: String(blobs.count + snapshots.inodes) },
  };
  return { imageFilesystems: [usage], containerFilesystems: [usage] };
}

/** The user of an image's commands (CRI: Image.uid and Image.username, of which at most one is set). */
export interface ImageUser {
  readonly uid?: number;
  readonly username?: string;
}

/**
 * Reads `User` of an image's config (image-spec: config.md): `user`, `uid`, `user:group`, `uid:gid`,
 * `uid:group` or `user:gid`. CRI has no field for the group.
 */
export function imageUser(user: string | undefined): ImageUser {
  const [name = ''] = (user ?? '').split(':');
  if (name === '') return {};
  const uid = /^\d+$/.test(name) ? Number(name) : undefined;
  return uid !== undefined && Number.isSafeInteger(uid) ? { uid } : { username: name };
}

interface RemoveNodeImageOptions {
  readonly store: Store;
  readonly images: NodeImages;
  /** Called for each name that was removed, and awaited before the removal is answered. */
  readonly onRemoved?: ((removed: RemovedImage, o: Abortable) => Promise<void>) | undefined;
}

/**
 * Removes an image (CRI: RemoveImage) with all of its names, whether the request has its ID or a name. Its
 * space is free when this resolves. A pinned image is removed too: a pin only keeps it from being collected.
 * An image that is not there counts as removed.
 *
 * @throws SpecError INVALID_REFERENCE; those of removing, UNSUPPORTED (only an additional store has it) among
 *   them
 */
export async function removeNodeImage(
  called: string,
  { store, images, onRemoved, signal }: RemoveNodeImageOptions & Abortable,
): Promise<void> {
  const image = await images.find(called);
  for (const name of image?.names ?? []) {
    const removed = await removeImage(store, name).catch(unlessGone);
    if (removed !== undefined) await onRemoved?.(removed, { signal });
  }
}

/** Another process may have removed it at the same time. */
function unlessGone(error: unknown): undefined {
  if (!isLandfallError(error) || error.code !== 'BLOB_NOT_FOUND') throw error;
  return undefined;
}
