import {
  type BlobProvider,
  namedEntries,
  type NamedEntry,
  type OciLayout,
  tagTable,
  type TagTable,
} from '../../content/index.js';
import { type Descriptor, type Reference, repositoryName } from '../../spec/index.js';
import type { ServeSource } from './serve-source.js';

/**
 * The images of an OCI layout directory (image-spec: image-layout.md), which is only read, under the names
 * that {@link namedEntries} finds.
 */
export class LayoutSource implements ServeSource {
  readonly blobs: BlobProvider;
  readonly #layout: Pick<OciLayout, 'index'>;
  readonly #directory: string;

  /** @param directory the layout's directory, for its name */
  constructor(layout: Pick<OciLayout, 'index' | 'verified'>, directory: string) {
    this.blobs = layout.verified;
    this.#layout = layout;
    this.#directory = directory;
  }

  async resolve(repository: string, tag: string): Promise<Descriptor | undefined> {
    return (await this.#table()).get(repository)?.get(tag);
  }

  async tags(repository: string): Promise<readonly string[] | undefined> {
    const tags = (await this.#table()).get(repository);
    return tags === undefined ? undefined : [...tags.keys()];
  }

  /**
   * What has no name here belongs to every repository, as it can be had by digest from every one: so oras
   * keeps referrers.
   */
  async targets(repository: string): Promise<readonly Descriptor[]> {
    const named = await this.#named();
    return named
      .filter(({ reference }) => reference === undefined || repositoryName(reference) === repository)
      .map(({ target }) => target);
  }

  async repositories(): Promise<readonly string[]> {
    return [...(await this.#table()).keys()];
  }

  async #table(): Promise<TagTable> {
    const images: { reference: Reference; target: Descriptor }[] = [];
    for (const { reference, target } of await this.#named()) {
      if (reference !== undefined) images.push({ reference, target });
    }
    return tagTable(images);
  }

  async #named(): Promise<NamedEntry[]> {
    return namedEntries(await this.#layout.index(), this.#directory);
  }
}
