import pLimit from 'p-limit';
import type { Labels, Lease } from '../content/index.js';
import { type Abortable, LandfallError, SpecError } from '../errors.js';
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
import type { OmittedDevice, UnpackedLayer } from '../unpack/index.js';
import { BlobArrivals } from './blob-arrivals.js';
import { discardedBlobs, discardLayers, isLean, leanLabels, unneededLayers } from './discard-layers.js';
import { recordDocuments } from './documents.js';
import { DownloadSlots } from './download-slots.js';
import {
  fetchDocuments,
  type FetchedImage,
  type FetchGraphOptions,
  fetchImage,
  requireUnpackable,
} from './fetch-graph.js';
import { requireSpace } from './preflight.js';
import { noteDiscarded } from './note-discarded.js';
import { fromUnpackEvent, type PullEvent, type PullEventBody } from './pull-event.js';
import { type Fetched, pulledLayers, type PullResult } from './pull-result.js';
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
  /**
   * Drop the blob of each layer once it is a snapshot, as far as no other image needs it. The store remembers that they
   * were dropped, and later pulls of the image go without them too. Default false.
   */
  readonly discardLayers?: boolean;
  /** Layers that are downloaded at once. Default 4. */
  readonly concurrency?: number;
  readonly onEvent?: (event: PullEvent) => void;
}

const DEFAULT_CONCURRENCY = 4;
const DOCUMENT_CONCURRENCY = 8;

/**
 * Pulls an image: resolve, fetch, unpack, record. Layers download at the same time and are unpacked while they
 * arrive; nothing is recorded before everything was verified. A pull that fails or is aborted leaves no image,
 * and partial blobs from which the next one goes on.
 * Errors: those of resolver, fetcher, content store and unpacker; NO_MATCHING_PLATFORM; NO_SPACE before a layer is begun
 * that could not end; INVALID_CONFIG (options that exclude each other); ABORTED.
 */
export async function pull(options: PullOptions): Promise<PullResult> {
  if (options.discardLayers === true && options.unpack === false) {
    throw new LandfallError('INVALID_CONFIG', 'without unpacking, no layer can be discarded', {
      hint: 'Use either --discard-layers or --no-unpack.',
    });
  }
  const session = new PullSession(options);
  // Held until all is done: what a name reaches needs no lease, but nothing has a name before `record`.
  await using lease = await options.store.leases.create();
  const target = await session.resolve();
  const fetched = await session.fetchAndUnpack(target, lease);
  await session.record(target);
  const bytesDiscarded = await session.discard(fetched, lease);
  return await session.result(target, fetched, bytesDiscarded);
}

class PullSession {
  readonly #options: PullOptions;
  readonly #reference: Reference;
  readonly #name: string;
  readonly #start: number = performance.now();
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  readonly #omitted: OmittedDevice[] = [];
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
    const known = await this.#options.store.catalog.get(this.#name);
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
      if (this.#unpacks(image)) requireUnpackable(image.layers, this.#options.store.limits);
      this.#tellImage(image);
      const others = this.#options.allPlatforms === true ? await fetchDocuments(target, graph) : [];
      const unneeded = await this.#unneeded(image, lease);
      const blobs = [
        ...image.manifest.layers.map((descriptor) => ({ descriptor, role: 'layer' as const })),
        ...others,
      ].filter(({ descriptor }) => !unneeded.has(descriptor.digest));
      await this.#requireSpace(blobs.map(({ descriptor }) => descriptor));
      for (const digest of unneeded) present.add(digest);
      const begun = blobs.map(({ descriptor, role }) => arrivals.start(descriptor, role));
      unpacking = this.#unpack(image, arrivals);
      unpacking.catch((error: unknown) => {
        this.#failed.abort(error);
      });
      await Promise.all(begun.map((arrival) => arrival.done));
      this.#fetchMs = performance.now() - this.#start - this.#resolveMs;
      const unpacked = await unpacking;
      // What was begun late is verified by now, and has only to let go of its lock.
      await arrivals.settle();
      return { image, unpacked, present, bytesDownloaded: arrivals.bytesDownloaded };
    } catch (error) {
      // What failed first is the cause; all that fails after it fails because of the abort.
      if (!this.#failed.signal.aborted) this.#failed.abort(error);
      await Promise.allSettled([arrivals.settle(), unpacking]);
      throw this.#failed.signal.reason;
    }
  }

