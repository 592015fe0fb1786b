import { throwIfAborted } from '../../errors.js';
import { unpackLimits, type UnpackLimits } from '../../spec/index.js';
import { ImageBudget } from '../image-budget.js';
import { layerError } from '../layer-error.js';
import type { UnpackOptions } from '../layer-input.js';
import type { InflateChoice } from '../compression/inflate-choice.js';
import { Warnings } from '../warnings.js';
import { LayerEvents } from '../layer-events.js';
import { ImageDirectory } from './image-tree.js';
import { IndexBudget } from './index-budget.js';
import { type IndexedLayer, LayerIndexer } from './layer-indexer.js';
import { mergeIndexedLayer } from './merge-indexed-layer.js';
import { readLayer, type StoredLayer } from './stored-layer.js';

export interface ReadImageTreeOptions extends UnpackOptions {
  /** Those that are not given are LIMITS of src/spec. */
  readonly limits?: Partial<UnpackLimits>;
  /** What inflates gzip layers. Default `auto`. */
  readonly inflate?: InflateChoice | undefined;
}

/**
 * The merged root file system of an image's layers, bottom first, without touching any file system. When it resolves, every layer
 * was read to its end, and its digest and diffId were found right.
 *
 * Memory depends on how many names there are, some 400 bytes each, and never on what the files hold; `indexBytes` bounds it.
 * Errors: those of opening a layer; DIGEST_MISMATCH, DIFF_ID_MISMATCH, UNSAFE_PATH, BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED; ABORTED.
 */
export async function readImageTree(
  layers: readonly StoredLayer[],
  o: ReadImageTreeOptions = {},
): Promise<ImageDirectory> {
  throwIfAborted(o.signal);
  const limits = unpackLimits(o.limits);
  const events = new LayerEvents(layers, o.onEvent);
  const imageBudget = new ImageBudget(layers.length);
  const budget = new IndexBudget(limits.indexBytes);
  const root = new ImageDirectory(undefined, '', { layer: 0, entry: 0 });
  for (const [index, layer] of layers.entries()) {
    const warnings = new Warnings();
    const indexer = new LayerIndexer({ layer: index, limits, budget, warnings });
    events.tell(index, 'unpacking', 0);
    const { signal, inflate } = o;
    const reading = { limits, budget: imageBudget.layer(index), warnings, inflate, signal };
    for await (const bytes of readLayer(layer, indexer, reading)) events.tell(index, 'unpacking', bytes);
    const merge = (read: IndexedLayer): void => mergeIndexedLayer(root, read, { budget, warnings });
    finishing(layer, () => merge(indexer.finish()));
    events.warn(layer, warnings.list());
    events.tell(index, 'unpacked', layer.descriptor.size);
  }
  return root;
}

/** Errors name the layer. */
function finishing({ descriptor }: StoredLayer, finish: () => void): void {
  try {
    finish();
  } catch (error) {
    throw layerError(error, descriptor.digest);
  }
}
