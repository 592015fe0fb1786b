import type { Digest, Platform } from '../../spec/index.js';
import type { Decompressor, OmittedDevice, UnpackedLayer, UnpackEvent } from '../../unpack/index.js';
import type { PulledSignature } from '../trust/signature-sources.js';
import type { FetchedImage } from '../images/image.js';

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

/** The platform that was chosen and its layers; comes before any event of a layer. */
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
   * `elsewhere`: another pull or process is bringing it, and this one waits. `present`: it was here
   * already, or another pull brought it.
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

type BlobBody = Extract<PullEventBody, { type: 'blob' }>;

export interface PullReporterOptions {
  /** The name that is pulled, canonical. */
  readonly reference: string;
  /** When the pull began, by `performance.now()`. */
  readonly start: number;
  readonly onEvent: ((event: PullEvent) => void) | undefined;
}

/**
 * Reports the progress of a pull. Layers may move before their image is known; the image is reported before
 * them all the same.
 */
export class PullReporter {
  readonly #options: PullReporterOptions;
  /** Events of layers, and since when, until the image was reported. */
  #unreported: { readonly body: BlobBody; readonly since: number }[] | undefined = [];

  constructor(options: PullReporterOptions) {
    this.#options = options;
  }

  emit(body: PullEventBody): void {
    const { reference, start, onEvent } = this.#options;
    onEvent?.({ reference, at: inMicroseconds(performance.now() - start), ...body });
    if (body.type !== 'image') return;
    const unreported = this.#unreported ?? [];
    this.#unreported = undefined;
    for (const { body: blob, since } of unreported)
      this.emit({ ...blob, heldMs: inMicroseconds(performance.now() - since) });
  }

  reportBlob(body: PullEventBody): void {
    if (this.#unreported !== undefined && body.type === 'blob' && body.role === 'layer')
      this.#unreported.push({ body, since: performance.now() });
    else this.emit(body);
  }
}

/** The platform that was chosen, and its layers. */
export function imageEvent({
  manifestDescriptor: { digest },
  platform,
  layers,
}: FetchedImage): PullEventBody {
  return {
    type: 'image',
    digest,
    platform,
    layers: layers.map(({ descriptor, diffId }) => ({
      digest: descriptor.digest,
      size: descriptor.size,
      diffId,
    })),
  };
}

/** Milliseconds with no more digits than a clock has. */
function inMicroseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

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
  /**
   * Its blob is not here, since it was dropped once the layer was unpacked, by this pull or an earlier one.
   */
  readonly discarded: boolean;
  /** What decompressed it; absent where this pull did not unpack it. */
  readonly decompressor?: Decompressor;
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
  /** Until the target was known, in milliseconds. */
  readonly resolveMs: number;
  /** From when the target was known until its last blob was here, in milliseconds. */
  readonly fetchMs: number;
  /** Of unpacking layers, in milliseconds, without those in which it waited for bytes or for other images. */
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

/**
 * The layers of the image, bottom first, and what became of each. `discarded` are blobs that are not here
 * on purpose.
 */
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
