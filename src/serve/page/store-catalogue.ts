import { type DocumentStore, type ImageCatalog, ReferrerFinder } from '../../content/index.js';
import type { BlobProvider } from '../../content/index.js';
import { integerOf, type MetadataDatabase, optionalIntegerOf } from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import { type Catalogue, makeCatalogue } from './catalogue.js';
import { type ReferrerKind, referrerKind } from './referrer-kind.js';

/** Where a page has its catalogue from. */
export interface CatalogueSource {
  catalogue(): Promise<Catalogue>;
}

export interface StoreCatalogueOptions {
  readonly database: MetadataDatabase;
  /** Those of the store, and of stores that are additional to it. */
  readonly documents: readonly Pick<DocumentStore, 'all'>[];
  readonly images: ImageCatalog;
  readonly content: BlobProvider;
  /** Milliseconds since whenever. Default: the clock. */
  readonly now?: () => number;
}

/** What takes longer than this to be made, in ms, is not made anew for so many times as long, whatever changes. */
const LONG_MS = 200;
const REST_FACTOR = 20;

/** What changes when a name or what is known of a document does. Using an image does not. */
const VERSION = `
SELECT (SELECT count(*) FROM images) AS images, (SELECT max(updated_at) FROM images) AS updated,
  (SELECT count(*) FROM documents) AS documents, (SELECT max(id) FROM documents) AS last`;

/** The catalogue of a store: one look at its database, as long as nothing changes; no image is read. */
export class StoreCatalogue implements CatalogueSource {
  readonly #options: StoreCatalogueOptions;
  readonly #finder: ReferrerFinder;
  /** What referrers are does not change. */
  readonly #described = new Map<Digest, { kind: ReferrerKind; type: string }>();
  #made: { readonly version: string; readonly catalogue: Promise<Catalogue> } | undefined;
  /** Until then what was made is good enough: making it holds up all else that the process does. */
  #restUntil = Number.NEGATIVE_INFINITY;

  constructor(options: StoreCatalogueOptions) {
    this.#options = options;
    this.#finder = new ReferrerFinder(options.content);
  }

  async catalogue(): Promise<Catalogue> {
    if (this.#made !== undefined && this.#now() < this.#restUntil) return await this.#made.catalogue;
    const version = await this.#version();
    if (this.#made?.version === version) return await this.#made.catalogue;
    const made = { version, catalogue: this.#make() };
    this.#made = made;
    try {
      return await made.catalogue;
    } catch (error) {
      // Not remembered: the next one may do better.
      if (this.#made === made) this.#made = undefined;
      throw error;
    }
  }

  async #version(): Promise<string> {
    const row = await this.#options.database.get(VERSION);
    if (row === undefined) return '';
    return [
      integerOf(row, 'images'),
      optionalIntegerOf(row, 'updated'),
      integerOf(row, 'documents'),
      optionalIntegerOf(row, 'last'),
    ].join(' ');
  }

  async #make(): Promise<Catalogue> {
    const { images, documents } = this.#options;
    const begun = this.#now();
    const [named, ...facts] = await Promise.all([images.list(), ...documents.map((one) => one.all())]);
    const catalogue = await makeCatalogue({
      images: named.map(({ name, target, updatedAt }) => ({ name, target, since: updatedAt })),
      // Of what several have, each knows the same.
      documents: new Map(facts.flatMap((all) => [...all])),
      describe: (digest) => this.#describe(digest),
    });
    const now = this.#now();
    if (now - begun > LONG_MS) this.#restUntil = now + (now - begun) * REST_FACTOR;
    return catalogue;
  }

  #now(): number {
    return this.#options.now?.() ?? performance.now();
  }

  async #describe(digest: Digest): Promise<{ kind: ReferrerKind; type: string } | undefined> {
    const known = this.#described.get(digest);
    if (known !== undefined) return known;
    const type = (await this.#finder.describe(digest))?.artifactType;
    if (type === undefined) return undefined;
    const described = { kind: referrerKind(type), type };
    this.#described.set(digest, described);
    return described;
  }
}
