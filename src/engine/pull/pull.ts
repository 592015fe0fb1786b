import { Limiter } from '../../concurrency/index.js';
import type { CatalogImage, Lease } from '../../content/index.js';
import { type Abortable, isWrongContent, LandfallError, throwIfAborted } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { isMisdescribed } from '../../registry/index.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  hostPlatform,
  parseReference,
  type Platform,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import { tellingCaller } from '../../concurrency/index.js';
import type { PolicyFile } from '../../trust/index.js';
import type { LayerSource, OmittedDevice, UnpackedLayer } from '../../unpack/index.js';
import { type BlobArrival, BlobArrivals } from './blob-arrivals.js';
import { discardedBlobs, discardLayers, noteDiscarded, unneededLayers } from '../images/discard-layers.js';
import { recordDocuments } from '../images/documents.js';
import {
  blobsOf,
  EarlyLayers,
  fetchDocuments,
  type FetchGraphOptions,
  fetchImage,
  requireSpace,
} from './fetch-graph.js';
import { artifactError, type FetchedImage, requireUnpackable } from '../images/image.js';
import { usePresentImage } from './present-image.js';
import { type BudgetShare, PullBudget } from './pull-budget.js';
import {
  type Fetched,
  fromUnpackEvent,
  pulledLayers,
  type PullEvent,
  type PullResult,
  PullTeller,
} from './pull-report.js';
import { documentBytes } from '../images/read-document.js';
import { settleStore, type Store } from '../store.js';
import { PullGate } from '../trust/pull-gate.js';

/**
 * Pulls an image: resolve, have its signatures verified where a policy asks for some, fetch, unpack, record. Layers download
 * at the same time and are unpacked while they arrive; nothing is recorded before everything was verified. A pull that fails
 * or is aborted leaves no image, and partial blobs from which the next one goes on.
 * Errors: those of the policy and of `verifyImage`, before a blob is asked for; those of resolver, fetcher, content store and
 * unpacker; NO_MATCHING_PLATFORM; NO_SPACE before a layer is begun that could not end; INVALID_CONFIG (options that exclude
 * each other); UNSUPPORTED (what is to inflate is not here); ABORTED.
 */
export async function pull(options: PullOptions): Promise<PullResult> {
  if (options.discardLayers === true && options.unpack === false) {
    throw new LandfallError('INVALID_CONFIG', 'without unpacking, no layer can be discarded', {
      hint: 'Use either --discard-layers or --no-unpack.',
    });
  }
  return await tellingCaller(options, (telling) => pullResolved({ ...options, ...telling }, false));
}

/** Once more by GET, where the manifest could not be had as HEAD had described it. */
async function pullResolved(options: PullOptions, byGet: boolean): Promise<PullResult> {
  const session = new PullSession(options);
  const gate = await session.gate();
  const target = await session.resolve(byGet);
  try {
    return await session.bring(target, gate);
  } catch (error) {
    if (byGet || !isMisdescribed(error, target)) throw error;
    return await pullResolved(options, true);
  }
}

export interface PullOptions extends Abortable {
  /** Where the image goes. Closed by whoever opened it. */
  readonly store: Store;
  readonly registry: RegistryClient;
  /** A familiar or canonical name; `latest` when it has neither tag nor digest. */
  readonly reference: string | Reference;
  /** The platform to unpack; default: this machine's. */
  readonly platform?: Platform | undefined;
  /** Download every platform's blobs, and unpack the one above. Default false. */
  readonly allPlatforms?: boolean | undefined;
  /** Make snapshots of the layers. Default true. */
  readonly unpack?: boolean | undefined;
  /**
   * Verify every byte of a layer's blob before any of it is parsed; otherwise a layer is unpacked while it arrives, into a
   * directory that nobody sees before both digests were found right. Default false.
   */
  readonly verifyFirst?: boolean | undefined;
  /**
   * Drop the blob of each layer once it is a snapshot, as far as no other image needs it. The store remembers that they
   * were dropped, and later pulls of the image go without them too. Default false.
   */
  readonly discardLayers?: boolean | undefined;
  /**
   * Give the image no name: what was pulled stays for as long as somebody leases or holds it. Default false.
   */
  readonly nameless?: boolean | undefined;
  /** What says which signatures the image needs; without it, none. */
  readonly policy?: PolicyFile | undefined;
  /** What the image was asked for as, where the reference is a manifest that this leads to: by that name the policy knows it. */
  readonly askedAs?: Reference | undefined;
  /** What this pull shares with others. Without it, it has one of its own. */
  readonly budget?: PullBudget | undefined;
  /** Told what happens, at once and one event after the other. What it throws ends the pull. */
  readonly onEvent?: ((event: PullEvent) => void) | undefined;
}

const DOCUMENT_CONCURRENCY = 8;

