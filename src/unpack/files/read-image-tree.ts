import { throwIfAborted } from '../../errors.js';
import { unpackLimits, type UnpackLimits } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import type { InflateChoice } from '../compression/inflate-choice.js';
import { layerError, Warnings } from '../terms/layer-fault.js';
import type { UnpackOptions } from '../jobs/layer-input.js';
import { LayerEvents } from '../unpacker.js';
import { ImageBudget } from '../jobs/shared-memory.js';
import { becomesDirectory, missingLinkTarget } from '../layer/layer-paths.js';
import {
  costOfDirectory,
  costOfFile,
  costOfTree,
  ImageDirectory,
  type ImageFile,
  IndexBudget,
  type IndexedDirectory,
} from './image-tree.js';
import { type IndexedLayer, LayerIndexer } from './layer-indexer.js';
import { readLayer, type StoredLayer } from './stored-layer.js';

export interface ReadImageTreeOptions extends UnpackOptions {
  /** Those that are not given are LIMITS of src/spec. */
  readonly limits?: Partial<UnpackLimits>;
  /** What inflates gzip layers. Default `auto`. */
  readonly inflate?: InflateChoice | undefined;
}

/**
 * The merged root file system of an image's layers, bottom first, without touching any file system. When it
 * resolves, every layer was read to its end, and its digest and diffId were found right.
 *
 * Memory depends on how many names there are, some 400 bytes each, and never on what the files hold;
 * `indexBytes` bounds it. Errors: those of opening a layer; DIGEST_MISMATCH, DIFF_ID_MISMATCH, UNSAFE_PATH,
 * BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED; ABORTED.
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
    events.state(index, 'unpacking', 0);
    const { signal, inflate } = o;
    const reading = { limits, budget: imageBudget.layer(index), warnings, inflate, signal };
    for await (const bytes of readLayer(layer, indexer, reading)) events.state(index, 'unpacking', bytes);
    const merge = (read: IndexedLayer): void => mergeIndexedLayer(root, read, { budget, warnings });
    finishing(layer, () => merge(indexer.finish()));
    events.warn(layer, warnings.list());
    events.state(index, 'unpacked', layer.descriptor.size);
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

/**
 * Merges a layer over the tree of its parents (image-spec layer.md: Applying Changesets), as mergeLayer does
 * on the disk: first what the layer deletes goes, then its hard links to lower files are made, then
 * everything it has is put in its place. The layer must not be used any more.
 *
 * @throws {UnpackError} BAD_ARCHIVE (the target of a hard link is nowhere), LIMIT_EXCEEDED
 */
export function mergeIndexedLayer(
  root: ImageDirectory,
  layer: IndexedLayer,
  o: { readonly budget: IndexBudget; readonly warnings: Warnings },
): void {
  const merge = new IndexMerge(layer.layer, o.budget, o.warnings);
  merge.remove(layer.root, root);
  merge.link(layer, root);
  merge.move(layer.root, root);
  o.budget.remove(layer.notes);
}

class IndexMerge {
  readonly #layer: number;
  readonly #budget: IndexBudget;
  readonly #warnings: Warnings;

  constructor(layer: number, budget: IndexBudget, warnings: Warnings) {
    this.#layer = layer;
    this.#budget = budget;
    this.#warnings = warnings;
  }

  /** What the layer deletes, also where it has something of its own, which takes nothing over then. */
  remove(from: IndexedDirectory, to: ImageDirectory): void {
    if (from.opaque) {
      for (const name of [...to.files.keys(), ...to.children.keys()]) this.#drop(to, name);
    }
    for (const name of from.whiteouts) this.#drop(to, name);
    for (const [name, child] of [...from.children, ...(from.absent ?? [])]) {
      const below = to.children.get(name);
      if (below !== undefined) this.remove(child, below);
    }
  }

  /** Into the layer, from where they are moved with all else. */
  link(layer: IndexedLayer, root: ImageDirectory): void {
    for (const { parent, name, link } of layer.waiting) {
      const target = lookUp(root, link.target);
      if (target === undefined || target instanceof ImageDirectory) {
        throw missingLinkTarget(link, target !== undefined);
      }
      target.linked = true;
      this.#budget.add(costOfFile(name, target));
      parent.files.set(name, target);
    }
  }

  /**
   * Directory over directory: what both have is merged; whose attributes stay depends on whether the layer
   * lists it.
   */
  move(from: IndexedDirectory, to: ImageDirectory): void {
    const replaces = from.attributes !== undefined;
    this.#budget.remove(costOfDirectory(to.name, replaces ? to.attributes : undefined));
    if (replaces) to.attributes = from.attributes;
    for (const [name, file] of from.files) {
      this.#drop(to, name);
      to.files.set(name, file);
    }
    for (const [name, child] of from.children) {
      const existing = to.children.get(name);
      if (existing !== undefined) {
        this.move(child, existing);
        continue;
      }
      const file = to.files.get(name);
      if (file !== undefined && child.attributes === undefined) {
        const message = becomesDirectory(child.path, file.type === 'symlink');
        this.#warnings.add(message);
      }
      this.#drop(to, name);
      to.children.set(name, this.#adopt(child, name, to));
    }
  }

  /** A directory of the layer, where the tree has none. */
  #adopt(from: IndexedDirectory, name: BytePath, parent: ImageDirectory): ImageDirectory {
    const { entry, files, attributes } = from;
    const directory = new ImageDirectory(parent, name, { layer: this.#layer, entry }, files);
    directory.attributes = attributes;
    for (const [child, node] of from.children)
      directory.children.set(child, this.#adopt(node, child, directory));
    return directory;
  }

  #drop(directory: ImageDirectory, name: BytePath): void {
    const file = directory.files.get(name);
    if (file !== undefined) this.#budget.remove(costOfFile(name, file));
    const child = directory.children.get(name);
    if (child !== undefined) this.#budget.remove(costOfTree(name, child));
    directory.files.delete(name);
    directory.children.delete(name);
  }
}

/** What is at a resolved path, through real directories only. */
function lookUp(root: ImageDirectory, path: BytePath): ImageDirectory | ImageFile | undefined {
  const components = path.split('/');
  const name = components.pop() ?? '';
  let directory: ImageDirectory | undefined = root;
  for (const component of components) {
    directory = directory.children.get(component);
    if (directory === undefined) return undefined;
  }
  return directory.children.get(name) ?? directory.files.get(name);
}
