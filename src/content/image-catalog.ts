import type { ImageRecord } from './images.js';

/** Where images are looked up by their canonical names. */
export interface ImageCatalog {
  /**
   * An image by its canonical name; undefined where there is none.
   *
   * @throws {ContentError} FILESYSTEM, STORE_CORRUPT
   */
  get(name: string): Promise<CatalogImage | undefined>;
  /**
   * All images, in order of their names.
   *
   * @throws {ContentError} FILESYSTEM, STORE_CORRUPT
   */
  list(): Promise<readonly CatalogImage[]>;
}

export interface CatalogImage extends ImageRecord {
  /** The root of the additional store that the name is in; absent for the main store's own. */
  readonly additionalRoot?: string;
}

/** The names of a store and of additional ones; where several have one, the first's counts. */
export class JoinedImages implements ImageCatalog {
  readonly #own: ImageCatalog;
  readonly #additional: readonly { readonly root: string; readonly images: ImageCatalog }[];

  constructor(
    own: ImageCatalog,
    additional: readonly { readonly root: string; readonly images: ImageCatalog }[],
  ) {
    this.#own = own;
    this.#additional = additional;
  }

  async get(name: string): Promise<CatalogImage | undefined> {
    const own = await this.#own.get(name);
    if (own !== undefined) return own;
    for (const { root, images } of this.#additional) {
      const found = await images.get(name);
      if (found !== undefined) return { ...found, additionalRoot: root };
    }
    return undefined;
  }

  async list(): Promise<readonly CatalogImage[]> {
    const byName = new Map(
      (await this.#own.list()).map((image): [string, CatalogImage] => [image.name, image]),
    );
    for (const { root, images } of this.#additional) {
      for (const image of await images.list()) {
        if (!byName.has(image.name)) byName.set(image.name, { ...image, additionalRoot: root });
      }
    }
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
