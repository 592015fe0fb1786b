import pLimit from 'p-limit';
import type { Lease } from '../content/index.js';
import { type Abortable, SpecError } from '../errors.js';
import type { RegistryClient } from '../registry/index.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  hostPlatform,
  parseReference,
  type Platform,
  type Reference,
  repositoryName,
} from '../spec/index.js';
import type { UnpackedLayer } from '../unpack/index.js';
import { type BlobArrival, BlobArrivals } from './blob-arrivals.js';
import { DownloadSlots } from './download-slots.js';
import {
  fetchAll,
  type FetchedImage,
  type FetchGraphOptions,
  fetchImage,
  requireLayerTypes,
} from './fetch-graph.js';
import type { PullEvent, PullEventBody } from './pull-event.js';
import type { Store } from './store.js';

export interface PullOptions extends Abortable {
  readonly store: Store;
  readonly registry: RegistryClient;
  /** A familiar or canonical name; `latest` when it has neither tag nor digest. */
  readonly reference: string | Reference;
  /** The platform to unpack; default: this machine's. */
  readonly platform?: Platform;
  /** Download every platform's blobs, and unpack the one above. Default false. */
  readonly allPlatforms?: boolean;
  /** Make snapshots of the layers. Default true. */
  readonly unpack?: boolean;
  /** Layers that are downloaded at once. Default 4. */
  readonly concurrency?: number;
  readonly onEvent?: (event: PullEvent) => void;
}

export interface PulledLayer {
  readonly digest: Digest;
  /** Absent in an artifact, which has no config that would say it. */
  readonly diffId?: Digest;
  readonly chainId?: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  /** Neither downloaded nor unpacked by this pull. */
  readonly reused: boolean;
}

export interface PullResult {
  /** The canonical name under which the image was recorded. */
  readonly reference: string;
  /** Of the target: an index where the reference names one. */
  readonly digest: Digest;
  readonly mediaType: string;
  readonly platform: Platform;
  /** The config's digest. */
  readonly imageId: Digest;
  /** Of the topmost layer; absent when nothing was unpacked. */
  readonly chainId?: Digest;
  readonly layers: readonly PulledLayer[];
  readonly bytesDownloaded: number;
  /** Milliseconds: until the target was known, until its last blob was here, and from the first layer to the last snapshot. */
  readonly resolveMs: number;
  readonly fetchMs: number;
  readonly unpackMs: number;
}

const DEFAULT_CONCURRENCY = 4;
const DOCUMENT_CONCURRENCY = 8;

/**
 * Pulls an image: resolve, fetch, unpack, record. Layers download at the same time and are unpacked while they
 * arrive; nothing is recorded before everything was verified. A pull that fails or is aborted leaves no image,
 * and partial blobs from which the next one goes on.
 * Errors: those of resolver, fetcher, content store and unpacker; NO_MATCHING_PLATFORM; ABORTED.
 */
export async function pull(options: PullOptions): Promise<PullResult> {
  const session = new PullSession(options);
  await using lease = await options.store.leases.create();
  const target = await session.resolve();
  const fetched = await session.fetchAndUnpack(target, lease);
  await session.record(target);
  return session.result(target, fetched);
}

interface Fetched {
  readonly image: FetchedImage;
  readonly unpacked: readonly UnpackedLayer[];
  readonly present: ReadonlySet<Digest>;
  readonly bytesDownloaded: number;
}

class PullSession {
  readonly #options: PullOptions;
  readonly #reference: Reference;
  readonly #name: string;
  readonly #start: number = performance.now();
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  #resolveMs = 0;
  #fetchMs = 0;
  #unpackMs = 0;

