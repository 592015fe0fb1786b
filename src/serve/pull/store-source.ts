import type { Readable } from 'node:stream';
import { SingleFlight } from '../../concurrency/index.js';
import {
  type BlobInfo,
  type BlobProvider,
  type ByteRange,
  type DiscardedBlob,
  type ManifestStore,
  type ImageCatalog,
  imagesListing,
  repositoryState,
  tagTable,
  type TagTable,
} from '../../content/index.js';
import { restoreBlobs } from '../../engine/pull/restore-blobs.js';
import type { Store, StoreParts } from '../../engine/store.js';
import { KeptSignatures, signedByTag } from '../../engine/trust/signature-sources.js';
import { type ErrorCode, LandfallError } from '../../errors.js';
import type { MetadataDatabase } from '../../metadata/index.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, parseReference, repositoryName } from '../../spec/index.js';
import { RegistryFault } from '../http/answer.js';
import type { ServeSource } from './serve-source.js';

export interface StoreSourceOptions {
  readonly images: ImageCatalog;
  readonly content: BlobProvider;
  /** Blobs that are fetched back when they are asked for; see RestoringBlobs. */
  readonly restoring?: BlobProvider;
  /** What the store has on record of its manifests; absent where only their bodies say what they are. */
  readonly records?: {
    readonly manifests: ManifestStore;
    readonly database: MetadataDatabase;
    readonly additional?: StoreParts['additional'] | undefined;
    /**
     * Whether a repository has only the manifests that it names, that these list, or that were pushed to it:
     * a client asks first what is there already. Default: it has all manifests of the store.
     */
    readonly ownManifests?: boolean;
  };
  /** Default: everything is given. */
  readonly admission?: ReadAdmission | undefined;
}

/** Refuses what a signature policy does not let clients have. Errors of both: RegistryFault 403 DENIED. */
export interface ReadAdmission {
  admitTag(repository: string, tag: string, target: Descriptor): Promise<void>;
  admitBlob(repository: string, digest: Digest): Promise<void>;
}

/** The images of a store, under their own names. */
export class StoreSource implements ServeSource {
  readonly blobs: BlobProvider;
  readonly restoring: BlobProvider;
  readonly #images: StoreSourceOptions['images'];
  readonly #records: StoreSourceOptions['records'];
  readonly #admission: ReadAdmission | undefined;

  constructor(options: StoreSourceOptions) {
    this.blobs = options.content;
    this.restoring = options.restoring ?? options.content;
    this.#images = options.images;
    this.#records = options.records;
    this.#admission = options.admission;
  }

