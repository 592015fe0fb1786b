import type { Digest, Platform } from '../spec/index.js';
import type { Decompressor, OmittedDevice, UnpackedLayer } from '../unpack/index.js';
import type { FetchedImage } from './fetch-graph.js';

/** A layer of an image that was pulled. */
export interface PulledLayer {
  /** Of the compressed blob. */
  readonly digest: Digest;
  /** Absent in an artifact, which has no config that would say it. */
  readonly diffId?: Digest;
  /** Of this layer and all below it. */
  readonly chainId?: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  /** Neither downloaded nor unpacked by this pull. */
  readonly reused: boolean;
  /** Its blob is not here, since it was dropped once the layer was unpacked, by this pull or an earlier one. */
  readonly discarded: boolean;
  /** What decompressed it; absent where this pull did not unpack it. */
  readonly decompressor?: Decompressor;
}

/** That a signature was found that a policy asks for. */
export interface PulledSignature {
  /** Of the manifest or index that is signed. */
  readonly digest: Digest;
  /** The key, or whom the certificate is for. */
  readonly signedBy: string;
  /** How it is written: as cosign has always done, or as a Sigstore bundle. */
  readonly format: 'simple-signing' | 'bundle';
  /** Of the signature's manifest. */
  readonly signature: Digest;
  /** Path of the policy's file, and the scope in it that asks. */
  readonly policy: string;
  /** What of it asks: `docker:quay.io/team`, `default`. */
  readonly scope: string;
}

/** What was pulled. */
export interface PullResult {
  /** The canonical name under which the image was recorded. */
  readonly reference: string;
  /** Of the target: an index where the reference names one. */
  readonly digest: Digest;
  /** Of the target. */
  readonly mediaType: string;
  /** That was chosen. */
  readonly platform: Platform;
  /** The config's digest. */
  readonly imageId: Digest;
  /** Of the topmost layer; absent when nothing was unpacked. */
  readonly chainId?: Digest;
  /** Bottom first. */
  readonly layers: readonly PulledLayer[];
  /** By whom the image is signed; absent where no policy asks for signatures. */
  readonly signatures?: readonly PulledSignature[];
  /** Device nodes that could not be made here when this pull unpacked their layers. */
  readonly omittedDevices: readonly OmittedDevice[];
  /** Bytes that came from registries, those of retries included. */
  readonly bytesDownloaded: number;
  /** Bytes of blobs that were dropped because their layers are unpacked. */
  readonly bytesDiscarded: number;
  /** Milliseconds: until the target was known, until its last blob was here, and from the first layer to the last snapshot. */
  readonly resolveMs: number;
  /** From when the target was known until its last blob was here, in milliseconds. */
  readonly fetchMs: number;
  /** From the first layer to the last snapshot, in milliseconds. */
  readonly unpackMs: number;
}

/** What a pull has brought, before it is recorded. */
export interface Fetched {
  readonly image: FetchedImage;
  readonly unpacked: readonly UnpackedLayer[];
  /** Layers whose blobs this pull did not have to bring. */
  readonly present: ReadonlySet<Digest>;
  readonly bytesDownloaded: number;
}

/** The layers of the image, bottom first, and what became of each. `discarded` are blobs that are not here on purpose. */
export function pulledLayers(
  { image, unpacked, present }: Fetched,
  discarded: { has(digest: Digest): boolean },
): readonly PulledLayer[] {
  return image.manifest.layers.map(({ digest, size }, i) => {
    const layer = image.layers[i];
    const decompressor = unpacked[i]?.decompressor;
    return {
      digest,
      ...(layer === undefined ? {} : { diffId: layer.diffId, chainId: layer.chainId }),
      size,
      reused: present.has(digest) && (unpacked[i]?.reused ?? true),
      discarded: discarded.has(digest),
      ...(decompressor === undefined ? {} : { decompressor }),
    };
  });
}
