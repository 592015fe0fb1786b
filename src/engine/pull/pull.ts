import type { CatalogImage, Lease } from '../../content/index.js';
import { type Abortable, isWrongContent, LandfallError, throwIfAborted } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { isMisdescribed, withRegistry } from '../../registry/index.js';
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
import { type PolicyFile, registryImage, type SignatureRuling } from '../../trust/index.js';
import type { LayerSource, OmittedDevice, UnpackedLayer } from '../../unpack/index.js';
import { artifactError, type FetchedImage, recordManifests, requireUnpackable } from '../images/image.js';
import { noteDiscarded, unneededLayers } from '../images/layer-blobs.js';
import { type ReadManifestBytes, readManifestBytes } from '../images/read-manifest.js';
import { settleStore, type Store } from '../store.js';
import { type Admission, admitImage, recordAdmission } from '../trust/admit-image.js';
import { pathsToAll, pathTo, pathToPlatform } from '../trust/manifest-paths.js';
import { registrySignatures, signaturesOf } from '../trust/signature-sources.js';
import { type BlobDownload, BlobDownloads } from './blob-downloads.js';
import { blobsOf, EarlyLayers, fetchManifests, type FetchGraphOptions, fetchImage } from './fetch-graph.js';
import { usePresentImage } from './present-image.js';
import { type BudgetShare, PullBudget } from './pull-budget.js';
import {
  type Fetched,
  fromUnpackEvent,
  imageEvent,
  pulledLayers,
  type PullEvent,
  type PullResult,
  PullReporter,
} from './pull-report.js';
import { requireSpace } from './require-space.js';

/**
 * Pulls an image: resolves its name, has its signatures verified where `policy` asks for some, downloads,
 * unpacks, and records it in the store. Layers download at the same time and are unpacked while they arrive;
 * nothing is recorded before every byte was verified. A pull that fails or is aborted leaves no image, but
 * partial blobs from which the next one goes on.
 *
 * The signature policies of the machine are not looked for by themselves: see `findPolicyFile` of
 * `landfall/trust`.
 *
 * @returns what was pulled; sizes are in bytes, times in milliseconds
 * @throws
 * - {@link SpecError} INVALID_REFERENCE, INVALID_MANIFEST, NO_MATCHING_PLATFORM, UNSUPPORTED_MEDIA_TYPE,
 *   LIMIT_EXCEEDED
 * - {@link RegistryError} NOT_FOUND, UNAUTHORIZED, DENIED, RATE_LIMITED, UNAVAILABLE, PROTOCOL,
 *   REDIRECT_REFUSED
 * - {@link ContentError} DIGEST_MISMATCH, SIZE_MISMATCH, NO_SPACE, FILESYSTEM
 * - {@link UnpackError} DIFF_ID_MISMATCH, UNSAFE_PATH, BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED,
 *   NO_SPACE, FILESYSTEM
 * - {@link TrustError} SIGNATURE_MISSING, SIGNATURE_INVALID, POLICY_REJECTED, before a blob is asked for
 * - {@link LandfallError} ABORTED; INVALID_CONFIG (options that exclude each other); UNSUPPORTED (what is to
 *   inflate is not here)
 */
export async function pull(options: PullOptions): Promise<PullResult> {
  if (options.discardLayers === true && options.unpack === false) {
    throw new LandfallError('INVALID_CONFIG', 'without unpacking, no layer can be discarded', {
      hint: 'Use either --discard-layers or --no-unpack.',
    });
  }
  return await withRegistry(options.registry, (registry) =>
    tellingCaller(options, (telling) => new PullSession({ ...options, registry, ...telling }).run(false)),
  );
}

