import { type Deferred, deferred, Limiter } from '../../concurrency/index.js';
import type { BlobProvider, ContentStore, IngestWriter, Lease } from '../../content/index.js';
import { type Abortable, ContentError, isWrongContent, LandfallError, throwIfAborted } from '../../errors.js';
import type { Fetcher } from '../../registry/index.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import type { LayerSource } from '../../unpack/index.js';
import { digestIn } from '../images/read-manifest.js';
import { arrivedIn, downloadBlob } from './blob-download.js';
import type { BudgetShare } from './pull-budget.js';
import type { BlobRole, PullEventBody } from './pull-report.js';

export interface BlobDownloadsOptions extends Abortable {
  readonly content: ContentStore;
  readonly fetcher: Fetcher;
  readonly lease: Lease;
  /** `registry/repository`, recorded with each blob. */
  readonly source: string;
  /** Bounds how many layers are on their way at once. */
  readonly budget: BudgetShare;
  readonly onEvent?: ((event: PullEventBody) => void) | undefined;
}

/**
 * A blob that is downloaded: `readable` settles when its bytes can be read up to its offset, which grows; `done`
 * when it is verified.
 */
export interface BlobDownload {
  readonly descriptor: Descriptor;
  readonly readable: Promise<LayerSource>;
  readonly done: Promise<void>;
}

/** What is small, and waited for before anything else can go on. */
const DOCUMENTS: ReadonlySet<BlobRole> = new Set(['index', 'manifest', 'config']);

/** Manifests and configs that are on their way at once: they never wait behind a layer. */
const DOCUMENT_CONCURRENCY = 8;

/** Progress of a blob is reported at most so often, in ms. */
const PROGRESS_INTERVAL_MS = 50;

/**
 * Brings the blobs of one image into the content store, each once however often the image names it. A
 * download that breaks goes on with what is missing; a blob that is here already costs no request.
 */
export class BlobDownloads {
  readonly #options: BlobDownloadsOptions;
  readonly #downloads = new Map<Digest, BlobDownload>();
  readonly #manifests = new Limiter(DOCUMENT_CONCURRENCY);
  #bytesDownloaded = 0;

  constructor(options: BlobDownloadsOptions) {
    this.#options = options;
  }

  /** Bytes that came over the network for blobs, those of broken attempts included. */
  get bytesDownloaded(): number {
    return this.#bytesDownloaded;
  }

  /** Begins the arrival of a blob, or joins the one under way. */
  start(descriptor: Descriptor, role: BlobRole): BlobDownload {
    const known = this.#downloads.get(descriptor.digest);
    if (known !== undefined) return known;
    const readable = deferred<LayerSource>();
    const arrive = (): Promise<void> => this.#arrive(descriptor, role, readable);
    const { budget, signal } = this.#options;
    const done = DOCUMENTS.has(role)
      ? this.#manifests.run(arrive, { signal })
      : budget.download({ bytes: descriptor.size, signal }, arrive);
    done.catch(readable.reject);
    // A rejection that nothing awaits must not end the process: the pull reports the first failure itself.
    readable.promise.catch(() => undefined);
    const download = { descriptor, readable: readable.promise, done };
    this.#downloads.set(descriptor.digest, download);
    this.#emit(descriptor, role, 'waiting', 0);
    return download;
  }

  /**
   * Fetches a blob again that is here and turned out to be damaged.
   *
   * @throws as its arrival; ContentError FILESYSTEM
   */
  async renew(descriptor: Descriptor, role: BlobRole): Promise<void> {
    try {
      await this.#options.content.delete(descriptor.digest);
    } catch (error) {
      // Another pull or process has begun to bring it, and is joined.
      if (!(error instanceof LandfallError) || error.code !== 'IN_USE') throw error;
    }
    this.#downloads.delete(descriptor.digest);
    await this.start(descriptor, role).done;
  }

