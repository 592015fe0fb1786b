import type { BlobProvider, ImageCatalog } from '../content/index.js';
import { type Descriptor, parseReference, repositoryName } from '../spec/index.js';
import type { ServeSource } from './serve-source.js';
import { tagTable, type TagTable } from './tag-table.js';

export interface StoreSourceOptions {
  readonly images: ImageCatalog;
  readonly content: BlobProvider;
  /** Blobs that are fetched back when they are asked for; see RestoringBlobs. */
  readonly restoring?: BlobProvider;
}

/** The images of a store, under their own names. */
export class StoreSource implements ServeSource {
  readonly blobs: BlobProvider;
  readonly restoring: BlobProvider;
  readonly #images: StoreSourceOptions['images'];

  constructor(options: StoreSourceOptions) {
    this.blobs = options.content;
    this.restoring = options.restoring ?? options.content;
    this.#images = options.images;
  }

  async resolve(repository: string, tag: string): Promise<Descriptor | undefined> {
    return (await this.#images.get(`${repository}:${tag}`))?.target;
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

  async #table(): Promise<TagTable> {
    const images = await this.#images.list();
    return tagTable(images.map(({ name, target }) => ({ reference: parseReference(name), target })));
  }
}