/** One pull under way: its steps, and what they share. */
class PullSession {
  readonly #options: PullOptions;
  readonly #reference: Reference;
  readonly #name: string;
  readonly #start: number = performance.now();
  readonly #budget: BudgetShare;
  readonly #teller: PullTeller;
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  readonly #omitted: OmittedDevice[] = [];
  /** What had the name when the pull began. */
  #known: CatalogImage | undefined;
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
    this.#teller = new PullTeller({
      reference: this.#name,
      start: this.#start,
      onEvent: options.onEvent,
    });
    this.#budget = (options.budget ?? new PullBudget()).share();
    this.#signal =
      options.signal === undefined
        ? this.#failed.signal
        : AbortSignal.any([options.signal, this.#failed.signal]);
  }

  /** What a policy has to say before anything is asked of the registry. */
  async gate(): Promise<PullGate> {
    const { policy, store, registry, askedAs, platform, allPlatforms } = this.#options;
    return await PullGate.of({
      store,
      registry,
      reference: this.#reference,
      policy,
      askedAs,
      platform,
      allPlatforms,
      signal: this.#signal,
    });
  }

  /** The reference's target; one HEAD, or nothing at all where a digest names what is here. By GET where HEAD was wrong. */
  async resolve(byGet: boolean): Promise<Descriptor> {
    this.#teller.tell({ type: 'resolving' });
    this.#known = await this.#options.store.catalog.get(this.#name);
    const target =
      this.#known !== undefined && this.#known.target.digest === this.#reference.digest
        ? this.#known.target
        : await this.#options.registry.resolver().resolve(this.#reference, { signal: this.#signal, byGet });
    this.#resolveMs = performance.now() - this.#start;
    const { digest, mediaType, size } = target;
    this.#teller.tell({ type: 'resolved', digest, mediaType, size });
    return target;
  }

  /** The steps of a pull, in their order. */
  async bring(target: Descriptor, gate: PullGate): Promise<PullResult> {
    const { store, unpack } = this.#options;
    await gate.admit(target);
    const present = await this.#present(target);
    if (present !== undefined) {
      await gate.record();
      return await this.#result(target, { fetched: present, bytesDiscarded: 0, gate });
    }
    if (unpack !== false) {
      store.unpacker.requireInflate();
      store.unpacker.prepare();
    }
    // Kept until all is done: what a name reaches needs no lease, but nothing has a name before `#record`.
    await using lease = await store.leases.create();
    const fetched = await this.#fetchAndUnpack(target, lease);
    await gate.record(lease);
    await this.#record(target);
    const bytesDiscarded = await this.#discard(fetched, lease);
    return await this.#result(target, { fetched, bytesDiscarded, gate });
  }

  /** Everything, where it is here and has the name already. */
  async #present(target: Descriptor): Promise<Fetched | undefined> {
    const { store, platform, unpack = true, discardLayers = false, allPlatforms = false } = this.#options;
    const known = this.#known;
    if (known === undefined || allPlatforms) return undefined;
    const present = await usePresentImage(store, known, target, { platform, unpack, discardLayers });
    throwIfAborted(this.#signal);
    for (const event of present?.events ?? []) this.#teller.tell(event);
    return present?.fetched;
  }

  /** Both at once: the unpacker reads each layer behind its download's frontier. The first failure stops all. */
  async #fetchAndUnpack(target: Descriptor, lease: Lease): Promise<Fetched> {
    const present = new Set<Digest>();
    const arrivals = this.#arrivals(lease, present);
    const early = this.#early(arrivals, lease);
    let unpacking: Promise<readonly UnpackedLayer[]> = Promise.resolve([]);
    try {
      const graph = this.#graph(arrivals, (manifest, descriptor) => {
        if (this.#isSettledBy(descriptor, target)) early.begin(manifest);
      });
      const image = await fetchImage(target, graph);
      if (this.#unpacks(image)) requireUnpackable(image.layers, this.#options.store.limits);
      this.#teller.tellImage(image);
      const others = this.#options.allPlatforms === true ? await fetchDocuments(target, graph) : [];
      const unneeded = await this.#unneeded(image, lease);
      const blobs = [...blobsOf(image), ...others].filter(
        ({ descriptor }) => !unneeded.has(descriptor.digest),
      );
      await this.#requireSpace(
        blobs.map(({ descriptor }) => descriptor),
        early,
      );
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
      await early.settle();
      await Promise.allSettled([arrivals.settle(), unpacking]);
      throw this.#failed.signal.reason;
    }
  }

  /** Only now does the image become visible. */
  async #record(target: Descriptor): Promise<void> {
    const { store } = this.#options;
    await settleStore(store);
    if (this.#options.nameless === true) return;
    await recordDocuments(store, target);
    const discardLayers = await this.#discardsLayers(target);
    await store.images.put({ name: this.#name, target, discardLayers });
  }

  /** After the image was recorded, so that it is whole whenever this breaks off. Bytes that were given back. */
  async #discard({ image }: Fetched, lease: Lease): Promise<number> {
    if (this.#options.discardLayers !== true) return 0;
    return await discardLayers(this.#options.store, image.layers, lease);
  }

  async #result(
    target: Descriptor,
    done: { readonly fetched: Fetched; readonly bytesDiscarded: number; readonly gate: PullGate },
  ): Promise<PullResult> {
    const {
      fetched,
      bytesDiscarded,
      gate: { signatures },
    } = done;
    const { image, unpacked, bytesDownloaded } = fetched;
    const digests = image.manifest.layers.map(({ digest }) => digest);
    const discarded = await discardedBlobs(this.#options.store).among(digests);
    this.#teller.tell({ type: 'done', digest: target.digest, bytesDownloaded });
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
      ...(signatures === undefined ? {} : { signatures }),
    };
  }

  #arrivals(lease: Lease, present: Set<Digest>): BlobArrivals {
    const { store, registry } = this.#options;
    return new BlobArrivals({
      content: store.content,
      fetcher: registry.repository(this.#reference),
      lease,
      source: repositoryName(this.#reference),
      budget: this.#budget,
      documentLimit: new Limiter(DOCUMENT_CONCURRENCY),
      signal: this.#signal,
      onEvent: (event) => {
        if (event.type === 'blob' && event.state === 'present') present.add(event.digest);
        this.#teller.tellBlob(event);
      },
    });
  }

  /**
   * Whether a manifest is what will be pulled, and all of it. Of one that no index has chosen only the config says for which
   * platform it is; and a lean pull needs it to know what it can go without.
   */
  #isSettledBy(manifest: Descriptor, target: Descriptor): boolean {
    const { platform, allPlatforms = false, discardLayers: discard = false } = this.#options;
    return !allPlatforms && !discard && (platform === undefined || manifest.digest !== target.digest);
  }

  #early(arrivals: BlobArrivals, lease: Lease): EarlyLayers {
    const { store, unpack = true } = this.#options;
    return new EarlyLayers({ store, arrivals, lease, unpack, signal: this.#signal });
  }

  #graph(
    arrivals: BlobArrivals,
    onManifest: NonNullable<FetchGraphOptions['onManifest']>,
  ): FetchGraphOptions {
    const { store, registry } = this.#options;
    return {
      content: store.content,
      arrivals,
      read: documentBytes(store.content, registry.repository(this.#reference), { signal: this.#signal }),
      platform: this.#options.platform ?? hostPlatform(),
      platformRequired: this.#options.platform !== undefined,
      onManifest,
      onWarning: (message) => {
        this.#teller.tell({ type: 'warning', message });
      },
    };
  }

  #unpacks(image: FetchedImage): boolean {
    if (this.#options.unpack === false) return false;
    if (image.config !== undefined) return true;
    throw artifactError(this.#name, image.manifest, 'Use --no-unpack to keep it without unpacking it.');
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

  async #requireSpace(descriptors: readonly Descriptor[], early: EarlyLayers): Promise<void> {
    if (await early.include(descriptors)) return;
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
        open: () => this.#open(arrivals.start(descriptor, 'layer')),
      })),
      {
        signal: this.#signal,
        takeTurn: this.#budget.unpack,
        onEvent: (event) => {
          if (event.type === 'omitted') this.#omitted.push(...event.devices);
          this.#teller.tell(fromUnpackEvent(event));
        },
      },
    );
    this.#unpackMs = performance.now() - begun;
    return unpacked;
  }

  #open(arrival: BlobArrival): Promise<LayerSource> {
    return this.#options.verifyFirst === true ? verifyFirst(arrival) : arrival.readable;
  }

  /**
   * Whether the image is to go without layer blobs. A plain pull of what was pulled without them before leaves it so; one
   * that brings other content, or all blobs, does not.
   */
  async #discardsLayers(target: Descriptor): Promise<boolean> {
    const { store, unpack, discardLayers = false } = this.#options;
    if (discardLayers || unpack === false) return discardLayers;
    const known = await store.images.get(this.#name);
    return known?.target.digest === target.digest && known.discardLayers;
  }
}

/**
 * A layer of which nothing is read before all of its bytes were found right, by the digest of its blob.
 *
 * Errors: those of its arrival; DIGEST_MISMATCH where nobody has the right bytes
 */
async function verifyFirst(arrival: BlobArrival): Promise<LayerSource> {
  await arrival.done;
  for (let source = await arrival.readable; ;) {
    try {
      await source.verified;
      return source;
    } catch (error) {
      const next = isWrongContent(error) ? await source.replacement?.() : undefined;
      if (next === undefined) throw error;
      source = next;
    }
  }
}
