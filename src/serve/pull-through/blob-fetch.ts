import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type Deferred, deferred } from '../../concurrency/index.js';
import type { ByteRange, ContentStore, IngestWriter, LeaseStore } from '../../content/index.js';
import { arrivedIn, downloadBlob } from '../../engine/pull/blob-download.js';
import { type BudgetShare, PullBudget } from '../../engine/pull/pull-budget.js';
import type { StoreParts } from '../../engine/store.js';
import {
  type Abortable,
  isLandfallError,
  isWrongContent,
  type LandfallError,
  TrustError,
} from '../../errors.js';
import type { Fetcher, RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, parseReference } from '../../spec/index.js';
import { SharedOffset } from '../../system/index.js';
import { policyFault, RegistryFault } from '../http/answer.js';

export interface BlobFetchOptions {
  readonly content: ContentStore;
  readonly leases: LeaseStore;
  readonly fetcher: Fetcher;
  readonly descriptor: Descriptor;
  /** `registry/repository`, recorded with the blob. */
  readonly source: string;
  readonly budget: BudgetShare;
}

/**
 * What is smaller, such as a config, is waited for before anything else can go on, so it waits behind no
 * layer.
 */
const SMALL_BYTES = 256 * 1024;

/**
 * The download of one blob into the store, for all its readers: it is fetched once, and each reader follows
 * the bytes. It goes on for as long as a reader wants it; then it stops, and the partial blob is kept for the
 * next download.
 */
export class BlobFetch {
  readonly descriptor: Descriptor;
  /** Settles when the blob is here, or will not come. */
  readonly done: Promise<void>;
  readonly #options: BlobFetchOptions;
  readonly #stop = new AbortController();
  /**
   * The file that can be followed; undefined where the blob is in the store; rejects where it will not come.
   */
  #current: Deferred<GrowingFile | undefined> = silent();
  #wanted = 0;

  constructor(options: BlobFetchOptions) {
    this.#options = options;
    this.descriptor = options.descriptor;
    this.done = this.#run();
    this.done.catch(() => undefined);
  }

