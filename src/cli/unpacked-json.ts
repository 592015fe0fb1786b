import type { UnpackImageResult } from '../engine/unpack.js';
import { type Digest, formatPlatform } from '../spec/index.js';
import type { OmittedDevice } from '../unpack/index.js';
import type { LocalImageResult } from './with-local-image.js';

/** What is answered of an image whose layers were read: docs/json-output.md. */
export interface ImageJson {
  readonly name: string;
  readonly digest: Digest;
  readonly platform: string;
  readonly imageId: Digest;
  readonly chainId: Digest | undefined;
  readonly layers: readonly {
    readonly digest: Digest;
    readonly diffId: Digest;
    readonly chainId: Digest;
    readonly size: number;
  }[];
}

/** And of one that was unpacked into a directory. */
export interface UnpackedJson extends ImageJson {
  readonly directory: string;
  readonly omittedDevices: readonly OmittedDevice[];
}

export function imageJson({ name, done }: LocalImageResult<UnpackImageResult>): ImageJson {
  const { digest, imageId, chainId } = done;
  const layers = done.layers.map(({ descriptor, ...ids }) => ({
    digest: descriptor.digest,
    ...ids,
    size: descriptor.size,
  }));
  const platform = formatPlatform(done.platform);
  return { name, digest, platform, imageId, chainId, layers };
}

export function unpackedJson(directory: string, result: LocalImageResult<UnpackImageResult>): UnpackedJson {
  const { layers, ...facts } = imageJson(result);
  return { ...facts, directory, layers, omittedDevices: result.omittedDevices };
}
