import type { Digest, Platform } from '../spec/index.js';
import type { Decompressor, OmittedDevice, UnpackEvent } from '../unpack/index.js';

/** What a blob of an image is for. */
export type BlobRole = 'index' | 'manifest' | 'config' | 'layer' | 'other';

/**
 * What a pull tells while it runs. `at` is in milliseconds since the pull began; sizes and `bytes` are in bytes.
 * These are the lines of `--progress json`.
 */
export type PullEvent = { readonly reference: string; readonly at: number } & (
  | { readonly type: 'resolving' }
  | { readonly type: 'resolved'; readonly digest: Digest; readonly mediaType: string; readonly size: number }
  /** The platform that was chosen and its layers, bottom first; told before any of them moves. */
  | {
      readonly type: 'image';
      readonly digest: Digest;
      readonly platform: Platform;
      readonly layers: readonly { readonly digest: Digest; readonly size: number; readonly diffId: Digest }[];
    }
  /**
   * A blob on its way into the content store. `elsewhere`: another pull or process is bringing it, and this one waits.
   * `present`: it was here already, or another pull brought it.
   */
  | {
      readonly type: 'blob';
      readonly role: BlobRole;
      readonly digest: Digest;
      readonly size: number;
      readonly state: 'waiting' | 'elsewhere' | 'downloading' | 'retrying' | 'done' | 'present';
      /** How much of the blob is here. */
      readonly bytes: number;
    }
  /** A layer on its way into a snapshot. `present`: its chain is a snapshot already. */
  | {
      readonly type: 'layer';
      readonly digest: Digest;
      readonly diffId: Digest;
      readonly chainId: Digest;
      readonly state: 'unpacking' | 'unpacked' | 'committed' | 'present';
      /** Compressed bytes that the unpacker has consumed. */
      readonly bytes: number;
      /** What decompressed it; in the state `unpacked`. */
      readonly decompressor?: Decompressor;
    }
  | { readonly type: 'warning'; readonly message: string }
  /** Device nodes of a layer that could not be made here; only the first thousand of them. */
  | { readonly type: 'omitted'; readonly digest: Digest; readonly devices: readonly OmittedDevice[] }
  | { readonly type: 'done'; readonly digest: Digest; readonly bytesDownloaded: number }
);

/** An event without what the pull adds to each. */
export type PullEventBody = PullEvent extends infer E
  ? E extends PullEvent
    ? Omit<E, 'reference' | 'at'>
    : never
  : never;

/** What the unpacker tells, as a pull tells it. */
export function fromUnpackEvent(event: UnpackEvent): PullEventBody {
  switch (event.type) {
    case 'warning':
      return { type: 'warning', message: event.message };
    case 'omitted':
      return { type: 'omitted', digest: event.digest, devices: event.devices };
    case 'layer': {
      const { digest, diffId, chainId, state, bytes = 0, decompressor } = event;
      const by = decompressor === undefined ? {} : { decompressor };
      return { type: 'layer', digest, diffId, chainId, state, bytes, ...by };
    }
  }
}
