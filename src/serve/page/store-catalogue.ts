import { buffer } from 'node:stream/consumers';
import {
  type BlobProvider,
  type ManifestInfo,
  type ManifestStore,
  type ImageCatalog,
  readManifestBlob,
  ReferrerFinder,
} from '../../content/index.js';
import { infoOf } from '../../engine/images/image.js';
import { isLandfallError } from '../../errors.js';
import { type MetadataDatabase, textOf } from '../../metadata/index.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageConfig,
  isConfigType,
  isIndexType,
  isManifestType,
  isRunnablePlatform,
  LIMITS,
  parseDigest,
  parseImageConfig,
  platformOf,
} from '../../spec/index.js';
import type { ServeSource } from '../pull/serve-source.js';
import {
  type Catalogue,
  type DescribedReferrer,
  makeCatalogue,
  type NamedImage,
  referrerKind,
} from './catalogue.js';

/** Where a page has its catalogue from. */
export interface CatalogueSource {
  catalogue(): Promise<Catalogue>;
}

export interface StoreCatalogueOptions {
  readonly database: MetadataDatabase;
  /** Those of the store, and of stores that are additional to it. */
  readonly documents: readonly Pick<ManifestStore, 'all'>[];
  readonly images: ImageCatalog;
  readonly content: BlobProvider;
  /** Milliseconds since whenever. Default: the clock. */
  readonly now?: () => number;
}

/**
 * What takes longer than this to be made, in ms, is not made anew for so many times as long, whatever
 * changes.
 */
const LONG_MS = 200;
const REST_FACTOR = 20;

/** Changes when a name, the info of a manifest or a verification does. Using an image does not change it. */
const VERSION = `
SELECT (SELECT count(*) FROM images) AS images, (SELECT max(updated_at) FROM images) AS updated,
  (SELECT count(*) FROM documents) AS documents, (SELECT max(id) FROM documents) AS last,
  (SELECT count(*) FROM verifications) AS verified`;
const VERIFIED = 'SELECT DISTINCT signature FROM verifications';

/** The catalogue of a store: one look at its database, as long as nothing changes; no image is read. */
export class StoreCatalogue implements CatalogueSource {
  readonly #options: StoreCatalogueOptions;
  readonly #finder: ReferrerFinder;
  /** What referrers are does not change. */
  readonly #described = new Map<Digest, DescribedReferrer>();
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
    return JSON.stringify(await this.#options.database.get(VERSION));
  }

  async #make(): Promise<Catalogue> {
    const { images, documents } = this.#options;
    const begun = this.#now();
    const [named, ...info] = await Promise.all([images.list(), ...documents.map((one) => one.all())]);
    const rows = await this.#options.database.all(VERIFIED);
    const catalogue = await makeCatalogue({
      images: named.map(({ name, target, updatedAt }) => ({ name, target, since: updatedAt })),
      // Of what several have, each knows the same.
      documents: new Map(info.flatMap((all) => [...all])),
      describe: (digest) => this.#describe(digest),
      verified: new Set(rows.map((row) => parseDigest(textOf(row, 'signature')))),
    });
    const now = this.#now();
    if (now - begun > LONG_MS) this.#restUntil = now + (now - begun) * REST_FACTOR;
    return catalogue;
  }

  #now(): number {
    return this.#options.now?.() ?? performance.now();
  }

  async #describe(digest: Digest): Promise<DescribedReferrer | undefined> {
    const known = this.#described.get(digest) ?? (await describe(this.#finder, digest));
    if (known !== undefined) this.#described.set(digest, known);
    return known;
  }
}

async function describe(finder: ReferrerFinder, digest: Digest): Promise<DescribedReferrer | undefined> {
  const type = (await finder.describe(digest))?.artifactType;
  return type === undefined ? undefined : { kind: referrerKind(type), type };
}

/**
 * The catalogue of a source that has no database, such as a layout: documents and configs are read, once
 * each.
 */
export class SourceCatalogue implements CatalogueSource {
  readonly #source: ServeSource;
  readonly #finder: ReferrerFinder;
  readonly #info = new Map<Digest, ManifestInfo>();
  #made: { readonly version: string; readonly catalogue: Promise<Catalogue> } | undefined;

  constructor(source: ServeSource) {
    this.#source = source;
    this.#finder = new ReferrerFinder(source.blobs);
  }

  async catalogue(): Promise<Catalogue> {
    const { images, others } = await this.#list();
    const version = [
      ...images.map(({ name }) => name),
      ...[...images.map(({ target }) => target), ...others].map(({ digest }) => digest),
    ].join(' ');
    if (this.#made?.version !== version) this.#made = { version, catalogue: this.#make(images, others) };
    return await this.#made.catalogue;
  }

  /** What has a name, and what has none and may still refer to something that has one. */
  async #list(): Promise<{ images: readonly NamedImage[]; others: readonly Descriptor[] }> {
    const images: NamedImage[] = [];
    const others: Descriptor[] = [];
    for (const repository of await this.#source.repositories()) {
      const named = new Set<Digest>();
      for (const tag of (await this.#source.tags(repository)) ?? []) {
        const target = await this.#source.resolve(repository, tag);
        if (target === undefined) continue;
        named.add(target.digest);
        images.push({ name: `${repository}:${tag}`, target });
      }
      const rest = (await this.#source.targets(repository)).filter(({ digest }) => !named.has(digest));
      others.push(...rest);
    }
    return { images, others };
  }

  async #make(images: readonly NamedImage[], others: readonly Descriptor[]): Promise<Catalogue> {
    for (const target of [...images.map((image) => image.target), ...others]) await this.#read(target);
    return await makeCatalogue({
      images,
      documents: this.#info,
      describe: (digest) => describe(this.#finder, digest),
    });
  }

  async #read(descriptor: Descriptor, depth = 0): Promise<void> {
    const { digest, mediaType } = descriptor;
    if (this.#info.has(digest) || depth > LIMITS.indexDepth) return;
    if (!isIndexType(mediaType) && !isManifestType(mediaType)) return;
    const found = await readManifestBlob(this.#source.blobs, digest, mediaType);
    if (found === undefined) return;
    const { manifest: document } = found;
    const config =
      document.kind === 'index' ? undefined : await readConfig(this.#source.blobs, document.config);
    this.#info.set(digest, { ...infoOf(descriptor, document), platform: runsOn(config) });
    if (document.kind === 'index') for (const child of document.manifests) await this.#read(child, depth + 1);
  }
}

/** The platform of a config, as text; undefined for an artifact, and for what is not for running. */
export function runsOn(config: ImageConfig | undefined): string | undefined {
  const platform = config && platformOf(config);
  return platform !== undefined && isRunnablePlatform(platform) ? formatPlatform(platform) : undefined;
}

/** Reads the config of an image; undefined where it is not here, or is not an image's. */
export async function readConfig(blobs: BlobProvider, config: Descriptor): Promise<ImageConfig | undefined> {
  if (!isConfigType(config.mediaType) || config.size > LIMITS.configBytes) return undefined;
  try {
    if ((await blobs.info(config.digest)) === undefined) return undefined;
    return parseImageConfig(await buffer(await blobs.open(config)));
  } catch (error) {
    if (isLandfallError(error)) return undefined;
    throw error;
  }
}