/** The image to pull, and how. */
export interface PullOptions extends Abortable {
  /** Where the image goes. Closed by its owner. */
  readonly store: Store;
  /**
   * The client that registries are asked through, closed by its owner. Default: a client of {@link
   * openRegistry}, for this pull alone. Several pulls through one client share connections and tokens.
   */
  readonly registry?: RegistryClient | undefined;
  /** A familiar or canonical name; `latest` when it has neither tag nor digest. */
  readonly reference: string | Reference;
  /** The platform to unpack; default: this machine's. */
  readonly platform?: Platform | undefined;
  /** Download every platform's blobs, and unpack the one above. Default false. */
  readonly allPlatforms?: boolean | undefined;
  /** Make snapshots of the layers. Default true. */
  readonly unpack?: boolean | undefined;
  /**
   * Verify every byte of a layer's blob before any of it is parsed; otherwise a layer is unpacked while it
   * arrives, into a directory that nobody sees before both digests were found right. Default false.
   */
  readonly verifyFirst?: boolean | undefined;
  /**
   * Drop the blob of each layer once it is a snapshot, as far as no other image needs it. The store
   * remembers that they were dropped, and later pulls of the image go without them too. Default false.
   */
  readonly discardLayers?: boolean | undefined;
  /**
   * Give the image no name: what was pulled stays for as long as somebody leases or holds it. Default false.
   */
  readonly nameless?: boolean | undefined;
  /** What says which signatures the image needs; without it, none. */
  readonly policy?: PolicyFile | undefined;
  /**
   * What the image was asked for as, where the reference is a manifest that this leads to: by that name the
   * policy knows it.
   */
  readonly askedAs?: Reference | undefined;
  /** What this pull shares with others. Without it, it has one of its own. */
  readonly budget?: PullBudget | undefined;
  /** Told what happens, at once and one event after the other. What it throws ends the pull. */
  readonly onEvent?: ((event: PullEvent) => void) | undefined;
}

type SessionOptions = PullOptions & { readonly registry: RegistryClient };

/** One pull under way: its steps, and what they share. */
class PullSession {
  readonly #options: SessionOptions;
  readonly #reference: Reference;
  readonly #name: string;
  readonly #start: number = performance.now();
  readonly #budget: BudgetShare;
  readonly #reporter: PullReporter;
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  readonly #omitted: OmittedDevice[] = [];
  /** What had the name when the pull began. */
  #known: CatalogImage | undefined;
  #admission: Admission | undefined;
  #resolveMs = 0;
  #fetchMs = 0;
  #unpackMs = 0;

  constructor(options: SessionOptions) {
    const { reference, onEvent, budget = new PullBudget(), signal } = options;
    this.#options = options;
    this.#reference =
      typeof reference === 'string' ? parseReference(reference, { defaultTag: true }) : reference;
    this.#name = formatReference(this.#reference);
    this.#reporter = new PullReporter({ reference: this.#name, start: this.#start, onEvent });
    this.#budget = budget.share();
    this.#signal = AbortSignal.any([this.#failed.signal, ...(signal === undefined ? [] : [signal])]);
  }