  async resolve(repository: string, tag: string): Promise<Descriptor | undefined> {
    const named = (await this.#images.get(`${repository}:${tag}`))?.target;
    if (named !== undefined) {
      await this.#admission?.admitTag(repository, tag, named);
      return named;
    }
    const subject = signedByTag(tag);
    if (subject === undefined) return undefined;
    return await (await this.#keptFor(repository, subject))?.tagged(subject);
  }

  async keptBeside(repository: string, subject: Digest): Promise<readonly Descriptor[]> {
    const kept = await this.#keptFor(repository, subject);
    const found: Descriptor[] = [];
    for await (const descriptor of kept?.referrers(subject) ?? []) found.push(descriptor);
    return found;
  }

  async tags(repository: string): Promise<readonly string[] | undefined> {
    const tags = (await this.#table()).get(repository);
    return tags === undefined ? undefined : [...tags.keys()];
  }

  async targets(repository: string): Promise<readonly Descriptor[]> {
    const images = await this.#images.list();
    return images.filter(({ name }) => isIn(repository, name)).map(({ target }) => target);
  }

  async repositories(): Promise<readonly string[]> {
    return [...(await this.#table()).keys()];
  }

  async isWithheld(repository: string, blob: Digest): Promise<boolean> {
    const records = this.#records;
    if (records === undefined || (await repositoryState(records, blob, repository)) !== 'deleted')
      return false;
    // An image that came since by another way needs it, and must be whole.
    return !(await isListedIn(records.database, repository, blob));
  }

  async hasManifest(repository: string, manifest: Digest): Promise<boolean> {
    const records = this.#records;
    if (records?.ownManifests !== true) return true;
    if ((await repositoryState(records, manifest, repository)) === 'pushed') return true;
    return await isListedIn(records.database, repository, manifest);
  }

  async admitBlob(repository: string, digest: Digest): Promise<void> {
    await this.#admission?.admitBlob(repository, digest);
  }

  async mediaTypeOf(digest: Digest): Promise<string | undefined> {
    return (await this.#records?.manifests.get(digest))?.mediaType;
  }

  /**
   * Signatures without a name, of what a repository has; undefined where a repository has only what was
   * pushed to it.
   */
  async #keptFor(repository: string, subject: Digest): Promise<KeptSignatures | undefined> {
    const records = this.#records;
    if (records === undefined || records.ownManifests === true) return undefined;
    const { manifests, database } = records;
    if (!(await isListedIn(database, repository, subject))) return undefined;
    return new KeptSignatures({ root: '', content: this.blobs, manifests, catalog: this.#images });
  }

  async #table(): Promise<TagTable> {
    const images = await this.#images.list();
    return tagTable(images.map(({ name, target }) => ({ reference: parseReference(name), target })));
  }
}

/** Whether an image of a repository is, or lists, a blob. */
export async function isListedIn(
  database: MetadataDatabase,
  repository: string,
  digest: Digest,
): Promise<boolean> {
  return (await imagesListing(database, digest)).some((name) => isIn(repository, name));
}

/** @param name canonical, of an image */
export function isIn(repository: string, name: string): boolean {
  return repositoryName(parseReference(name)) === repository;
}

/**
 * The images of a store, to be served; layers whose blobs were discarded are fetched back when a client asks
 * for them.
 */
export function sourceOfStore(
  store: Store,
  registry: RegistryClient,
  {
    signal,
    writable,
    admission,
  }: {
    readonly signal: AbortSignal;
    readonly writable: boolean;
    readonly admission?: ReadAdmission | undefined;
  },
): StoreSource {
  const { catalog: images, content, manifests, database, additional } = store;
  const restoring = new RestoringBlobs({
    blobs: content,
    discarded: store.discarded,
    restore: (descriptor) => restoreBlobs(store, registry, [descriptor], { signal }),
  });
  return new StoreSource({
    images,
    content,
    restoring,
    records: { manifests, database, additional, ownManifests: writable },
    admission,
  });
}

export interface RestoringBlobsOptions {
  /** What is here. */
  readonly blobs: BlobProvider;
  /** What is not here because it was dropped on purpose. */
  readonly discarded: { get(digest: Digest): Promise<DiscardedBlob | undefined> };
  /** Brings a discarded blob back, or says why it cannot. */
  readonly restore: (descriptor: Descriptor) => Promise<void>;
}

/**
 * Blobs that are fetched back when they are opened, should they have been discarded. However many clients
 * want a blob, it is fetched once, and the fetch goes on when a client has gone.
 */
export class RestoringBlobs implements BlobProvider {
  readonly #options: RestoringBlobsOptions;
  readonly #restoring = new SingleFlight<Digest, void>();

  constructor(options: RestoringBlobsOptions) {
    this.#options = options;
  }

  async info(digest: Digest): Promise<BlobInfo | undefined> {
    const { blobs, discarded } = this.#options;
    const here = await blobs.info(digest);
    if (here !== undefined) return here;
    const blob = await discarded.get(digest);
    return blob === undefined
      ? undefined
      : { digest, size: blob.size, createdAt: blob.discardedAt, labels: {} };
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    await this.#bringBack(descriptor);
    return await this.#options.blobs.open(descriptor, range);
  }

  async path(digest: Digest): Promise<string> {
    const info = await this.info(digest);
    if (info !== undefined) {
      await this.#bringBack({ mediaType: 'application/octet-stream', digest, size: info.size });
    }
    return await this.#options.blobs.path(digest);
  }

  async #bringBack(descriptor: Descriptor): Promise<void> {
    const { digest } = descriptor;
    if ((await this.#options.blobs.info(digest)) !== undefined) return;
    try {
      await this.#restoring.run(digest, () => this.#options.restore(descriptor));
    } catch (error) {
      throw faultOf(error);
    }
  }
}

/** Failures of the registry that a blob came from. All others are this machine's. */
const REMOTE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'UNAUTHORIZED',
  'DENIED',
  'RATE_LIMITED',
  'UNAVAILABLE',
  'PROTOCOL',
  'REDIRECT_REFUSED',
  'DIGEST_MISMATCH',
  'SIZE_MISMATCH',
]);

function faultOf(error: unknown): unknown {
  if (!(error instanceof LandfallError)) return error;
  const { code, message } = error as LandfallError;
  if (code === 'BLOB_NOT_FOUND' || code === 'NOT_FOUND') {
    return new RegistryFault(404, 'BLOB_UNKNOWN', message);
  }
  return REMOTE.has(code) ? new RegistryFault(502, 'UNKNOWN', message) : error;
}
