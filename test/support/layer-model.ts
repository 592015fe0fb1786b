import {
  type Attributes,
  contentOf,
  inDirectory,
  MAJOR,
  type Operation,
  parentOf,
} from './layer-operations.js';

/*
 * image-spec layer.md in memory: what a sequence of layers comes to, said once more in the simplest way, to hold the real
 * implementations against.
 */

/** Hard links are one node under several paths. */
export interface ModelNode {
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
  readonly mode: number;
  /** `UID:GID` */
  readonly owner: string;
  /** Of a file; the target of a symlink; type and number of a device as TreeLister tells them. */
  readonly content: string;
  /** Undefined where it is the time of unpacking. */
  readonly time: number | undefined;
  readonly xattrs: Readonly<Record<string, string>>;
}

/** By path; the root is `''`. */
export type ModelTree = ReadonlyMap<string, ModelNode>;

export interface ModelRun {
  /** The operations of each layer that make a well-formed archive. */
  readonly layers: readonly (readonly Operation[])[];
  readonly tree: ModelTree;
}

export function runModel(sequence: readonly (readonly Operation[])[]): ModelRun {
  let tree: ModelTree = new Map([['', IMPLIED]]);
  const layers: Operation[][] = [];
  for (const [index, operations] of sequence.entries()) {
    const layer = new ModelLayer(tree, index);
    layers.push(operations.filter((one) => layer.accept(one)));
    tree = layer.merged();
  }
  return { layers, tree };
}

const IMPLIED: ModelNode = {
  type: 'directory',
  mode: 0o755,
  owner: '0:0',
  content: '',
  time: undefined,
  xattrs: {},
};

/** As many symlinks as the kernel follows for one path. */
const MAX_SYMLINKS = 40;

class ModelLayer {
  readonly #lower: ModelTree;
  readonly #index: number;
  /** By resolved path. What is only implied is {@link IMPLIED} itself. */
  readonly #own = new Map<string, ModelNode>([['', IMPLIED]]);
  readonly #whiteouts = new Set<string>();
  readonly #opaques = new Set<string>();
  /**
   * Links to lower files, which nobody knows yet while the layer is read: not even that they are symlinks.
   */
  readonly #waiting = new Set<string>();
  /** Lower files that were linked to: they must stay visible. */
  readonly #needed = new Set<string>();

  constructor(lower: ModelTree, index: number) {
    this.#lower = lower;
    this.#index = index;
  }

  /** Does what the entry says; false where a well-formed archive would not have it. */
  accept(o: Operation): boolean {
    switch (o.kind) {
      case 'special':
        return true;
      case 'whiteout':
        return this.#mark(this.#whiteouts, parentOf(o.path), o.path.slice(o.path.lastIndexOf('/') + 1));
      case 'opaque':
        return this.#mark(this.#opaques, o.path, '');
      case 'link':
        return this.#link(o.path, o.target);
      case 'file':
        return this.#put(o.path, nodeOf('file', o, contentOf(o.path, this.#index, o.time)));
      case 'symlink':
        return this.#put(o.path, nodeOf('symlink', o, o.target));
      case 'directory':
        return this.#put(o.path, nodeOf('directory', o, ''));
      case 'fifo':
        return this.#put(o.path, nodeOf('other', o, '1:0'));
      case 'device':
        return this.#put(o.path, nodeOf('other', o, `${o.type === 'c' ? 2 : 6}:${deviceOf(o.minor)}`));
    }
  }