  /** Waits until nothing is on its way any more, whatever became of it. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#downloads.values()].map((download) => download.done));
  }

  async #arrive(descriptor: Descriptor, role: BlobRole, readable: Deferred<LayerSource>): Promise<void> {
    const { lease, signal } = this.#options;
    throwIfAborted(signal);
    // Leased before it is looked for, so that no garbage collection comes between the look and the use.
    await lease.addBlob(descriptor.digest);
    // Wrong bytes are fetched again for as long as a host is left that may have the right ones.
    for (let from: Deferred<LayerSource> | Deferred<LayerSource | undefined> = readable; ;) {
      const next = deferred<LayerSource | undefined>();
      next.promise.catch(() => undefined);
      try {
        const outcome = await this.#attempt(descriptor, role, { readable: from, next: next.promise });
        if (outcome === 'here') {
          next.resolve(undefined);
          return;
        }
        // Readers behind the offset learn of the new one from the old one.
        if (outcome === 'was read') from = next;
      } catch (error) {
        from.reject(error);
        next.resolve(undefined);
        throw error;
      }
    }
  }

  /**
   * One try to bring a blob. Where its bytes were wrong and others can be had, it tells whether somebody
   * may have read them.
   */
  async #attempt(
    descriptor: Descriptor,
    role: BlobRole,
    { readable, next }: DownloadReaders,
  ): Promise<'here' | 'was read' | 'was not read'> {
    const { content, fetcher, signal, source } = this.#options;
    const writer = await content.ingest(descriptor, {
      signal,
      source,
      onWait: ({ bytes }) => this.#emit(descriptor, role, 'elsewhere', Math.min(bytes, descriptor.size)),
    });
    if (writer === undefined) {
      this.#emit(descriptor, role, 'present', descriptor.size);
      const renew = (): Promise<void> => this.renew(descriptor, role);
      readable.resolve(await presentLayer(content, descriptor, { signal, renew }));
      return 'here';
    }
    await using held = writer;
    // What an earlier process left may have been damaged by a power cut, so its part is no fault of a host.
    const resumed = arrivedIn(held) > 0;
    try {
      await this.#download(held, { role, readable, next });
      return 'here';
    } catch (error) {
      if (!isWrongContent(error)) throw error;
      const again = (resumed && error.retryable) || (await fetcher.distrust(descriptor));
      if (!again) throw error;
      // What came before the surplus is no better.
      await held.discard();
      return resumed ? 'was not read' : 'was read';
    }
  }

  async #download(
    writer: IngestWriter,
    { role, readable, next }: DownloadReaders & { readonly role: BlobRole },
  ): Promise<void> {
    const { descriptor } = writer;
    const verified = deferred<undefined>();
    verified.promise.catch(() => undefined);
    // What an earlier process left behind may turn out wrong and be fetched again, so it is not read before.
    const resumed = arrivedIn(writer) > 0;
    if (!resumed) {
      const { path, committedPath, shared } = writer;
      readable.resolve({
        path,
        committedPath,
        shared,
        verified: verified.promise,
        replacement: () => next,
      });
    }
    try {
      await this.#transfer(writer, role);
      await writer.commit();
    } catch (error) {
      verified.reject(error);
      throw error;
    }
    verified.resolve(undefined);
    this.#emit(descriptor, role, 'done', descriptor.size);
    if (resumed) {
      const path = await this.#options.content.path(descriptor.digest);
      readable.resolve({ path, verified: Promise.resolve() });
    }
  }

  async #transfer(writer: IngestWriter, role: BlobRole): Promise<void> {
    const { fetcher, budget, signal } = this.#options;
    const { descriptor } = writer;
    let arrived = arrivedIn(writer);
    let reported = 0;
    const emit = (state: 'downloading' | 'retrying'): void =>
      this.#emit(descriptor, role, state, Math.min(arrived, descriptor.size));
    emit('downloading');
    await downloadBlob({
      fetcher,
      writer,
      signal,
      extra: DOCUMENTS.has(role) ? undefined : budget.extra,
      onBytes: (bytes) => {
        this.#bytesDownloaded += bytes;
        arrived += bytes;
        const now = performance.now();
        if (now - reported < PROGRESS_INTERVAL_MS) return;
        reported = now;
        emit('downloading');
      },
      onRetry: () => emit('retrying'),
    });
  }

  #emit(
    { digest, size }: Descriptor,
    role: BlobRole,
    state: Extract<PullEventBody, { type: 'blob' }>['state'],
    bytes: number,
  ): void {
    this.#options.onEvent?.({ type: 'blob', role, digest, size, state, bytes });
  }
}

/**
 * The bytes that readers behind the offset wait for, and the bytes that replace them where they are wrong.
 */
interface DownloadReaders {
  readonly readable: Pick<Deferred<LayerSource>, 'resolve'>;
  readonly next: Promise<LayerSource | undefined>;
}

/**
 * A layer whose blob is here already, to be unpacked. It may have been damaged since it came, so it is
 * digested once more beside the unpacking, and fetched anew by `renew` if it turns out wrong; only if it is
 * unpacked at all.
 */
async function presentLayer(
  content: BlobProvider,
  descriptor: Descriptor,
  o: Abortable & { readonly renew: () => Promise<void> },
): Promise<LayerSource> {
  let verified: Promise<void> | undefined;
  return {
    path: await content.path(descriptor.digest),
    get verified() {
      return (verified ??= verify(content, descriptor, o));
    },
    replacement: async () => {
      await o.renew();
      return { path: await content.path(descriptor.digest), verified: Promise.resolve() };
    },
  };
}

async function verify(content: BlobProvider, descriptor: Descriptor, o: Abortable): Promise<void> {
  const { digest } = descriptor;
  const actual = await digestIn(content, descriptor, o);
  if (actual === digest) return;
  throw new ContentError('DIGEST_MISMATCH', `blob ${digest} reads as ${actual}`, {
    hint: 'The stored blob is damaged: run `landfall fsck --repair`.',
    details: { digest, expected: digest, actual },
  });
}