  constructor(options: PullOptions) {
    this.#options = options;
    this.#reference =
      typeof options.reference === 'string'
        ? parseReference(options.reference, { defaultTag: true })
        : options.reference;
    this.#name = formatReference(this.#reference);
    this.#signal =
      options.signal === undefined
        ? this.#failed.signal
        : AbortSignal.any([options.signal, this.#failed.signal]);
  }

  /** The reference's target; one HEAD, or nothing at all where a digest names what is here. */
  async resolve(): Promise<Descriptor> {
    this.#tell({ type: 'resolving' });
    const known = await this.#options.store.images.get(this.#name);
    const target =
      known !== undefined && known.target.digest === this.#reference.digest
        ? known.target
        : await this.#options.registry.resolver().resolve(this.#reference, { signal: this.#signal });
    this.#resolveMs = performance.now() - this.#start;
    const { digest, mediaType, size } = target;
    this.#tell({ type: 'resolved', digest, mediaType, size });
    return target;
  }

  /** Both at once: the unpacker reads each layer behind its download's frontier. The first failure stops all. */
  async fetchAndUnpack(target: Descriptor, lease: Lease): Promise<Fetched> {
    const present = new Set<Digest>();
    const arrivals = this.#arrivals(lease, present);
    let unpacking: Promise<readonly UnpackedLayer[]> = Promise.resolve([]);
    try {
      const graph = this.#graph(arrivals);
      const image = await fetchImage(target, graph);
      if (this.#unpacks(image)) requireLayerTypes(image.layers);
      this.#tellImage(image);
      const begun = image.manifest.layers.map((layer) => arrivals.start(layer, 'layer'));
      unpacking = this.#unpack(image, begun, lease);
      unpacking.catch((error: unknown) => {
        this.#failed.abort(error);
      });
      const others = this.#options.allPlatforms === true ? await fetchAll(target, graph) : [];
      await Promise.all([...begun, ...others].map((arrival) => arrival.done));
      this.#fetchMs = performance.now() - this.#start - this.#resolveMs;
      return { image, unpacked: await unpacking, present, bytesDownloaded: arrivals.bytesDownloaded };
    } catch (error) {
      // What failed first is the cause; all that fails after it fails because of the abort.
      if (!this.#failed.signal.aborted) this.#failed.abort(error);
      await Promise.allSettled([arrivals.settle(), unpacking]);
      throw this.#failed.signal.reason;
    }
  }

  /** Only now does the image become visible. */
  async record(target: Descriptor): Promise<void> {
    await this.#options.store.images.put({ name: this.#name, target });
  }

  result(target: Descriptor, { image, unpacked, present, bytesDownloaded }: Fetched): PullResult {
    this.#tell({ type: 'done', digest: target.digest, bytesDownloaded });
    const top = unpacked.at(-1);
    return {
      reference: this.#name,
      digest: target.digest,
      mediaType: target.mediaType,
      platform: image.platform,
      imageId: image.manifest.config.digest,
      ...(top === undefined ? {} : { chainId: top.chainId }),
      layers: image.manifest.layers.map(({ digest, size }, i) => {
        const layer = image.layers[i];
        return {
          digest,
          ...(layer === undefined ? {} : { diffId: layer.diffId, chainId: layer.chainId }),
          size,
          reused: present.has(digest) && (unpacked[i]?.reused ?? true),
        };
      }),
      bytesDownloaded,
      resolveMs: Math.round(this.#resolveMs),
      fetchMs: Math.round(this.#fetchMs),
      unpackMs: Math.round(this.#unpackMs),
    };
  }

  #arrivals(lease: Lease, present: Set<Digest>): BlobArrivals {
    const { store, registry, concurrency } = this.#options;
    return new BlobArrivals({
      content: store.content,
      fetcher: registry.repository(this.#reference),
      lease,
      source: repositoryName(this.#reference),
      layerSlots: new DownloadSlots(concurrency ?? DEFAULT_CONCURRENCY),
      documentLimit: pLimit(DOCUMENT_CONCURRENCY),
      signal: this.#signal,
      onEvent: (event) => {
        if (event.type === 'blob' && event.state === 'present') present.add(event.digest);
        this.#tell(event);
      },
    });
  }

  #graph(arrivals: BlobArrivals): FetchGraphOptions {
    return {
      content: this.#options.store.content,
      arrivals,
      platform: this.#options.platform ?? hostPlatform(),
      platformRequired: this.#options.platform !== undefined,
      onWarning: (message) => {
        this.#tell({ type: 'warning', message });
      },
    };
  }

  #unpacks(image: FetchedImage): boolean {
    if (this.#options.unpack === false) return false;
    if (image.config !== undefined) return true;
    throw new SpecError(
      'UNSUPPORTED_MEDIA_TYPE',
      `${this.#name} is an artifact (config ${image.manifest.config.mediaType}), not a container image`,
      { hint: 'Use --no-unpack to keep it without unpacking it.' },
    );
  }

  async #unpack(
    image: FetchedImage,
    arrivals: readonly BlobArrival[],
    lease: Lease,
  ): Promise<readonly UnpackedLayer[]> {
    if (this.#options.unpack === false) return [];
    const begun = performance.now();
    // Leased before they are looked for, for the same reason as blobs.
    for (const { chainId } of image.layers) await lease.addSnapshot(chainId);
    const unpacked = await this.#options.store.unpacker.unpack(
      image.layers.flatMap(({ descriptor, diffId }, i) => {
        const arrival = arrivals[i];
        return arrival === undefined ? [] : [{ descriptor, diffId, open: () => arrival.readable }];
      }),
      {
        signal: this.#signal,
        onEvent: (event) => {
          if (event.type === 'warning') this.#tell({ type: 'warning', message: event.message });
          else {
            const { digest, diffId, chainId, state, bytes = 0 } = event;
            this.#tell({ type: 'layer', digest, diffId, chainId, state, bytes });
          }
        },
      },
    );
    this.#unpackMs = performance.now() - begun;
    return unpacked;
  }

  #tellImage(image: FetchedImage): void {
    const { digest } = image.manifestDescriptor;
    const layers = image.layers.map(({ descriptor, diffId }) => ({
      digest: descriptor.digest,
      size: descriptor.size,
      diffId,
    }));
    this.#tell({ type: 'image', digest, platform: image.platform, layers });
  }

  #tell(body: PullEventBody): void {
    this.#options.onEvent?.({
      reference: this.#name,
      at: Math.round(performance.now() - this.#start),
      ...body,
    });
  }
}