  merged(): ModelTree {
    const result = new Map<string, ModelNode>();
    for (const [path, node] of this.#lower) if (!this.#hides(path)) result.set(path, node);
    for (const [path, node] of this.#own) {
      const bothDirectories = node.type === 'directory' && result.get(path)?.type === 'directory';
      if (bothDirectories && node === IMPLIED) continue;
      if (!bothDirectories) for (const other of result.keys()) if (isBelow(other, path)) result.delete(other);
      result.set(path, node);
    }
    return new Map([...result].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Notes that something of the lower layers is hidden: it makes nothing, and no symlink is followed. */
  #mark(marks: Set<string>, directory: string, name: string): boolean {
    const path = name === '' ? directory : inDirectory(directory, name);
    const isBlocked = [...parents(directory), directory].some((one) => {
      return (this.#own.get(one) ?? IMPLIED).type !== 'directory';
    });
    if (isBlocked) return true;
    if ([...this.#needed].some((needed) => needed === path || isBelow(needed, path))) return false;
    marks.add(path);
    return true;
  }

  #put(path: string, node: ModelNode): boolean {
    const at = path === '' ? { path: '' } : this.#resolve(parentOf(path));
    if (typeof at === 'string') return false;
    return this.#place(path === '' ? '' : inDirectory(at.path, path.slice(path.lastIndexOf('/') + 1)), node);
  }

  #place(path: string, node: ModelNode): boolean {
    const before = this.#own.get(path)?.type ?? 'nothing';
    const overFile = node.type === 'directory' && before !== 'directory' && before !== 'nothing';
    // The file was put over whatever is below, so the directory starts empty.
    if (overFile && [...this.#needed].some((needed) => isBelow(needed, path))) return false;
    this.#makeWay(parentOf(path));
    if (node.type !== 'directory') {
      for (const known of [this.#own, this.#waiting, this.#whiteouts, this.#opaques]) {
        for (const other of [...known.keys()]) if (isBelow(other, path)) known.delete(other);
      }
      this.#opaques.delete(path);
    }
    if (overFile) this.#opaques.add(path);
    this.#waiting.delete(path);
    this.#own.set(path, node);
    return true;
  }

  #link(from: string, to: string): boolean {
    const at = this.#resolve(parentOf(from));
    const target = this.#resolve(parentOf(to));
    if (typeof at === 'string' || typeof target === 'string') return false;
    const path = inDirectory(at.path, from.slice(from.lastIndexOf('/') + 1));
    const file = inDirectory(target.path, to.slice(to.lastIndexOf('/') + 1));
    if (path === file || isBelow(path, file) || isBelow(file, path)) return false;
    const own = this.#own.get(file);
    if (own !== undefined) {
      const waits = this.#waiting.has(file);
      if (own.type === 'directory' || !this.#place(path, own)) return false;
      if (waits) this.#waiting.add(path);
      return true;
    }
    const node = this.#lower.get(file);
    if (node === undefined || node.type === 'directory' || this.#hides(file)) return false;
    if (!this.#place(path, node)) return false;
    this.#needed.add(file);
    this.#waiting.add(path);
    return true;
  }

  #makeWay(path: string): void {
    for (const directory of [...parents(path), path]) {
      if (!this.#own.has(directory)) this.#own.set(directory, IMPLIED);
    }
  }

  /**
   * The directory that a path leads to through this layer's own symlinks, whether it is there or not;
   * `blocked` where something else stands in the way.
   */
  #resolve(path: string): { readonly path: string } | 'blocked' | 'endless' {
    const todo = path.split('/').filter((part) => part !== '');
    let at = '';
    let symlinks = 0;
    for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
      if (part === '..') {
        at = parentOf(at);
        continue;
      }
      const next = inDirectory(at, part);
      const { type, content } = this.#own.get(next) ?? IMPLIED;
      if (this.#waiting.has(next)) return 'blocked';
      if (type === 'symlink') {
        if (++symlinks > MAX_SYMLINKS) return 'endless';
        if (content.startsWith('/')) at = '';
        todo.unshift(...content.split('/').filter((name) => name !== '' && name !== '.'));
      } else if (type === 'directory') at = next;
      else return 'blocked';
    }
    return { path: at };
  }

  /** Whether a path of the lower layers is not seen. */
  #hides(path: string): boolean {
    if (this.#whiteouts.has(path)) return true;
    return parents(path).some((parent) => this.#whiteouts.has(parent) || this.#opaques.has(parent));
  }
}

function nodeOf(
  type: ModelNode['type'],
  { mode, uid, gid, time, xattrs }: Attributes,
  content: string,
): ModelNode {
  return { type, mode, owner: `${uid}:${gid}`, content, time, xattrs };
}

/** As the kernel encodes it. */
function deviceOf(minor: number): number {
  return (minor & 0xff) + MAJOR * 2 ** 8 + Math.floor(minor / 2 ** 8) * 2 ** 20;
}

function isBelow(path: string, directory: string): boolean {
  return directory === '' ? path !== '' : path.startsWith(`${directory}/`);
}

/** The directories above a path, the root first. */
function parents(path: string): string[] {
  if (path === '') return [];
  const parts = path.split('/').slice(0, -1);
  return ['', ...parts.map((_, i) => parts.slice(0, i + 1).join('/'))];
}
