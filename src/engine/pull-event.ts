import type { Digest, Platform } from '../spec/index.js';
import type { Decompressor, OmittedDevice, UnpackEvent } from '../unpack/index.js';

/** What a blob of an image is for. */
export type BlobRole = 'index' | 'manifest' | 'config' | 'layer' | 'other';

/** What every event of a pull has. */
export interface PullEventBase {
  /** The name that is pulled, canonical. */
  readonly reference: string;
  /** Milliseconds since the pull began, to the microsecond. */
  readonly at: number;
}

/** The registry is asked what the name stands for. */
export interface PullResolving extends PullEventBase {
  readonly type: 'resolving';
}

/** What the name stands for: an index, or a manifest. */
export interface PullResolved extends PullEventBase {
  readonly type: 'resolved';
  /** Of the index or manifest. */
  readonly digest: Digest;
  /** Which of them it is. */
  readonly mediaType: string;
  /** Bytes of it. */
  readonly size: number;
}

/** The platform that was chosen and its layers; told before any of them moves. */
export interface PullImage extends PullEventBase {
  readonly type: 'image';
  /** Of the manifest. */
  readonly digest: Digest;
  /** What it is for. */
  readonly platform: Platform;
  /** Bottom first. */
  readonly layers: readonly {
    /** Of the compressed blob. */
    readonly digest: Digest;
    /** Bytes of the blob. */
    readonly size: number;
    /** Of the uncompressed tar. */
    readonly diffId: Digest;
  }[];
}

/** A blob on its way into the content store. */
export interface PullBlob extends PullEventBase {
  readonly type: 'blob';
  /** What it is for. */
  readonly role: BlobRole;
  /** Of its bytes. */
  readonly digest: Digest;
  /** Bytes of the whole. */
  readonly size: number;
  /**
   * `elsewhere`: another pull or process is bringing it, and this one waits. `present`: it was here already, or another pull
   * brought it.
   */
  readonly state: 'waiting' | 'elsewhere' | 'downloading' | 'retrying' | 'done' | 'present';
  /** How many of its bytes are here. */
  readonly bytes: number;
  /** So many milliseconds before `at` it happened: it was known only later whose layer it is. */
  readonly heldMs?: number;
}

/** A layer on its way into a snapshot. */
export interface PullLayer extends PullEventBase {
  readonly type: 'layer';
  /** Of the compressed blob. */
  readonly digest: Digest;
  /** Of the uncompressed tar. */
  readonly diffId: Digest;
  /** Of the layer and all below it. */
  readonly chainId: Digest;
  /** `present`: its chain is a snapshot already. */
  readonly state: 'unpacking' | 'unpacked' | 'committed' | 'present';
  /** Compressed bytes that the unpacker has consumed. */
  readonly bytes: number;
  /** What decompressed it; in the state `unpacked`. */
  readonly decompressor?: Decompressor;
}

/** What people should know, and stops nothing. */
export interface PullWarning extends PullEventBase {
  readonly type: 'warning';
  /** In words. */
  readonly message: string;
}

/** Device nodes of a layer that could not be made here. */
export interface PullOmitted extends PullEventBase {
  readonly type: 'omitted';
  /** Of the compressed blob of the layer. */
  readonly digest: Digest;
  /** Only the first thousand of them. */
  readonly devices: readonly OmittedDevice[];
}

/** The image is in the store. */
export interface PullDone extends PullEventBase {
  readonly type: 'done';
  /** What the name stands for. */
  readonly digest: Digest;
  /** That came from registries. */
  readonly bytesDownloaded: number;
}

/** What a pull tells while it runs; branch on `type`. These are the lines of `--progress json`. */
export type PullEvent =
  PullResolving | PullResolved | PullImage | PullBlob | PullLayer | PullWarning | PullOmitted | PullDone;

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
