import type { Abortable } from '../../errors.js';
import { type Digest, unpackLimits, type UnpackLimits } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import type { InflateChoice } from '../compression/inflate-choice.js';
import { layerError, Warnings } from '../terms/layer-fault.js';
import type { TarEntry } from '../tar/tar-header.js';
import type { TarHandler } from '../tar/tar-reader.js';
import { ImageBudget } from '../jobs/shared-memory.js';
import { IndexBudget, type IndexedDirectory } from './image-tree.js';
import { LayerIndexer } from './layer-indexer.js';
import { readLayer, type StoredLayer } from './stored-layer.js';
import { ContentDigest } from './content-digest.js';
import { indexDirectory } from './index-directory.js';

/** A layer that can be looked at. */
export interface ViewableLayer extends StoredLayer {
  /** Where it is unpacked, in the form of overlayfs: then it is read there, and its blob is not opened. */
  readonly directory?: string | undefined;
  /** Whether that directory, and the diffId's place, are for all layers below it as well. */
  readonly isWhole?: boolean | undefined;
}

/** The names and attributes of one layer, alone, which was read to its end and found right. */
export interface ReadLayer {
  readonly stored: ViewableLayer;
  readonly root: IndexedDirectory;
  /** Where each file is, by its entry, where the layer was read as a directory. */
  readonly paths?: ReadonlyMap<number, BytePath>;
  /** What each file reads as, by its entry; empty where nobody asked. See {@link ContentDigest}. */
  readonly contents: ReadonlyMap<number, string>;
}

export interface LayerReaderOptions extends Abortable {
  /** How many layers there are to be read at most. */
  readonly layers: number;
  /**
   * Those that are not given are LIMITS of src/spec. `indexBytes` bounds what is kept of all layers together.
   */
  readonly limits?: Partial<UnpackLimits> | undefined;
  /** What inflates gzip layers. Default `auto`. */
  readonly inflate?: InflateChoice | undefined;
  /** Whether to digest the content of files. */
  readonly contents?: boolean | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** What a digest takes in memory beside its file, in bytes. */
const DIGEST_BYTES = 120;

/** Reads layers into memory, each by itself and once, when somebody wants it. */
export class LayerReader {
  readonly #options: LayerReaderOptions;
  readonly #limits: UnpackLimits;
  readonly #budget: IndexBudget;
  readonly #imageBudget: ImageBudget;
  readonly #reads = new Map<Digest, Promise<ReadLayer>>();

  constructor(options: LayerReaderOptions) {
    this.#options = options;
    this.#limits = unpackLimits(options.limits);
    this.#budget = new IndexBudget(this.#limits.indexBytes);
    this.#imageBudget = new ImageBudget(Math.max(1, options.layers));
  }

  /**
   * Resolves when the layer was read to its end, and its digest and diffId were found right; of an unpacked
   * one nothing of the kind is looked at. A layer of the same diffId is the same layer. Errors: those of
   * `readLayer`, and LIMIT_EXCEEDED where all layers together take too much memory.
   */
  async read(layer: ViewableLayer): Promise<ReadLayer> {
    const known = this.#reads.get(layer.diffId);
    if (known !== undefined) return await known;
    const reading = this.#read(layer, this.#reads.size);
    this.#reads.set(layer.diffId, reading);
    return await reading;
  }

  async #read(layer: ViewableLayer, index: number): Promise<ReadLayer> {
    const { inflate, signal, contents = false, onWarning } = this.#options;
    const { directory, isWhole = false } = layer;
    if (directory !== undefined) {
      const place = { budget: this.#budget, layer: index, contents, isWhole, signal };
      return { stored: layer, ...(await indexDirectory(directory, place)) };
    }
    const warnings = new Warnings();
    const limits = this.#limits;
    const indexer = new LayerIndexer({ layer: index, limits, budget: this.#budget, warnings });
    const digests = new Map<number, string>();
    const handler = contents ? new DigestingHandler(indexer, digests, this.#budget) : indexer;
    const o = { limits, budget: this.#imageBudget.layer(index), warnings, inflate, signal };
    const reading = readLayer(layer, handler, o);
    while ((await reading.next()).done !== true);
    try {
      const { root } = indexer.finish();
      for (const message of warnings.list()) onWarning?.(message);
      return { stored: layer, root, contents: digests };
    } catch (error) {
      throw layerError(error, layer.descriptor.digest);
    }
  }
}

/** Digests the content of files beside what another handler makes of the entries. */
class DigestingHandler implements TarHandler {
  readonly #handler: TarHandler;
  readonly #digests: Map<number, string>;
  readonly #budget: IndexBudget;
  #entry = -1;
  #content: ContentDigest | undefined;

  constructor(handler: TarHandler, digests: Map<number, string>, budget: IndexBudget) {
    this.#handler = handler;
    this.#digests = digests;
    this.#budget = budget;
  }

  entry(entry: TarEntry): void {
    this.#handler.entry(entry);
    this.#entry += 1;
    if (entry.type === 'file') this.#content = new ContentDigest(entry.size, entry.sparse);
  }

  data(chunk: Buffer): void {
    this.#content?.update(chunk);
  }

  endEntry(): void {
    this.#handler.endEntry();
    if (this.#content === undefined) return;
    this.#budget.add(DIGEST_BYTES);
    this.#digests.set(this.#entry, this.#content.digest());
    this.#content = undefined;
  }
}
