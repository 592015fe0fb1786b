import type { Store } from '../../engine/index.js';
import type { StreamingMethod, UnaryMethod } from '../calls.js';
import type { NodeImage, NodeImages } from '../node-images.js';
import { imageFsInfo } from './image-fs-info.js';
import { imageInfo } from './image-info.js';
import { nameIn } from './image-spec.js';
import { imageUser } from './image-user.js';
import type {
  Image,
  ImageFsInfoResponse,
  ImageSpec,
  ImageStatusRequest,
  ImageStatusResponse,
  ListImagesRequest,
  ListImagesResponse,
  PullImageRequest,
  PullImageResponse,
  RemoveImageRequest,
} from './messages.js';
import { type PullImageOptions, pullImage } from './pull-image.js';
import { removeNodeImage, type RemoveNodeImageOptions } from './remove-image.js';

export interface ImageServiceOptions extends PullImageOptions, RemoveNodeImageOptions {
  readonly store: Store;
  readonly images: NodeImages;
}

/** CRI: ImageService. */
export interface ImageService {
  readonly listImages: UnaryMethod<ListImagesRequest, ListImagesResponse>;
  readonly streamImages: StreamingMethod<ListImagesRequest, ListImagesResponse>;
  readonly imageStatus: UnaryMethod<ImageStatusRequest, ImageStatusResponse>;
  readonly pullImage: UnaryMethod<PullImageRequest, PullImageResponse>;
  readonly removeImage: UnaryMethod<RemoveImageRequest, object>;
  readonly imageFsInfo: UnaryMethod<object, ImageFsInfoResponse>;
}

/** Images in a message of a stream: some 100 KB, far below what a client takes by default. */
const STREAMED_AT_ONCE = 100;

export function imageService(options: ImageServiceOptions): ImageService {
  const { store, images } = options;
  const listed = async (request: ListImagesRequest): Promise<readonly NodeImage[]> => {
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
      const message = messageOf(image, spec ?? undefined);
      return verbose ? { image: message, info: await imageInfo(store, image) } : { image: message };
    },
    pullImage: (request, call) => pullImage(request, call, options),
    removeImage: async ({ image: spec }, { signal }) => {
      await removeNodeImage(nameIn(spec), { ...options, signal });
      return {};
    },
    imageFsInfo: async () => await imageFsInfo(store),
  };
}

/** @param asked what the image was asked for with, whose annotations come back with it */
function messageOf(image: NodeImage, asked?: ImageSpec): Image {
  const { uid, username } = imageUser(image.user);
  return {
    id: image.id,
    repoTags: image.repoTags,
    repoDigests: image.repoDigests,
    // It must not be 0, and an image without any layers still has a manifest.
    size: String(Math.max(1, image.size)),
    ...(uid === undefined ? {} : { uid: { value: String(uid) } }),
    ...(username === undefined ? {} : { username }),
    spec: { image: image.id, ...(asked === undefined ? {} : { annotations: asked.annotations }) },
    pinned: image.pinned,
  };
}
