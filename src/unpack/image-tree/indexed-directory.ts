import { LIMITS } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import { limitExceeded } from '../archive-error.js';
import { LayerNode } from '../layer/layer-node.js';
import { type LayerPathLimits, LayerPaths, NOT_A_LINK } from '../layer/layer-paths.js';
import type { ImageAttributes, ImageFile } from './image-tree.js';
import { costOfDirectory, costOfFile, costOfTree, type IndexBudget } from './index-budget.js';

/** One directory of a layer that is read into memory. */
export class IndexedDirectory extends LayerNode<ImageAttributes> {
  declare readonly parent: IndexedDirectory | undefined;
  declare readonly children: Map<BytePath, IndexedDirectory>;
  declare absent: Map<BytePath, IndexedDirectory> | undefined;
  /** All that is in it but directories. */
  readonly files: Map<BytePath, ImageFile> = new Map<BytePath, ImageFile>();
  /** Which entry of the archive made it. */
  entry: number;

  constructor(entry: number, parent?: IndexedDirectory, name: BytePath = '') {
    super(parent, name);
    this.entry = entry;
  }
}

/** The directories of one layer in memory: what LayerTree is on the disk. */
export class IndexedPaths extends LayerPaths<IndexedDirectory> {
  readonly root: IndexedDirectory = new IndexedDirectory(0);
  /** Which entry is being placed. */
  entry = 0;
  /** What the absent directories take of the budget. */
  absentCost = 0;
  readonly #budget: IndexBudget;

  constructor(limits: LayerPathLimits, budget: IndexBudget) {
    super(limits);
    this.#budget = budget;
    budget.add(costOfDirectory('', undefined));
  }

  /** Makes a directory where nothing is. */
  makeDirectory(parent: IndexedDirectory, name: BytePath): IndexedDirectory {
    const child = parent.absent?.get(name) ?? this.#newDirectory(parent, name);
    this.#budget.add(costOfDirectory(child.name, undefined));
    child.entry = this.entry;
    parent.absent?.delete(name);
    parent.children.set(child.name, child);
    return child;
  }

  protected override addAbsent(parent: IndexedDirectory, name: BytePath): IndexedDirectory {
    const child = this.#newDirectory(parent, name);
    const cost = costOfDirectory(child.name, undefined);
    this.#budget.add(cost);
    this.absentCost += cost;
    parent.absent ??= new Map();
    parent.absent.set(child.name, child);
    return child;
  }

  #newDirectory(parent: IndexedDirectory, name: BytePath): IndexedDirectory {
    const child = new IndexedDirectory(this.entry, parent, detached(name));
    this.checkPath(child.path);
    return child;
  }

  setAttributes(directory: IndexedDirectory, attributes: ImageAttributes): void {
    this.#budget.remove(costOfDirectory('', directory.attributes));
    this.#budget.add(costOfDirectory('', attributes));
    directory.attributes = attributes;
  }

  /** Puts a file at a name where nothing is. */
  addFile(parent: IndexedDirectory, name: BytePath, file: ImageFile): void {
    this.#budget.add(costOfFile(name, file));
    parent.files.set(detached(name), file);
  }

  /** Removes what is at a name, a directory with all that is in it; whether there was something. */
  remove(parent: IndexedDirectory, name: BytePath): boolean {
    const waited = parent.removeLink(name);
    const file = parent.files.get(name);
    const child = parent.children.get(name);
    if (file === undefined && child === undefined) return waited;
    this.forgetPaths();
    if (file !== undefined) this.#budget.remove(costOfFile(name, file));
    if (child !== undefined) this.#budget.remove(costOfTree(name, child));
    parent.files.delete(name);
    parent.children.delete(name);
    return true;
  }

  protected override imply(parent: IndexedDirectory, name: BytePath): IndexedDirectory {
    return this.makeDirectory(parent, name);
  }

  protected override readlink(
    node: IndexedDirectory,
    name: BytePath,
  ): BytePath | typeof NOT_A_LINK | undefined {
    // The target of a symlink may name what no file system can hold.
    if (name.length > LIMITS.nameBytes) {
      throw limitExceeded(`a name has more than ${LIMITS.nameBytes} bytes`);
    }
    const file = node.files.get(name);
    if (file === undefined) return undefined;
    return file.type === 'symlink' ? file.linkPath : NOT_A_LINK;
  }
}

/** V8 keeps a part of so many characters as a view of the whole string, which would keep the entry's path in memory. */
const SLICED = 13;

function detached(name: BytePath): BytePath {
  return name.length < SLICED ? name : Buffer.from(name, 'latin1').toString('latin1');
}
