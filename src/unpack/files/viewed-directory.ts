import type { BytePath } from '../../system/index.js';
import { type ImageAttributes, type ImageFile, type IndexedDirectory, UNLISTED } from './image-tree.js';
import { type LayerLink, missingLinkTarget } from '../layer/layer-paths.js';
import type { LayerReader, ReadLayer, ViewableLayer } from './layer-reader.js';

/** Anything but a directory, and the layer that its content is in. */
export interface ViewedFile {
  readonly kind: 'file';
  readonly file: ImageFile;
  readonly layer: ReadLayer;
}

/** A hard link to a file of a layer that is not looked at; see {@link LayerStack.isPart}. */
export interface ViewedLink {
  readonly kind: 'link';
  /** From the root, without a slash before it. */
  readonly target: BytePath;
}

export type ViewedNode = ViewedDirectory | ViewedFile | ViewedLink;

/** What one layer has of a directory. */
export interface DirectoryPart {
  readonly layer: ReadLayer;
  /** Place of the layer in its stack, from 0. */
  readonly index: number;
  readonly directory: IndexedDirectory;
}

/** What is asked for is not in the layers that may be looked at, and may be in those below. */
export const BELOW: unique symbol = Symbol('below');

/**
 * A directory as the layers together show it. It is what its layers have of it, the topmost first, down to
 * one that hides what is below; each is found when it is asked for. Not for several users at a time.
 *
 * Every method throws what reading a layer does.
 */
export class ViewedDirectory {
  readonly kind = 'directory';
  readonly stack: LayerStack;
  readonly parent: ViewedDirectory | undefined;
  /** `''` for the root. */
  readonly name: BytePath;
  readonly #top: number;
  readonly #parts: DirectoryPart[] = [];
  /** Parts of the parent that were looked at; of the root, layers. */
  #looked = 0;
  #isWhole = false;

  private constructor(
    stack: LayerStack,
    o: { readonly top: number; readonly parent?: ViewedDirectory; readonly name?: BytePath },
  ) {
    this.stack = stack;
    this.parent = o.parent;
    this.name = o.name ?? '';
    this.#top = o.top;
  }

  /** The root of what a layer and those below it show. */
  static root(stack: LayerStack, top: number): ViewedDirectory {
    return new ViewedDirectory(stack, { top });
  }

  /** From the root, which is `''`. */
  get path(): BytePath {
    return this.parent === undefined ? '' : this.parent.pathOf(this.name);
  }

  pathOf(name: BytePath): BytePath {
    const { path } = this;
    return path === '' ? name : `${path}/${name}`;
  }

  /**
   * What the layer has that is the n-th to have something in it, from the top and from 0; undefined where
   * there is none.
   *
   * @param floor - the lowest layer that may be looked at
   */
  async part(n: number, floor = 0): Promise<DirectoryPart | typeof BELOW | undefined> {
    while (this.#parts.length <= n && !this.#isWhole) {
      const looked =
        this.parent === undefined ? await this.#lookAtLayer(floor) : await this.#lookAbove(floor);
      if (looked === BELOW) return BELOW;
    }
    const part = this.#parts[n];
    return part !== undefined && part.index < floor ? BELOW : part;
  }