  /** Only now does the image become visible. */
  async record(target: Descriptor): Promise<void> {
    const { store } = this.#options;
    await recordDocuments(store, target);
    const labels = await this.#labels(target);
    await store.images.put({ name: this.#name, target, ...(labels === undefined ? {} : { labels }) });
  }

  /** After the image was recorded, so that it is whole whenever this breaks off. Bytes that were given back. */
  async discard({ image }: Fetched, lease: Lease): Promise<number> {
    if (this.#options.discardLayers !== true) return 0;
    return await discardLayers(this.#options.store, image.layers, lease);
  }

  async result(target: Descriptor, fetched: Fetched, bytesDiscarded: number): Promise<PullResult> {
    const { image, unpacked, bytesDownloaded } = fetched;
    const digests = image.manifest.layers.map(({ digest }) => digest);
    const discarded = await discardedBlobs(this.#options.store).among(digests);
    this.#tell({ type: 'done', digest: target.digest, bytesDownloaded });
    const top = unpacked.at(-1);
    return {
      reference: this.#name,
      digest: target.digest,
      mediaType: target.mediaType,
      platform: image.platform,
      imageId: image.manifest.config.digest,
      ...(top === undefined ? {} : { chainId: top.chainId }),
      layers: pulledLayers(fetched, discarded),
      omittedDevices: this.#omitted,
      bytesDownloaded,
      bytesDiscarded,
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

  /** Leases all that the layers become, and says whose blobs need not come. Leased before it is looked for, as blobs are. */
  async #unneeded(image: FetchedImage, lease: Lease): Promise<ReadonlySet<Digest>> {
    const { store, unpack, discardLayers: discard = false } = this.#options;
    await lease.addBlob(...image.manifest.layers.map(({ digest }) => digest));
    if (unpack === false) return new Set();
    await lease.addSnapshot(...image.layers.map(({ chainId }) => chainId));
    const source = repositoryName(this.#reference);
    await noteDiscarded(store, image.manifest.layers, source);
    return await unneededLayers(store, image.layers, { discard, source });
  }

  async #requireSpace(descriptors: readonly Descriptor[]): Promise<void> {
    const { root, content } = this.#options.store;
    await requireSpace({ root, content, descriptors, signal: this.#signal });
  }

  async #unpack(image: FetchedImage, arrivals: BlobArrivals): Promise<readonly UnpackedLayer[]> {
    if (this.#options.unpack === false) return [];
    const begun = performance.now();
    const unpacked = await this.#options.store.unpacker.unpack(
      // A blob that was not needed is begun here, should its snapshot be gone by now.
      image.layers.map(({ descriptor, diffId }) => ({
        descriptor,
        diffId,
        open: () => arrivals.start(descriptor, 'layer').readable,
      })),
      {
        signal: this.#signal,
        onEvent: (event) => {
          if (event.type === 'omitted') this.#omitted.push(...event.devices);
          this.#tell(fromUnpackEvent(event));
        },
      },
    );
    this.#unpackMs = performance.now() - begun;
    return unpacked;
  }

  /**
   * The labels that say whether the image is lean, where they change. A plain pull of what was pulled lean before leaves it
   * so; one that brings other content, or all blobs, does not.
   */
  async #labels(target: Descriptor): Promise<Labels | undefined> {
    const { store, unpack, discardLayers: discard = false } = this.#options;
    const known = await store.images.get(this.#name);
    const stays = unpack !== false && known?.target.digest === target.digest && isLean(known.labels);
    return leanLabels(known?.labels, discard || stays);
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
