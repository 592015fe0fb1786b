import type { BytePath } from '../../system/index.js';
import { becomesDirectory, missingLinkTarget } from '../tree/pending-link.js';
import type { Warnings } from '../warnings.js';
import { ImageDirectory, type ImageFile } from './image-tree.js';
import { costOfDirectory, costOfFile, costOfTree, type IndexBudget } from './index-budget.js';
import type { IndexedDirectory } from './indexed-directory.js';
import type { IndexedLayer } from './layer-indexer.js';

/**
 * Merges a layer over the tree of its parents (image-spec layer.md: Applying Changesets), as mergeLayer does on the disk: first
 * what the layer deletes goes, then its hard links to lower files are made, then everything it has is put in its
 * place. The layer must not be used any more.
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

  /** Directory over directory: what both have is merged; whose attributes stay depends on whether the layer lists it. */
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
