import type { BlobProvider } from '../content/index.js';
import { type Abortable, throwIfAborted } from '../errors.js';
import { createDigester, type Descriptor, type Digest, type Platform, unpackLimits } from '../spec/index.js';
import { tellingCaller } from '../system/caller-callback.js';
import {
  type ExtractionOptions,
  type LayerInput,
  refuseOtherDigest,
  type UnpackEvent,
  unpackTree,
  type WorkerPool,
} from '../unpack/index.js';
import { type ImageLayer, requireUnpackable } from './fetch-graph.js';
import { loadImage, type LoadedImage } from './image.js';

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

/**
 * Writes an image's merged root file system into a directory, without mounts and without snapshots.
 * Errors: INVALID_CONFIG (the directory is not empty), those of reading the image, and UnpackError's.
 */
export async function unpackImage(options: UnpackImageOptions): Promise<UnpackImageResult> {
  return await tellingCaller(options, (telling) => unpackTelling({ ...options, ...telling }));
}

async function unpackTelling(options: UnpackImageOptions): Promise<UnpackImageResult> {
  const { content, target, platform, directory, pool, signal, onEvent } = options;
  const image = await loadImage(content, target, platform);
  requireUnpackable(image.layers, unpackLimits(options.limits));
  const inputs = image.layers.map(({ descriptor, diffId }): LayerInput => {
    return {
      descriptor,
      diffId,
      open: async () => ({
        path: await content.path(descriptor.digest),
        verified: verifyBlob(content, descriptor, signal),
      }),
    };
  });
  await unpackTree(inputs, directory, { ...options, pool, signal, onEvent });
  return resultOf(image);
}

/** What is said of an image whose layers were taken for something. */
export function resultOf(image: LoadedImage): UnpackImageResult {
  const { manifestDescriptor, platform, imageId, chainId, layers } = image;
  return { digest: manifestDescriptor.digest, platform, imageId, chainId, layers };
}

/** A layout on disk was verified by nobody, and a store's blob may have rotted since. */
async function verifyBlob(
  content: BlobProvider,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Promise<void> {
  const digester = createDigester(descriptor.digest);
  for await (const chunk of await content.open(descriptor)) {
    throwIfAborted(signal);
    digester.update(chunk as Buffer);
  }
  refuseOtherDigest(descriptor.digest, digester.digest());
}
