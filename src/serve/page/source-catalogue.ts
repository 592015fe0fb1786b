import { buffer } from 'node:stream/consumers';

import { type BlobProvider, type DocumentFacts, ReferrerFinder } from '../../content/index.js';
import { readDocument } from '../../content/read-document.js';
import { isLandfallError } from '../../errors.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageManifest,
  isConfigType,
  isIndexType,
  isManifestType,
  LIMITS,
  parseImageConfig,
  platformOf,
} from '../../spec/index.js';
import type { ServeSource } from '../serve-source.js';
import { type Catalogue, makeCatalogue, type NamedImage } from './catalogue.js';
import { referrerKind } from './referrer-kind.js';
import type { CatalogueSource } from './store-catalogue.js';

/** The catalogue of a source that has no database, such as a layout: documents and configs are read, once each. */
export class SourceCatalogue implements CatalogueSource {
  readonly #source: ServeSource;
  readonly #finder: ReferrerFinder;
  readonly #facts = new Map<Digest, DocumentFacts>();
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
      documents: this.#facts,
      describe: async (digest) => {
        const type = (await this.#finder.describe(digest))?.artifactType;
        return type === undefined ? undefined : { kind: referrerKind(type), type };
      },
    });
  }

  async #read(descriptor: Descriptor, depth = 0): Promise<void> {
    const { digest, mediaType } = descriptor;
    if (this.#facts.has(digest) || depth > LIMITS.indexDepth) return;
    if (!isIndexType(mediaType) && !isManifestType(mediaType)) return;
    const found = await readDocument(this.#source.blobs, digest, mediaType);
    if (found === undefined) return;
    const { document } = found;
    const platform = document.kind === 'index' ? undefined : await platformIn(this.#source.blobs, document);
    const subject = document.subject?.digest;
    this.#facts.set(digest, {
      digest,
      mediaType,
      ...(subject === undefined ? {} : { subject }),
      ...(platform === undefined ? {} : { platform }),
      children: childrenOf(document).map((child) => ({ digest: child.digest, size: child.size })),
      chainIds: [],
    });
    if (document.kind === 'index') for (const child of document.manifests) await this.#read(child, depth + 1);
  }
}

/** Undefined for what is no image that could run. */
async function platformIn(blobs: BlobProvider, { config }: ImageManifest): Promise<string | undefined> {
  if (!isConfigType(config.mediaType) || config.size > LIMITS.configBytes) return undefined;
  try {
    const platform = platformOf(parseImageConfig(await buffer(await blobs.open(config))));
    return platform.os === 'unknown' || platform.architecture === 'unknown'
      ? undefined
      : formatPlatform(platform);
  } catch (error) {
    if (isLandfallError(error)) return undefined;
    throw error;
  }
}
