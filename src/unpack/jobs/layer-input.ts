import type { Abortable } from '../../errors.js';
import type { Descriptor, Digest, UnpackLimits } from '../../spec/index.js';
import type { Decompressor } from '../compression/decompress.js';
import type { InflateChoice } from '../compression/inflate-choice.js';
import type { Ownership } from '../terms/ownership.js';
import type { OmittedDevice } from './apply-job.js';

/** What whoever unpacks may choose; the defaults are what this process can do. */
export interface ExtractionOptions {
  /**
   * What becomes of owners. Default: those of the image where this process can give files away, else the
   * caller.
   */
  readonly ownership?: Ownership;
  /** Whether device nodes are made, where they can be. Default true. */
  readonly devices?: boolean;
  /** Those that are not given are LIMITS of src/spec. */
  readonly limits?: Partial<UnpackLimits>;
  /** What inflates gzip layers. Default `auto`. */
  readonly inflate?: InflateChoice | undefined;
}

/** A layer that is to be unpacked. */
export interface LayerInput {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** Called only when the layer has to be unpacked; resolves as soon as bytes may be read. */
  open(o: Abortable): Promise<LayerSource>;
}

export interface LayerSource {
  /** The blob, whole or growing. */
  readonly path: string;
  /** Where a growing blob goes when it is committed; who opens it late finds it there. */
  readonly committedPath?: string | undefined;
  /** The buffer of its `SharedOffset` while it grows; absent when it is whole. */
  readonly shared?: SharedArrayBuffer | undefined;
  /** Resolves when the blob's digest was found right, rejects otherwise. */
  readonly verified: Promise<void>;
  /**
   * After `verified` has settled: the same blob fetched anew because its bytes were wrong; undefined when it
   * is not.
   */
  readonly replacement?: () => Promise<LayerSource | undefined>;
}

/** How far a layer has come. `committed`: it is a snapshot; `present`: it was one before. */
export type LayerState = 'unpacking' | 'unpacked' | 'committed' | 'present';

/** How far a layer has come. */
export interface LayerEvent {
  /** What kind of event it is. */
  readonly type: 'layer';
  /** Of the compressed blob. */
  readonly digest: Digest;
  /** Of the uncompressed tar. */
  readonly diffId: Digest;
  /** Of the layer and all below it. */
  readonly chainId: Digest;
  /** Where it is. */
  readonly state: LayerState;
  /** Compressed bytes consumed so far. */
  readonly bytes?: number;
  /** What decompressed it; when it is unpacked. */
  readonly decompressor?: Decompressor;
  /** Milliseconds, of `performance.now()`. */
  readonly at: number;
}

/** What people should know of a layer, and stops nothing. */
export interface LayerWarning {
  /** What kind of event it is. */
  readonly type: 'warning';
  /** Of the compressed blob. */
  readonly digest: Digest;
  /** A sentence without a full stop. */
  readonly message: string;
}

/** Device nodes of a layer that could not be made here. */
export interface LayerOmission {
  /** What kind of event it is. */
  readonly type: 'omitted';
  /** Of the compressed blob. */
  readonly digest: Digest;
  /** The first thousand of them. */
  readonly devices: readonly OmittedDevice[];
}

/** What an unpacker tells on its way. */
export type UnpackEvent = LayerEvent | LayerWarning | LayerOmission;

/**
 * Runs `unpack` when it is the turn of a layer of so many compressed bytes; rejects with ABORTED while it
 * waits.
 */
export type AcquireSlot = <T>(
  layer: Abortable & { readonly bytes: number },
  unpack: () => Promise<T>,
) => Promise<T>;

export interface UnpackOptions extends Abortable {
  readonly onEvent?: ((event: UnpackEvent) => void) | undefined;
  /** Whose turn it is to be unpacked, where several images are at once. Default: whoever is here first. */
  readonly acquireSlot?: AcquireSlot | undefined;
}
