import type { LayerReader, ReadLayer, ViewableLayer } from './layer-reader.js';
import { ViewedDirectory } from './viewed-directory.js';

/**
 * The layers of an image, seen from the top (image-spec layer.md: Applying Changesets). A layer is read when somebody asks for
 * what the layers above it do not tell, and never before.
 */
export class LayerStack {
  /** The root of the merged tree. */
  readonly root: ViewedDirectory;
  /** Bottom first. */
  readonly layers: readonly ViewableLayer[];
  /**
   * Whether what is below the lowest layer is not looked at, so that a hard link may lead there: true for a layer that is looked at
   * without its image.
   */
  readonly isPart: boolean;
  readonly #reader: LayerReader;
  /** What the layers below another one show, by the number of that one. */
  readonly #below = new Map<number, ViewedDirectory>();

  /** @param layers - bottom first */
  constructor(
    layers: readonly ViewableLayer[],
    reader: LayerReader,
    { isPart = false }: { readonly isPart?: boolean } = {},
  ) {
    this.layers = layers;
    this.isPart = isPart;
    this.#reader = reader;
    this.root = this.below(layers.length);
  }

  /** What is seen without a layer and those above it. */
  below(index: number): ViewedDirectory {
    let root = this.#below.get(index);
    if (root === undefined) {
      root = ViewedDirectory.root(this, index - 1);
      this.#below.set(index, root);
    }
    return root;
  }

  /** Undefined below the lowest one. Errors: those of {@link LayerReader.read}. */
  async layer(index: number): Promise<ReadLayer | undefined> {
    const layer = this.layers[index];
    return layer === undefined ? undefined : await this.#reader.read(layer);
  }
}