  /** Whether it was given up: the next request for the blob begins a new download. */
  get isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Wants the blob until the returned function is called. */
  want(): () => void {
    this.#wanted += 1;
    let wants = true;
    return () => {
      if (wants) this.#wanted -= 1;
      wants = false;
      if (this.#wanted === 0) this.stop();
    };
  }

  stop(): void {
    this.#stop.abort();
  }

  /**
   * The blob, or a part of it, as soon as the first byte is here. The reader wants the blob until its stream
   * is closed.
   *
   * Errors: those of fetcher and content store; ABORTED where no reader wanted it any more.
   */
  async open(range?: ByteRange): Promise<Readable> {
    const leave = this.want();
    try {
      for (;;) {
        const file = await this.#current.promise;
        if (file === undefined) {
          const stream = await this.#options.content.open(this.descriptor, range);
          leave();
          return stream;
        }
        // Closed between the moment at which it was given and this one: something else has taken its place.
        if (!file.hold()) continue;
        try {
          await file.wait(0, { signal: this.#stop.signal });
          if (file.readable > 0 || file.size === 0) return new GrowingBlobStream(file, range, leave);
          // This reader got nothing of it, so the next try is as good as the first.
          await file.over;
        } finally {
          await file.release();
        }
      }
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #run(): Promise<void> {
    const { leases, budget, descriptor } = this.#options;
    const { signal } = this.#stop;
    try {
      await using lease = await leases.create();
      await lease.addBlob(descriptor.digest);
      const bring = async (): Promise<void> => {
        while (!(await this.#attempt()));
      };
      if (descriptor.size <= SMALL_BYTES) await bring();
      else await budget.download({ bytes: descriptor.size, signal }, bring);
    } catch (error) {
      this.#replaceCurrent().reject(error);
      throw error;
    }
  }

  /** One try to bring it; false where another one may do better. */
  async #attempt(): Promise<boolean> {
    const { content, descriptor, source, fetcher, budget } = this.#options;
    const { signal } = this.#stop;
    const writer = await content.ingest(descriptor, { signal, source });
    if (writer === undefined) {
      this.#replaceCurrent().resolve(undefined);
      return true;
    }
    await using held = writer;
    const resumed = arrivedIn(held) > 0;
    const file = await GrowingFile.open(held);
    this.#replaceCurrent().resolve(file);
    try {
      await downloadBlob({
        fetcher,
        writer: held,
        extra: budget.extra,
        signal,
        onBytes: () => undefined,
        onRetry: () => undefined,
      });
      await held.commit();
      this.#replaceCurrent().resolve(undefined);
      await file.end();
      return true;
    } catch (error) {
      const again = await this.#mayTryAgain(error, resumed);
      // Before its readers look for what comes in its place.
      const next = this.#replaceCurrent();
      if (!again) next.reject(error);
      await file.end(error);
      if (!again) throw error;
      // What came before the surplus is no better.
      await held.discard();
      return false;
    }
  }

  /** Another try may bring the right bytes; and what an earlier process left may have been damaged since. */
  async #mayTryAgain(error: unknown, resumed: boolean): Promise<boolean> {
    if (!isWrongContent(error) || this.isStopped) return false;
    return (resumed && error.retryable) || (await this.#options.fetcher.distrust(this.descriptor));
  }

  /** Replaces the file that readers wait for. */
  #replaceCurrent(): Deferred<GrowingFile | undefined> {
    const before = this.#current;
    const next = silent<GrowingFile | undefined>();
    this.#current = next;
    next.promise.then(before.resolve, before.reject);
    return next;
  }
}

/** A deferred whose failure is reported elsewhere too. */
function silent<T>(): Deferred<T> {
  const one = deferred<T>();
  one.promise.catch(() => undefined);
  return one;
}

/**
 * The bytes at the end of a blob that no reader gets before the blob is verified: a reader never has the
 * whole of a wrong blob, and nothing of a shorter one, as most manifests are.
 */
export const WITHHELD_BYTES: number = 64 * 1024;

/**
 * The file of a growing blob, for any number of readers that follow its offset. It is opened once, so that it
 * can be read on whatever happens to its name; the last reader that releases it closes it.
 */
class GrowingFile {
  readonly size: number;
  readonly #file: FileHandle;
  readonly #sharedOffset: SharedOffset;
  readonly #over = deferred<unknown>();
  #holders = 1;

  private constructor(file: FileHandle, { descriptor, shared }: IngestWriter) {
    this.#file = file;
    this.#sharedOffset = new SharedOffset(shared);
    this.size = descriptor.size;
  }

  /** Opens what a writer fills. The caller holds it, and releases it with {@link end}. */
  static async open(writer: IngestWriter): Promise<GrowingFile> {
    return new GrowingFile(await open(writer.path, 'r'), writer);
  }

  /** How many bytes may be given, from the first. */
  get readable(): number {
    if (this.#sharedOffset.state === 'complete') return this.size;
    return Math.max(0, Math.min(this.#sharedOffset.bytes, this.size - WITHHELD_BYTES));
  }

  /** Resolves when more than `after` bytes may be given, or nothing more will come. Errors: ABORTED. */
  async wait(after: number, { signal }: Abortable = {}): Promise<void> {
    while (this.readable <= after && this.#sharedOffset.state === 'growing') {
      // For the withheld bytes only the verdict matters.
      await this.#sharedOffset.wait(Math.max(after, this.#sharedOffset.bytes), { signal });
    }
  }

  /** At least a byte, at most `length`, from an offset that may be given. */
  async read(at: number, length: number): Promise<Buffer> {
    const chunk = Buffer.allocUnsafe(Math.min(length, this.readable - at));
    const { bytesRead } = await this.#file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) throw new Error(`the file of a growing blob ends at ${at}`);
    return chunk.subarray(0, bytesRead);
  }

  /** What ended it, once its writer has: undefined where it is whole. */
  get over(): Promise<unknown> {
    return this.#over.promise;
  }

  /** Keeps it open until {@link release}; false where it was closed, since no reader had it any more. */
  hold(): boolean {
    if (this.#holders === 0) return false;
    this.#holders += 1;
    return true;
  }

  async release(): Promise<void> {
    this.#holders -= 1;
    if (this.#holders === 0) await this.#file.close();
  }

  /** Its writer has ended. @param failure why it is not whole */
  async end(failure?: unknown): Promise<void> {
    this.#over.resolve(failure);
    await this.release();
  }
}

const CHUNK_BYTES = 256 * 1024;

/**
 * A blob, or a part of it, as it arrives. It fails where the blob does, so that an incomplete blob never
 * looks whole; it releases the file when it ends or is destroyed.
 */
class GrowingBlobStream extends Readable {
  readonly #file: GrowingFile;
  readonly #end: number;
  readonly #left = new AbortController();
  readonly #onClose: () => void;
  #at: number;

  /**
   * @param file kept open by this stream
   * @param range within the blob
   * @param onClose called once
   */
  constructor(file: GrowingFile, range: ByteRange | undefined, onClose: () => void) {
    super({ highWaterMark: CHUNK_BYTES });
    this.#file = file;
    this.#at = range?.offset ?? 0;
    this.#end = range?.length === undefined ? file.size : Math.min(file.size, this.#at + range.length);
    this.#onClose = onClose;
    file.hold();
  }

  override _read(): void {
    this.#next().then(
      (chunk) => this.push(chunk),
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error('the blob broke off')),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#left.abort();
    this.#onClose();
    this.#file.release().then(
      () => callback(error),
      (closing: unknown) => callback(error ?? (closing as Error)),
    );
  }

  async #next(): Promise<Buffer | null> {
    if (this.#at >= this.#end) return null;
    await this.#file.wait(this.#at, { signal: this.#left.signal });
    if (this.#file.readable <= this.#at) {
      throw new Error('the blob could not be brought whole', { cause: await this.#file.over });
    }
    const chunk = await this.#file.read(this.#at, Math.min(CHUNK_BYTES, this.#end - this.#at));
    this.#at += chunk.length;
    return chunk;
  }
}

export interface BlobFetchesOptions {
  readonly store: Pick<StoreParts, 'content' | 'leases'>;
  readonly registry: Pick<RegistryClient, 'repository'>;
  /** Bounds how many blobs are on their way at once. Without it, a budget of its own. */
  readonly budget?: PullBudget | undefined;
  /** Called for each blob that has arrived. */
  readonly onArrived: (digest: Digest) => void;
}

/** The blobs that are on their way, each once however many want it. */
export class BlobFetches {
  readonly #options: BlobFetchesOptions;
  readonly #share: ReturnType<PullBudget['share']>;
  readonly #fetches = new Map<Digest, BlobFetch>();
  /** Also those that were stopped and have not released their blob yet. */
  readonly #running = new Set<BlobFetch>();

  constructor(options: BlobFetchesOptions) {
    this.#options = options;
    this.#share = (options.budget ?? new PullBudget()).share();
  }

  /** @param source `registry/repository` */
  join(descriptor: Descriptor, source: string): BlobFetch {
    const known = this.#fetches.get(descriptor.digest);
    if (known !== undefined && !known.isStopped) return known;
    const { store, registry, onArrived } = this.#options;
    const { content, leases } = store;
    const fetcher = registry.repository(parseReference(source));
    const blobFetch = new BlobFetch({ content, leases, fetcher, descriptor, source, budget: this.#share });
    this.#fetches.set(descriptor.digest, blobFetch);
    this.#running.add(blobFetch);
    const forget = (): void => {
      this.#running.delete(blobFetch);
      if (this.#fetches.get(descriptor.digest) === blobFetch) this.#fetches.delete(descriptor.digest);
    };
    void blobFetch.done.then(() => {
      forget();
      onArrived(descriptor.digest);
    }, forget);
    return blobFetch;
  }

  /** Stops all, keeps the partial blobs, and resolves when they have released the store. */
  async close(): Promise<void> {
    for (const blobFetch of this.#running) blobFetch.stop();
    await Promise.allSettled([...this.#running].map(({ done }) => done));
  }
}

/**
 * The error for a client after a failure at an upstream. A refusal is not passed on as 401, since the client
 * would then send the upstream's credentials here. Errors of this machine are thrown on as they are.
 */
export function upstreamFault(error: unknown, missing: 'BLOB_UNKNOWN' | 'MANIFEST_UNKNOWN'): unknown {
  if (!isLandfallError(error)) return error;
  if (error instanceof TrustError) return policyFault(error);
  const { message } = error;
  switch (error.code) {
    case 'NOT_FOUND':
    case 'BLOB_NOT_FOUND':
      return new RegistryFault(404, missing, message);
    case 'UNAUTHORIZED':
    case 'DENIED':
      return new RegistryFault(403, 'DENIED', `the upstream refuses this mirror: ${message}`);
    case 'RATE_LIMITED':
      return new RegistryFault(429, 'TOOMANYREQUESTS', message, retryAfter(error));
    case 'UNAVAILABLE':
    case 'PROTOCOL':
    case 'REDIRECT_REFUSED':
    case 'DIGEST_MISMATCH':
    case 'SIZE_MISMATCH':
    case 'INVALID_MANIFEST':
    case 'INVALID_DIGEST':
    case 'LIMIT_EXCEEDED':
    case 'UNSUPPORTED_MEDIA_TYPE':
      return new RegistryFault(502, 'UNKNOWN', message);
    case 'ABORTED':
      return new RegistryFault(503, 'UNKNOWN', 'the upstream took too long, or this mirror ends');
    default:
      return error;
  }
}

/** In seconds, as the upstream asked for it. */
function retryAfter({ details }: LandfallError): Record<string, string> {
  const milliseconds = details['retryAfterMs'];
  return typeof milliseconds === 'number' ? { 'Retry-After': String(Math.ceil(milliseconds / 1000)) } : {};
}