  /** All of them, down to a layer; and whether lower layers may have more. */
  async partsAbove(
    floor: number,
  ): Promise<{ readonly parts: readonly DirectoryPart[]; readonly isOpen: boolean }> {
    for (let n = 0; ; n += 1) {
      const part = await this.part(n, floor);
      if (part === undefined || part === BELOW) {
        return { parts: this.#parts.slice(0, n), isOpen: part === BELOW };
      }
    }
  }

  /** What the topmost layer that lists the directory says of it, down to a layer. */
  async attributesAbove(floor: number): Promise<ImageAttributes | typeof BELOW> {
    for (let n = 0; ; n += 1) {
      const found = await this.#listedIn(n, floor);
      if (found !== undefined) return found;
    }
  }

  /** What the topmost layer that lists the directory says of it. */
  async attributes(): Promise<ImageAttributes> {
    const attributes = await this.attributesAbove(0);
    return attributes === BELOW ? UNLISTED : attributes;
  }

  /**
   * What is at a name in it; undefined where nothing is.
   * Errors: also BAD_ARCHIVE for a hard link to what is not there.
   */
  async child(name: BytePath): Promise<ViewedNode | undefined> {
    for (let n = 0; ; n += 1) {
      const part = await this.part(n);
      if (part === undefined || part === BELOW) return undefined;
      const { directory, layer, index } = part;
      if (directory.children.has(name)) {
        return new ViewedDirectory(this.stack, { top: this.#top, parent: this, name });
      }
      const file = directory.files.get(name);
      if (file !== undefined) return { kind: 'file', file, layer };
      const link = directory.links.get(name);
      if (link !== undefined) return await this.#linked(link, index);
      if (directory.whiteouts.has(name)) return undefined;
    }
  }

  /** The names in it, in the order of their bytes. All layers are looked at that may have some. */
  async names(): Promise<readonly BytePath[]> {
    const names = new Set<BytePath>();
    const hidden = new Set<BytePath>();
    for (let n = 0; ; n += 1) {
      const part = await this.part(n);
      if (part === undefined || part === BELOW) return [...names].sort();
      for (const name of namesOf(part.directory)) if (!hidden.has(name)) names.add(name);
      for (const name of part.directory.whiteouts) hidden.add(name);
    }
  }

  /** Of the root: the next layer. */
  async #lookAtLayer(floor: number): Promise<typeof BELOW | undefined> {
    const index = this.#top - this.#looked;
    if (index >= 0 && index < floor) return BELOW;
    const layer = await this.stack.layer(index);
    this.#looked += 1;
    if (layer === undefined) this.#isWhole = true;
    else this.#add({ layer, index, directory: layer.root });
    return undefined;
  }

  /** The next layer that has something of the parent. */
  async #lookAbove(floor: number): Promise<typeof BELOW | undefined> {
    const part = await this.parent?.part(this.#looked, floor);
    if (part === BELOW) return BELOW;
    this.#looked += 1;
    if (part === undefined) {
      this.#isWhole = true;
      return undefined;
    }
    const { name } = this;
    const { layer, index, directory } = part;
    // One that the layer does not have may still hide something of those below.
    const own = directory.children.get(name) ?? directory.absent?.get(name);
    if (own !== undefined) this.#add({ layer, index, directory: own });
    if (endsSearch(directory, name)) this.#isWhole = true;
    return undefined;
  }

  #add(part: DirectoryPart): void {
    this.#parts.push(part);
    if (part.directory.opaque) this.#isWhole = true;
  }

  /**
   * What the n-th layer that may list the directory says; undefined where the next one is to be asked. Not
   * the directory's own parts are looked at: one that hides what the lower layers have in it need not say
   * what it is itself.
   */
  async #listedIn(n: number, floor: number): Promise<ImageAttributes | typeof BELOW | undefined> {
    const { parent, name } = this;
    if (parent === undefined) {
      const index = this.#top - n;
      if (index < 0) return UNLISTED;
      if (index < floor) return BELOW;
      return (await this.stack.layer(index))?.root.attributes;
    }
    const part = await parent.part(n, floor);
    if (part === BELOW) return BELOW;
    if (part === undefined) return UNLISTED;
    const attributes = part.directory.children.get(name)?.attributes;
    if (attributes !== undefined) return attributes;
    return endsSearch(part.directory, name) ? UNLISTED : undefined;
  }

  /** The file that a hard link of a layer leads to in those below it. */
  async #linked(link: LayerLink, index: number): Promise<ViewedFile | ViewedLink> {
    const names = link.target.split('/');
    let node: ViewedNode | undefined = this.stack.below(index);
    for (const name of names) node = node?.kind === 'directory' ? await node.child(name) : undefined;
    if (node !== undefined && node.kind !== 'directory') return node;
    if (this.stack.isPart) return { kind: 'link', target: link.target };
    throw missingLinkTarget(link, node !== undefined);
  }
}

/** Whether a layer hides from a directory of this name what the lower layers have there. */
function endsSearch(parent: IndexedDirectory, name: BytePath): boolean {
  return parent.files.has(name) || parent.links.has(name) || parent.whiteouts.has(name);
}

function* namesOf({ files, links, children }: IndexedDirectory): Generator<BytePath, void, undefined> {
  yield* files.keys();
  yield* links.keys();
  yield* children.keys();
}

/**
 * The layers of an image, seen from the top (image-spec layer.md: Applying Changesets). A layer is read when
 * somebody asks for what the layers above it do not tell, and never before.
 */
export class LayerStack {
  /** The root of the merged tree. */
  readonly root: ViewedDirectory;
  /** Bottom first. */
  readonly layers: readonly ViewableLayer[];
  /**
   * Whether what is below the lowest layer is not looked at, so that a hard link may lead there: true for a
   * layer that is looked at without its image.
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