  /** The steps of a pull, in their order: resolve, admit, fetch and unpack, record. */
  async run(byGet: boolean): Promise<PullResult> {
    const { store, policy, askedAs, unpack } = this.#options;
    // What the policy asks for is read before anything is asked of the registry.
    const ruling = await policy?.rulingFor(registryImage(askedAs ?? this.#reference));
    const target = await this.#resolve(byGet);
    try {
      if (ruling !== undefined) await this.#admit(target, ruling);
      const present = await this.#present(target);
      if (present !== undefined) {
        await this.#recordAdmission();
        return await this.#result(target, present, 0);
      }
      if (unpack !== false) {
        store.unpacker.requireInflate();
        store.unpacker.prepare();
      }
      // Kept until all is done: what a name reaches needs no lease, but nothing has a name before `#record`.
      await using lease = await store.leases.create();
      const fetched = await this.#fetchAndUnpack(target, lease);
      await this.#recordAdmission(lease);
      await this.#record(target);
      return await this.#result(target, fetched, await this.#discard(fetched, lease));
    } catch (error) {
      if (byGet || !isMisdescribed(error, target)) throw error;
    }
    // Once more by GET, since the manifest could not be had as HEAD had described it.
    return await new PullSession(this.#options).run(true);
  }

  /**
   * The reference's target; one HEAD, or nothing at all where a digest names what is here. By GET where
   * HEAD was wrong.
   */
  async #resolve(byGet: boolean): Promise<Descriptor> {
    this.#reporter.emit({ type: 'resolving' });
    this.#known = await this.#options.store.catalog.get(this.#name);
    const target =
      this.#known !== undefined && this.#known.target.digest === this.#reference.digest
        ? this.#known.target
        : await this.#options.registry.resolver().resolve(this.#reference, { signal: this.#signal, byGet });
    this.#resolveMs = performance.now() - this.#start;
    const { digest, mediaType, size } = target;
    this.#reporter.emit({ type: 'resolved', digest, mediaType, size });
    return target;
  }

  /** Has the signatures verified that the policy asks for, before a blob is asked for. */
  async #admit(target: Descriptor, ruling: SignatureRuling): Promise<void> {
    const { store, registry, askedAs, allPlatforms, platform = hostPlatform() } = this.#options;
    const ofPlatform = allPlatforms === true ? pathsToAll : pathToPlatform(platform);
    this.#admission = await admitImage({
      ruling,
      image: registryImage(askedAs ?? this.#reference),
      target:
        askedAs === undefined ? target : await registry.resolver().resolve(askedAs, { signal: this.#signal }),
      paths: askedAs === undefined ? ofPlatform : pathTo(target),
      read: this.#manifests(),
      sources: [registrySignatures(registry, this.#reference)],
      store,
      signal: this.#signal,
    });
  }

  /** Everything, where it is here and has the name already. */
  async #present(target: Descriptor): Promise<Fetched | undefined> {
    const { store, platform, unpack = true, discardLayers = false, allPlatforms = false } = this.#options;
    const known = this.#known;
    if (known === undefined || allPlatforms) return undefined;
    const present = await usePresentImage(store, known, target, { platform, unpack, discardLayers });
    throwIfAborted(this.#signal);
    for (const event of present?.events ?? []) this.#reporter.emit(event);
    return present?.fetched;
  }

  /**
   * Both at once: the unpacker reads each layer behind its download's offset. The first failure stops all.
   */
  async #fetchAndUnpack(target: Descriptor, lease: Lease): Promise<Fetched> {
    const { store, registry, platform, allPlatforms, unpack = true } = this.#options;
    const present = new Set<Digest>();
    const downloads = new BlobDownloads({
      content: store.content,
      fetcher: registry.repository(this.#reference),
      lease,
      source: repositoryName(this.#reference),
      budget: this.#budget,
      signal: this.#signal,
      onEvent: (event) => {
        if (event.type === 'blob' && event.state === 'present') present.add(event.digest);
        this.#reporter.reportBlob(event);
      },
    });
    const early = new EarlyLayers({ store, downloads, lease, unpack, signal: this.#signal });
    const graph: FetchGraphOptions = {
      content: store.content,
      downloads,
      read: this.#manifests(),
      platform,
      onManifest: (manifest, descriptor) => {
        if (this.#isSettledBy(descriptor, target)) early.begin(manifest);
      },
      onWarning: (message) => this.#reporter.emit({ type: 'warning', message }),
    };
    let unpacking: Promise<readonly UnpackedLayer[]> = Promise.resolve([]);
    try {
      const image = await fetchImage(target, graph);
      if (unpack) {
        if (image.config === undefined) {
          throw artifactError(this.#name, image.manifest, 'Use --no-unpack to keep it without unpacking it.');
        }
        requireUnpackable(image.layers, store.limits);
      }
      this.#reporter.emit(imageEvent(image));
      const others = allPlatforms === true ? await fetchManifests(target, graph) : [];
      const unneeded = await this.#unneeded(image, lease);
      const blobs = [...blobsOf(image), ...others].filter(
        ({ descriptor }) => !unneeded.has(descriptor.digest),
      );
      const descriptors = blobs.map(({ descriptor }) => descriptor);
      if (!(await early.include(descriptors))) {
        const { root, content, database } = store;
        const layers = image.layers.map(({ descriptor }) => descriptor);
        const unpacked = unpack ? { layers, database } : undefined;
        await requireSpace({ root, content, descriptors, unpacked, signal: this.#signal });
      }
      for (const digest of unneeded) present.add(digest);
      const begun = blobs.map(({ descriptor, role }) => downloads.start(descriptor, role));
      if (unpack) unpacking = this.#unpack(image, downloads);
      unpacking.catch((error: unknown) => {
        this.#failed.abort(error);
      });
      await Promise.all(begun.map((download) => download.done));
      this.#fetchMs = performance.now() - this.#start - this.#resolveMs;
      const unpacked = await unpacking;
      // What was begun late is verified by now, and has only to release its lock.
      await downloads.settle();
      return { image, unpacked, present, bytesDownloaded: downloads.bytesDownloaded };
    } catch (error) {
      // What failed first is the cause; all that fails after it fails because of the abort.
      if (!this.#failed.signal.aborted) this.#failed.abort(error);
      await early.settle();
      await Promise.allSettled([downloads.settle(), unpacking]);
      throw this.#failed.signal.reason;
    }
  }

  /**
   * Whether a manifest is what will be pulled, and all of it. Of one that no index has chosen only the
   * config says for which platform it is; and a pull that discards layer blobs needs it to know what it can
   * go without.
   */
  #isSettledBy(manifest: Descriptor, target: Descriptor): boolean {
    const { platform, allPlatforms = false, discardLayers: discard = false } = this.#options;
    return !allPlatforms && !discard && (platform === undefined || manifest.digest !== target.digest);
  }

  /**
   * Leases all that the layers become, and says whose blobs need not come. Leased before it is looked for,
   * as blobs are.
   */
  async #unneeded(image: FetchedImage, lease: Lease): Promise<ReadonlySet<Digest>> {
    const { store, unpack, discardLayers: discard = false } = this.#options;
    await lease.addBlob(...image.manifest.layers.map(({ digest }) => digest));
    if (unpack === false) return new Set();
    await lease.addSnapshot(...image.layers.map(({ chainId }) => chainId));
    const source = repositoryName(this.#reference);
    await noteDiscarded(store, image.manifest.layers, source);
    return await unneededLayers(store, image.layers, { discard, source });
  }

  async #unpack(image: FetchedImage, downloads: BlobDownloads): Promise<readonly UnpackedLayer[]> {
    const { store, verifyFirst } = this.#options;
    const begun = performance.now();
    const unpacked = await store.unpacker.unpack(
      image.layers.map(({ descriptor, diffId }) => ({
        descriptor,
        diffId,
        open: () => {
          // A blob that was not needed is begun here, should its snapshot be gone by now.
          const download = downloads.start(descriptor, 'layer');
          return verifyFirst === true ? whenVerified(download) : download.readable;
        },
      })),
      {
        signal: this.#signal,
        acquireSlot: this.#budget.unpack,
        onEvent: (event) => {
          if (event.type === 'omitted') this.#omitted.push(...event.devices);
          this.#reporter.emit(fromUnpackEvent(event));
        },
      },
    );
    // Layers that are unpacked at the same time take no longer than all of them together.
    const work = unpacked.reduce((sum, { workMs }) => sum + workMs, 0);
    this.#unpackMs = Math.min(work, performance.now() - begun);
    return unpacked;
  }

  /** Only now does the image become visible. */
  async #record(target: Descriptor): Promise<void> {
    const { store } = this.#options;
    await settleStore(store);
    if (this.#options.nameless === true) return;
    await recordManifests(store, target);
    const discardLayers = await this.#discardsLayers(target);
    await store.images.put({ name: this.#name, target, discardLayers });
  }

  /** Remembers what was verified, and keeps the signatures. */
  async #recordAdmission(lease?: Lease): Promise<void> {
    if (this.#admission === undefined) return;
    const source = repositoryName(this.#reference);
    await recordAdmission(this.#options.store, this.#admission, { lease, source, signal: this.#signal });
  }

  /**
   * Whether the image is to go without layer blobs. A plain pull of what was pulled without them before
   * leaves it so; one that brings other content, or all blobs, does not.
   */
  async #discardsLayers(target: Descriptor): Promise<boolean> {
    const { store, unpack, discardLayers = false } = this.#options;
    if (discardLayers || unpack === false) return discardLayers;
    const known = await store.images.get(this.#name);
    return known?.target.digest === target.digest && known.discardLayers;
  }

  /**
   * After the image was recorded, so that it is whole whenever this breaks off. Bytes that were given back.
   */
  async #discard({ image }: Fetched, lease: Lease): Promise<number> {
    if (this.#options.discardLayers !== true) return 0;
    const digests = new Set(image.layers.map(({ descriptor }) => descriptor.digest));
    return await this.#options.store.discarded.discard([...digests], { leaseId: lease.id });
  }

  async #result(target: Descriptor, fetched: Fetched, bytesDiscarded: number): Promise<PullResult> {
    const { image, unpacked, bytesDownloaded } = fetched;
    const digests = image.manifest.layers.map(({ digest }) => digest);
    const discarded = await this.#options.store.discarded.among(digests);
    this.#reporter.emit({ type: 'done', digest: target.digest, bytesDownloaded });
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
      ...(this.#admission === undefined ? {} : { signatures: signaturesOf(this.#admission) }),
    };
  }

  /** Manifests and configs that are only looked at. */
  #manifests(): ReadManifestBytes {
    const { store, registry } = this.#options;
    return readManifestBytes(store.content, registry.repository(this.#reference), { signal: this.#signal });
  }
}

/**
 * A layer of which nothing is read before all of its bytes were found right, by the digest of its blob.
 *
 * Errors: those of its arrival; DIGEST_MISMATCH where nobody has the right bytes
 */
async function whenVerified(download: BlobDownload): Promise<LayerSource> {
  await download.done;
  for (let source = await download.readable; ;) {
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
