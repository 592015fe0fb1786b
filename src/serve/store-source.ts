import {
  type BlobInfo,
  type BlobProvider,
  type DocumentStore,
  type ImageCatalog,
  imagesListing,
  isDeletedFrom,
  isPushedTo,
  tagTable,
  type TagTable,
} from '../content/index.js';
import { KeptSignatures, signedByTag } from '../engine/trust/kept-signatures.js';
import type { MetadataDatabase } from '../metadata/index.js';
import { type Descriptor, type Digest, parseReference, repositoryName } from '../spec/index.js';
import type { ServeSource } from './serve-source.js';

export interface StoreSourceOptions {
  readonly images: ImageCatalog;
  readonly content: BlobProvider;
  /** Blobs that are fetched back when they are asked for; see RestoringBlobs. */
  readonly restoring?: BlobProvider;
  /** What the store has on record of its manifests; absent where only their bodies say what they are. */
  readonly records?: {
    readonly documents: DocumentStore;
    readonly database: MetadataDatabase;
    /**
     * Whether a repository has only the manifests that it names, that these list, or that were pushed to it: who pushes asks
     * first what is there already. Default: it has all manifests of the store.
     */
    readonly ownManifests?: boolean;
  };
}

/** The images of a store, under their own names. */
export class StoreSource implements ServeSource {
  readonly blobs: BlobProvider;
  readonly restoring: BlobProvider;
  readonly #images: StoreSourceOptions['images'];
  readonly #records: StoreSourceOptions['records'];

  constructor(options: StoreSourceOptions) {
    this.blobs = options.content;
    this.restoring = options.restoring ?? options.content;
    this.#images = options.images;
    this.#records = options.records;
  }

  async resolve(repository: string, tag: string): Promise<Descriptor | undefined> {
    const named = (await this.#images.get(`${repository}:${tag}`))?.target;
    if (named !== undefined) return named;
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
    return images
      .filter(({ name }) => repositoryName(parseReference(name)) === repository)
      .map(({ target }) => target);
  }

  async repositories(): Promise<readonly string[]> {
    return [...(await this.#table()).keys()];
  }

  async isWithheld(repository: string, blob: BlobInfo): Promise<boolean> {
    if (!isDeletedFrom(blob, repository) || this.#records === undefined) return false;
    // An image that came since by another way needs it, and must be whole.
    return !(await this.#isListed(repository, blob.digest));
  }

  async hasManifest(repository: string, manifest: BlobInfo): Promise<boolean> {
    if (this.#records?.ownManifests !== true || isPushedTo(manifest, repository)) return true;
    return await this.#isListed(repository, manifest.digest);
  }

  async mediaTypeOf(digest: Digest): Promise<string | undefined> {
    return (await this.#records?.documents.get(digest))?.mediaType;
  }

  /** Signatures without a name, of what a repository has; undefined where a repository has only what was pushed to it. */
  async #keptFor(repository: string, subject: Digest): Promise<KeptSignatures | undefined> {
    const records = this.#records;
    if (records === undefined || records.ownManifests === true) return undefined;
    if (!(await this.#isListed(repository, subject))) return undefined;
    const { documents } = records;
    return new KeptSignatures({ root: '', content: this.blobs, documents, catalog: this.#images });
  }

  /** Whether an image of a repository is, or lists, a blob. */
  async #isListed(repository: string, digest: Digest): Promise<boolean> {
    if (this.#records === undefined) return false;
    const names = await imagesListing(this.#records.database, digest);
    return names.some((name) => repositoryName(parseReference(name)) === repository);
  }

  async #table(): Promise<TagTable> {
    const images = await this.#images.list();
    return tagTable(images.map(({ name, target }) => ({ reference: parseReference(name), target })));
  }
}
