import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContentStore, IngestWriter, Lease } from '../content/index.js';
import { type Abortable, LandfallError, throwIfAborted } from '../errors.js';
import type { Fetcher } from '../registry/index.js';
import type { Descriptor, Digest } from '../spec/index.js';
import type { LayerSource } from '../unpack/index.js';
import type { LimitFunction } from 'p-limit';
import { deferred } from './deferred.js';
import type { BlobRole, PullEventBody } from './pull-event.js';

export interface BlobArrivalsOptions extends Abortable {
  readonly content: ContentStore;
  readonly fetcher: Fetcher;
  readonly lease: Lease;
  /** `registry/repository`, recorded with each blob. */
  readonly source: string;
  /** Bounds how many layers are on their way at once. */
  readonly layerLimit: LimitFunction;
  /** Bounds the same for manifests and configs, which never wait behind a layer. */
  readonly documentLimit: LimitFunction;
  readonly onEvent: (event: PullEventBody) => void;
}

/** A blob on its way: `readable` settles when its bytes may be read behind a frontier, `done` when it is verified. */
export interface BlobArrival {
  readonly descriptor: Descriptor;
  readonly readable: Promise<LayerSource>;
  readonly done: Promise<void>;
}

/** How often a download that makes no progress is tried again, and the first pause before that, in ms. */
const FRUITLESS_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
/** Progress is told at most so often for a blob, in ms. */
const PROGRESS_INTERVAL_MS = 50;

/**
 * Brings the blobs of one image into the content store, each once however often the image names it. A download
 * that breaks goes on from the frontier; a blob that is here already costs no request.
 */
export class BlobArrivals {
  readonly #options: BlobArrivalsOptions;
  readonly #arrivals = new Map<Digest, BlobArrival>();
  #bytesDownloaded = 0;

  constructor(options: BlobArrivalsOptions) {
    this.#options = options;
  }

  /** Bytes that came over the network for blobs, those of broken attempts included. */
  get bytesDownloaded(): number {
    return this.#bytesDownloaded;
  }

  /** Begins the arrival of a blob, or joins the one under way. */
  start(descriptor: Descriptor, role: BlobRole): BlobArrival {
    const known = this.#arrivals.get(descriptor.digest);
    if (known !== undefined) return known;
    const readable = deferred<LayerSource>();
    const limit =
      role === 'layer' || role === 'other' ? this.#options.layerLimit : this.#options.documentLimit;
    const done = limit(() => this.#arrive(descriptor, role, readable.resolve));
    done.catch(readable.reject);
    // Who waits for neither must not bring the process down: the pull reports the first failure itself.
    readable.promise.catch(() => undefined);
    const arrival = { descriptor, readable: readable.promise, done };
    this.#arrivals.set(descriptor.digest, arrival);
    this.#tell(descriptor, role, 'waiting', 0);
    return arrival;
  }

  /** Waits until nothing is on its way any more, whatever became of it. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#arrivals.values()].map((arrival) => arrival.done));
  }

  async #arrive(
    descriptor: Descriptor,
    role: BlobRole,
    readable: (source: LayerSource) => void,
  ): Promise<void> {
    const { content, lease, signal, source } = this.#options;
    throwIfAborted(signal);
    // Leased before it is looked for, so that no garbage collection comes between the look and the use.
    await lease.addBlob(descriptor.digest);
    for (let restarted = false; ; restarted = true) {
      const writer = await content.ingest(descriptor, { signal, source });
      if (writer === undefined) {
        this.#tell(descriptor, role, 'present', descriptor.size);
        readable({ path: await content.path(descriptor.digest), verified: Promise.resolve() });
        return;
      }
      try {
        await using held = writer;
        await this.#download(held, role, readable);
        return;
      } catch (error) {
        // What an earlier process left may have been damaged by a power cut; from zero it gets one more chance.
        if (restarted || !isStalePartial(error)) throw error;
      }
    }
  }

  async #download(
    writer: IngestWriter,
    role: BlobRole,
    readable: (source: LayerSource) => void,
  ): Promise<void> {
    const { descriptor } = writer;
    const verified = deferred<undefined>();
    verified.promise.catch(() => undefined);
    // What an earlier process left behind may turn out wrong and be fetched again, so nobody reads it before.
    const resumed = writer.frontier > 0;
    if (!resumed) {
      const { path, committedPath, shared } = writer;
      readable({ path, committedPath, shared, verified: verified.promise });
    }
    try {
      await this.#transfer(writer, role);
      await writer.commit();
    } catch (error) {
      verified.reject(error);
      throw error;
    }
    verified.resolve(undefined);
    this.#tell(descriptor, role, 'done', descriptor.size);
    if (resumed) {
      readable({ path: await this.#options.content.path(descriptor.digest), verified: Promise.resolve() });
    }
  }

  /** Requests until the blob is whole: the fetcher retries until bytes flow, this goes on where they stopped. */
  async #transfer(writer: IngestWriter, role: BlobRole): Promise<void> {
    const { fetcher, signal } = this.#options;
    const { descriptor } = writer;
    let fruitless = 0;
    this.#tell(descriptor, role, 'downloading', writer.frontier);
    while (writer.frontier < descriptor.size) {
      const before = writer.frontier;
      const body = await fetcher.fetch(descriptor, { offset: before, signal });
      try {
        await this.#copy(body, writer, role);
      } catch (error) {
        throwIfAborted(signal);
        fruitless = writer.frontier > before ? 0 : fruitless + 1;
        if (!isRetryable(error) || fruitless >= FRUITLESS_ATTEMPTS) throw error;
        this.#tell(descriptor, role, 'retrying', writer.frontier);
        await pause(fruitless, signal);
      }
    }
  }

  async #copy(body: Readable, writer: IngestWriter, role: BlobRole): Promise<void> {
    let at = writer.frontier;
    let told = 0;
    for await (const chunk of body) {
      const bytes = chunk as Buffer;
      this.#bytesDownloaded += bytes.length;
      await writer.write(at, bytes);
      at += bytes.length;
      const now = performance.now();
      if (now - told < PROGRESS_INTERVAL_MS) continue;
      told = now;
      this.#tell(writer.descriptor, role, 'downloading', writer.frontier);
    }
  }

  #tell(
    { digest, size }: Descriptor,
    role: BlobRole,
    state: 'waiting' | 'downloading' | 'retrying' | 'done' | 'present',
    bytes: number,
  ): void {
    this.#options.onEvent({ type: 'blob', role, digest, size, state, bytes });
  }
}

function isRetryable(error: unknown): boolean {
  return error instanceof LandfallError && error.retryable && error.code !== 'ABORTED';
}

function isStalePartial(error: unknown): boolean {
  return error instanceof LandfallError && error.code === 'DIGEST_MISMATCH' && error.retryable;
}

/** Exponential with full jitter, so that many clients of one broken registry do not come back together. */
async function pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
  await sleep(Math.random() * longest, undefined, { signal }).catch(() => throwIfAborted(signal));
}
