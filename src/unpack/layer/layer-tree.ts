import { closeSync, openSync, readdirSync } from 'node:fs';
import { systemCode } from '../../errors.js';
import { LIMITS } from '../../spec/index.js';
import {
  AT_REMOVEDIR,
  defaultResolver,
  fchownat,
  fchmodat,
  mkdirat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  procFdPath,
  readlinkat,
  unlinkat,
  unlinkatIfPresent,
  type BytePath,
  type Resolver,
} from '../../system/index.js';
import { badArchive, limitExceeded, printable } from '../archive-error.js';
import { LayerNode } from './layer-node.js';

/** Directories kept open. Entries come grouped by directory, so a few serve nearly all of them. */
const OPEN_DIRECTORIES = 32;
/** As many as the kernel follows for one path (linux/namei.h: MAXSYMLINKS). */
const MAX_SYMLINKS = 40;
/** A bound on the work of one path; the kernel's own limits allow some 80,000. */
const MAX_STEPS = 4 * LIMITS.pathDepth;
const IMPLIED_MODE = 0o755;

export interface LayerTreeOptions {
  /** Directories that are only implied belong to root rather than to who runs this. */
  readonly ownedByRoot: boolean;
  readonly resolver?: Resolver;
}

/** A name in a directory of the layer; or, of a path whose directories are not all there, only what it would be. */
export type Location =
  | { readonly kind: 'here'; readonly node: LayerNode; readonly name: BytePath }
  | { readonly kind: 'absent'; readonly path: BytePath };

const NOT_A_LINK = Symbol('not a link');

interface Walked {
  readonly node: LayerNode;
  /** What of the path is not there. */
  readonly missing: readonly BytePath[];
  readonly symlinks: number;
  /** The layer has neither a directory nor a symlink where the path goes on. */
  readonly blocked: boolean;
}

/**
 * The directories below a layer's root. Nobody but this layer's archive writes there, and every descriptor comes from
 * the root's by a path that may hold no symlink (or is refused by the kernel): what is done to one of its names happens
 * below the root. Symlinks of the layer itself are followed here, as if the layer's root were `/`.
 */
export class LayerTree {
  readonly root: LayerNode = new LayerNode();
  readonly rootfd: number;
  readonly #options: LayerTreeOptions;
  readonly #resolver: Resolver;
  /** Least recently used first. */
  readonly #open = new Map<LayerNode, number>();
  /** Where paths through symlinks lead, until something is replaced. */
  readonly #resolved = new Map<BytePath, LayerNode>();

  constructor(directory: string, options: LayerTreeOptions) {
    this.#options = options;
    this.#resolver = options.resolver ?? defaultResolver();
    this.rootfd = openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
    closeSync(this.rootfd);
  }

  /** A descriptor of the directory; it may be closed when another directory is opened. */
  descriptor(node: LayerNode): number {
    if (node === this.root) return this.rootfd;
    const known = this.#open.get(node);
    if (known !== undefined) {
      this.#open.delete(node);
      this.#open.set(node, known);
      return known;
    }
    const fd = this.openDirectory(node);
    this.#open.set(node, fd);
    if (this.#open.size > OPEN_DIRECTORIES) this.#closeOldest();
    return fd;
  }

  /** Opens the directory anew; the caller closes it. */
  openDirectory(node: LayerNode): number {
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    return this.#resolver.open(this.rootfd, node.path === '' ? '.' : node.path, flags, 0, {
      symlinks: 'refused',
    });
  }

  /**
   * The directory that the components lead to, through symlinks of the layer if need be; what is missing is made, as an
   * implied directory, at the end of a dangling symlink too.
   *
   * @throws {UnpackError} BAD_ARCHIVE where something else than a directory stands in the way
   */
  ensureDirectory(components: readonly BytePath[]): LayerNode {
    const node = this.ensureUnlessBlocked(components);
    if (node === undefined) throw notDirectory(components);
    return node;
  }

  /** As {@link ensureDirectory}, but undefined where something else than a directory stands in the way. */
  ensureUnlessBlocked(components: readonly BytePath[]): LayerNode | undefined {
    let node = this.root;
    for (const [i, name] of components.entries()) {
      const child = node.children.get(name);
      if (child === undefined) return this.#ensureSlowly(node, components, i);
      node = child;
    }
    return node;
  }

  #ensureSlowly(from: LayerNode, components: readonly BytePath[], done: number): LayerNode | undefined {
    const key = components.join('/');
    const known = this.#resolved.get(key);
    if (known !== undefined) return known;
    const { node, symlinks, blocked } = this.#walk(from, components.slice(done), (parent, name) =>
      this.#imply(parent, name),
    );
    if (blocked) return undefined;
    if (symlinks > 0) this.#resolved.set(key, node);
    return node;
  }

  #imply(parent: LayerNode, name: BytePath): LayerNode {
    const child = this.makeDirectory(parent, name, IMPLIED_MODE);
    const dirfd = this.descriptor(parent);
    // The umask applied.
    fchmodat(dirfd, name, IMPLIED_MODE);
    if (this.#options.ownedByRoot) fchownat(dirfd, name, 0, 0);
    return child;
  }

  /** Makes a directory where nothing is. The mode is subject to the umask. */
  makeDirectory(parent: LayerNode, name: BytePath, mode: number): LayerNode {
    const child = new LayerNode(parent, name);
    if (child.path.length >= LIMITS.pathBytes) {
      throw limitExceeded(`a path resolves to ${child.path.length} bytes; the limit is ${LIMITS.pathBytes}`);
    }
    mkdirat(this.descriptor(parent), name, mode);
    parent.children.set(name, child);
    return child;
  }

  /** Where the components lead, the last of which is not followed. Makes nothing. */
  locate(components: readonly BytePath[]): Location {
    const name = components.at(-1);
    if (name === undefined) throw badArchive('a hard link to the root of the layer');
    const { node, missing, blocked } = this.#walk(this.root, components.slice(0, -1), () => undefined);
    if (blocked) throw notDirectory(components.slice(0, -1));
    if (missing.length === 0) return { kind: 'here', node, name };
    const parts = node.path === '' ? [] : node.path.split('/');
    for (const part of [...missing, name]) {
      if (part === '..') parts.pop();
      else parts.push(part);
    }
    return { kind: 'absent', path: parts.join('/') };
  }

  /** Follows components through directories and symlinks; goes on with what `make` makes of a missing name, if anything. */
  #walk(
    from: LayerNode,
    components: readonly BytePath[],
    make: (parent: LayerNode, name: BytePath) => LayerNode | undefined,
  ): Walked {
    let node = from;
    let symlinks = 0;
    let steps = 0;
    const todo = [...components].reverse();
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (++steps > MAX_STEPS)
        throw limitExceeded(`an entry's path resolves in more than ${MAX_STEPS} steps`);
      if (name === '..') {
        node = node.parent ?? this.root;
        continue;
      }
      let child = node.children.get(name);
      if (child === undefined) {
        const target = this.#readlink(node, name);
        if (target === NOT_A_LINK) return { node, missing: [], symlinks, blocked: true };
        if (target !== undefined) {
          if (++symlinks > MAX_SYMLINKS) throw badArchive('too many symbolic links on the way to an entry');
          if (target.startsWith('/')) node = this.root;
          todo.push(...targetComponents(target).reverse());
          continue;
        }
        child = make(node, name);
      }
      if (child === undefined) {
        return { node, missing: [name, ...todo.reverse()], symlinks, blocked: false };
      }
      node = child;
    }
    return { node, missing: [], symlinks, blocked: false };
  }

  /** Undefined where nothing is. */
  #readlink(node: LayerNode, name: BytePath): BytePath | typeof NOT_A_LINK | undefined {
    if (node.links.has(name)) return NOT_A_LINK;
    try {
      return readlinkat(this.descriptor(node), name);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT') return undefined;
      if (code === 'EINVAL') return NOT_A_LINK;
      if (code === 'ENAMETOOLONG') throw limitExceeded(`a name has more than ${LIMITS.nameBytes} bytes`);
      throw error;
    }
  }

  /** Removes what is at a name, a directory with all that is in it. */
  remove(parent: LayerNode, name: BytePath): void {
    this.#resolved.clear();
    parent.removeLink(name);
    const child = parent.children.get(name);
    if (child === undefined) unlinkatIfPresent(this.descriptor(parent), name);
    else this.#removeDirectory(parent, child, name);
  }

  #removeDirectory(parent: LayerNode, node: LayerNode, name: BytePath): void {
    for (const [childName, child] of node.children) this.#removeDirectory(node, child, childName);
    const dirfd = this.descriptor(node);
    const names = readdirSync(procFdPath(dirfd), { encoding: 'latin1' });
    for (const file of names) unlinkat(dirfd, file);
    this.#forget(node);
    unlinkat(this.descriptor(parent), name, AT_REMOVEDIR);
    parent.children.delete(name);
  }

  #forget(node: LayerNode): void {
    const fd = this.#open.get(node);
    if (fd === undefined) return;
    this.#open.delete(node);
    closeSync(fd);
  }

  #closeOldest(): void {
    for (const node of this.#open.keys()) {
      this.#forget(node);
      return;
    }
  }
}

function targetComponents(target: BytePath): BytePath[] {
  return target.split('/').filter((part) => part !== '' && part !== '.');
}

function notDirectory(components: readonly BytePath[]): Error {
  return badArchive(`${printable(components.join('/'))} is not a directory, but entries lie in it`);
}
