import { UnpackError } from '../../errors.js';
import { LIMITS, type UnpackLimits } from '../../spec/index.js';
import { type BytePath, fromBytePath } from '../../system/index.js';
import { pathDepth } from '../disk/tree-walk.js';
import type { TarTime } from '../tar/tar-header.js';
import type { PendingLink } from '../terms/layer-changes.js';
import { badArchive, limitExceeded, printable } from '../terms/layer-fault.js';
import { AUFS_LINKS, isWhiteoutName, meaningOf, WHITEOUT_PREFIX } from './check-entry.js';

/** As many as the kernel follows for one path (linux/namei.h: MAXSYMLINKS). */
const MAX_SYMLINKS = 40;
/** Names that are looked up for an entry, on average over a layer: honest ones take one or two. */
const LOOKUPS_PER_ENTRY = 5;

/**
 * Paths through symlinks that are remembered: as many as the directories below the few that distributions
 * have.
 */
const REMEMBERED_PATHS = 4096;

export type LayerPathLimits = Pick<UnpackLimits, 'pathBytes' | 'pathDepth' | 'entriesPerLayer'>;

/** What the paths of a layer need to know of one of its directories; see LayerNode. */
export interface PathNode<N> {
  readonly parent: N | undefined;
  readonly path: BytePath;
  opaque: boolean;
  readonly children: ReadonlyMap<BytePath, N>;
  readonly absent: ReadonlyMap<BytePath, N> | undefined;
  readonly links: ReadonlyMap<BytePath, LayerLink>;
  pathOf(name: BytePath): BytePath;
  addWhiteout(name: BytePath): void;
}

/** Where an entry goes. */
export type Placement<N> =
  | { readonly kind: 'root' }
  | ({ readonly kind: 'name' } & NamedPlace<N>)
  /** It makes nothing: a whiteout, or what engines left over. */
  | { readonly kind: 'nowhere' };

/** What a hard link leads to. `path` is resolved. */
export type LinkTarget<N> =
  /** A name of this layer, if there is something at it, which is no directory. */
  | { readonly kind: 'here'; readonly node: N; readonly name: BytePath; readonly path: BytePath }
  /** Only a lower layer can have it. */
  | { readonly kind: 'lower'; readonly path: BytePath };

/**
 * A name in a directory of the layer; or, of a path whose directories are not all there, only what it would
 * be.
 */
type Location<N> =
  | { readonly kind: 'here'; readonly node: N; readonly name: BytePath }
  | { readonly kind: 'absent'; readonly path: BytePath };

/** What stands where a path goes on, and leads nowhere. */
export const NOT_A_LINK: unique symbol = Symbol('not a link');

interface Walked<N> {
  readonly node: N;
  /** What of the path is not there. */
  readonly missing: readonly BytePath[];
  readonly symlinks: number;
  /** The layer has neither a directory nor a symlink where the path goes on. */
  readonly blocked: boolean;
}

/**
 * The paths of one layer, wherever it is put: what each entry's path means (image-spec layer.md: Whiteouts),
 * and where it leads. Symlinks of the layer itself are followed on the way, as if the layer's root were `/`;
 * the last component is not.
 */
export abstract class LayerPaths<N extends PathNode<N>> {
  abstract readonly root: N;
  readonly #limits: LayerPathLimits;
  /** Names that were looked up beside those of known directories. */
  #lookups = 0;
  /** Where paths through symlinks lead, until something is replaced. */
  readonly #resolved = new Map<BytePath, N>();
  readonly #last = new LastDirectory<N>();

  constructor(limits: LayerPathLimits) {
    this.#limits = limits;
  }

  /** Makes a directory that is only implied where nothing is. */
  protected abstract imply(parent: N, name: BytePath): N;

  /** Notes a directory that the layer does not have, to note in it what is deleted there. */
  protected abstract addAbsent(parent: N, name: BytePath): N;

  /** The target of the symlink at a name; undefined where nothing is. */
  protected abstract readlink(node: N, name: BytePath): BytePath | typeof NOT_A_LINK | undefined;

  /**
   * Of a directory, to which the kernel is given the whole path, with a NUL.
   *
   * @throws {UnpackError} LIMIT_EXCEEDED for one that symlinks have made too long
   */
  protected checkPath(path: BytePath): void {
    this.#checkLength(path.length, this.#limits.pathBytes - 1);
  }

  #checkLength(bytes: number, most: number): void {
    if (bytes <= most) return;
    throw limitExceeded(`a path resolves to ${bytes} bytes; the limit is ${this.#limits.pathBytes}`);
  }

  /** To be called when something was removed: a path may lead elsewhere now. */
  protected forgetPaths(): void {
    this.#resolved.clear();
    this.#last.forget();
  }

  /**
   * Where an entry goes; the directories on the way are made. A whiteout is noted in its directory, since
   * what it hides is known only when the lower layers are there. It is about them alone, so it makes no
   * directory and follows no symlink of this layer.
   *
   * @throws {UnpackError} UNSAFE_PATH, BAD_ARCHIVE, LIMIT_EXCEEDED
   */
  placeOf(path: BytePath): Placement<N> {
    const known = path.length <= this.#limits.pathBytes ? this.#last.find(path) : undefined;
    if (known === undefined) return this.#findPlace(path);
    return this.#checkPlace(known.parent, known.name);
  }

  #findPlace(path: BytePath): Placement<N> {
    const components = entryComponents(path, this.#limits, WHITEOUT_PREFIX);
    const meaning = meaningOf(components);
    if (meaning.kind === 'skipped') return { kind: 'nowhere' };
    const name = components.pop();
    if (name === undefined) return { kind: 'root' };
    if (meaning.kind === 'entry') {
      const place = this.#checkPlace(this.#ensureDirectory(components), name);
      this.#last.remember(path, place);
      return place;
    }
    const directory = this.#noted(components);
    if (meaning.kind === 'whiteout') directory.addWhiteout(meaning.hidden);
    else directory.opaque = true;
    return { kind: 'nowhere' };
  }

  /**
   * The directory of that very path, whether the layer has it or not: entries before and behind this one
   * decide that.
   */
  #noted(components: readonly BytePath[]): N {
    let node = this.root;
    for (const name of components) {
      node = node.children.get(name) ?? node.absent?.get(name) ?? this.addAbsent(node, name);
    }
    return node;
  }

  #checkPlace(parent: N, name: BytePath): { readonly kind: 'name' } & NamedPlace<N> {
    const { length } = parent.path;
    this.#checkLength(length === 0 ? name.length : length + 1 + name.length, this.#limits.pathBytes);
    return { kind: 'name', parent, name };
  }

  /**
   * What a hard link at a name leads to.
   *
   * @throws {UnpackError} UNSAFE_PATH, LIMIT_EXCEEDED, and BAD_ARCHIVE for a link to itself or to a directory
   */
  linkTarget(parent: N, name: BytePath, linkPath: BytePath): LinkTarget<N> {
    const target = this.#locate(entryComponents(linkPath, this.#limits));
    const path = target.kind === 'here' ? target.node.pathOf(target.name) : target.path;
    if (`${path}/`.startsWith(`${parent.pathOf(name)}/`)) throw badArchive('a hard link to itself');
    if (target.kind === 'absent') return { kind: 'lower', path };
    if (target.node.children.has(target.name)) throw badArchive('a hard link to a directory');
    // A link to what itself waits for a lower layer waits for the same file.
    const waiting = target.node.links.get(target.name);
    if (waiting !== undefined) return { kind: 'lower', path: waiting.target };
    return { ...target, path };
  }

  /**
   * The directory that the components lead to, through symlinks of the layer if need be; what is missing is
   * made, as an implied directory, at the end of a dangling symlink too.
   *
   * @throws {UnpackError} BAD_ARCHIVE where something else than a directory stands in the way
   */
  #ensureDirectory(components: readonly BytePath[]): N {
    let node = this.root;
    for (const [i, name] of components.entries()) {
      const child = node.children.get(name);
      if (child === undefined) return this.#ensureSlowly(node, components, i);
      node = child;
    }
    return node;
  }

  #ensureSlowly(from: N, components: readonly BytePath[], done: number): N {
    const key = components.join('/');
    const known = this.#resolved.get(key);
    if (known !== undefined) return known;
    const { node, symlinks, blocked } = this.#walk(from, components.slice(done), (parent, name) => {
      // What the entry names is looked at before; a symlink may lead to such a name, too.
      if (isWhiteoutName(name) && !(name === AUFS_LINKS && parent === this.root)) {
        throw badArchive('a symbolic link leads to a directory with the name of a whiteout');
      }
      return this.imply(parent, name);
    });
    if (blocked) throw notDirectory(components);
    if (symlinks > 0) {
      this.#checkDepth(node);
      this.#remember(key, node);
    }
    return node;
  }

  /** Of something in the directory, which its entry's own path says nothing of. */
  #checkDepth({ path }: N): void {
    const depth = pathDepth(path) + 1;
    const limit = this.#limits.pathDepth;
    if (depth > limit) throw limitExceeded(`a path resolves to ${depth} components; the limit is ${limit}`);
  }

  #remember(path: BytePath, node: N): void {
    if (this.#resolved.size >= REMEMBERED_PATHS) this.#resolved.clear();
    this.#resolved.set(path, node);
  }

  /** Where the components lead, the last of which is not followed. Makes nothing. */
  #locate(components: readonly BytePath[]): Location<N> {
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

  /**
   * Follows components through directories and symlinks; goes on with what `make` makes of a missing name, if
   * anything.
   */
  #walk(
    from: N,
    components: readonly BytePath[],
    make: (parent: N, name: BytePath) => N | undefined,
  ): Walked<N> {
    let node = from;
    let symlinks = 0;
    let steps = 0;
    // A bound on the work of one path; the kernel's own limits allow some 80,000.
    const maxSteps = 4 * this.#limits.pathDepth;
    const todo = [...components].reverse();
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (++steps > maxSteps) {
        throw limitExceeded(`an entry's path resolves in more than ${maxSteps} steps`);
      }
      if (name === '..') {
        node = node.parent ?? this.root;
        continue;
      }
      let child = node.children.get(name);
      if (child === undefined) {
        const target = this.#lookUp(node, name);
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

  #lookUp(node: N, name: BytePath): BytePath | typeof NOT_A_LINK | undefined {
    if (node.links.has(name)) return NOT_A_LINK;
    // A small archive could else keep a thread busy for hours with paths that wind through its symlinks.
    if (++this.#lookups > LOOKUPS_PER_ENTRY * this.#limits.entriesPerLayer) {
      throw limitExceeded('the paths of the layer lead through symbolic links too often');
    }
    return this.readlink(node, name);
  }
}

function targetComponents(target: BytePath): BytePath[] {
  return target.split('/').filter((part) => part !== '' && part !== '.');
}

function notDirectory(components: readonly BytePath[]): Error {
  return badArchive(`${printable(components.join('/'))} is not a directory, but entries lie in it`);
}

export type PathLimits = Pick<UnpackLimits, 'pathBytes' | 'pathDepth'>;

/**
 * The components of a path that an archive names, relative to the layer's root; none for the root itself. A
 * leading `/` and `.` components are dropped and `..` is resolved in the text alone, as containerd and umoci
 * do it; but one that climbs above the root is refused, where they stop at the root.
 *
 * @param prefix - what the last component may begin with; it is no part of the name and counts for no limit
 * @throws {UnpackError} UNSAFE_PATH, LIMIT_EXCEEDED, and BAD_ARCHIVE for no name at all
 */
export function entryComponents(path: BytePath, limits: PathLimits, prefix: BytePath = ''): BytePath[] {
  if (path === '') throw badArchive('an entry has no name');
  if (path.length > limits.pathBytes) checkBytes(path, limits, prefix);
  const components: BytePath[] = [];
  for (const component of path.split('/')) {
    if (component === '' || component === '.') continue;
    if (component !== '..') components.push(component);
    else if (components.pop() === undefined) throw climbs(path);
  }
  if (components.length > limits.pathDepth) {
    throw limitExceeded(`a path has ${components.length} components; the limit is ${limits.pathDepth}`);
  }
  const last = components.length - 1;
  const bytesOf = (component: BytePath, i: number): number =>
    component.length - (i === last && component.startsWith(prefix) ? prefix.length : 0);
  if (components.some((component, i) => bytesOf(component, i) > LIMITS.nameBytes)) {
    throw limitExceeded(`a name has more than ${LIMITS.nameBytes} bytes`);
  }
  return components;
}

/** What leads to the root, and the slash behind a directory, are part of no path that is written. */
function checkBytes(path: BytePath, { pathBytes }: PathLimits, prefix: BytePath): void {
  const begin = path.startsWith('./') ? 2 : path.startsWith('/') ? 1 : 0;
  const end = path.length - (path.endsWith('/') ? 1 : 0);
  const hasPrefix = path.startsWith(prefix, path.lastIndexOf('/', end - 1) + 1);
  const length = end - begin - (hasPrefix ? prefix.length : 0);
  if (length > pathBytes) throw limitExceeded(`a path has ${length} bytes; the limit is ${pathBytes}`);
}

function climbs(path: BytePath): UnpackError {
  return new UnpackError('UNSAFE_PATH', `the path ${printable(path)} leads out of the layer`, {
    hint: 'Do not use this image: no honest tool makes such a layer.',
  });
}

/** A name in a directory. */
interface NamedPlace<N> {
  readonly parent: N;
  readonly name: BytePath;
}

/**
 * The directory of the entry before, under the text that its path has for it: entries come grouped by
 * directory, and what this text means was found out and found to be right once. It holds until something is
 * removed.
 */
export class LastDirectory<N> {
  /** With the slash at its end; empty for the root. */
  #text: BytePath = '';
  #directory: N | undefined;

  /**
   * Where an entry goes whose path is the text and one plain name; undefined for any other, which says
   * nothing of it.
   */
  find(path: BytePath): NamedPlace<N> | undefined {
    const directory = this.#directory;
    if (directory === undefined) return undefined;
    const end = endOf(path);
    const begin = path.lastIndexOf('/', end - 1) + 1;
    if (begin !== this.#text.length || !path.startsWith(this.#text)) return undefined;
    const name = path.slice(begin, end);
    return isPlain(name) ? { parent: directory, name } : undefined;
  }

  /** Remembers where an entry went, if its path is a text for the directory and one plain name. */
  remember(path: BytePath, { parent, name }: NamedPlace<N>): void {
    const begin = endOf(path) - name.length;
    const plain = isPlain(name) && path.startsWith(name, begin) && (begin === 0 || path[begin - 1] === '/');
    this.#text = plain ? path.slice(0, begin) : '';
    this.#directory = plain ? parent : undefined;
  }

  forget(): void {
    this.#directory = undefined;
  }
}

/** Without the one slash that ends the names of directories. */
function endOf(path: BytePath): number {
  return path.endsWith('/') ? path.length - 1 : path.length;
}

function isPlain(name: BytePath): boolean {
  if (name === '' || name === '.' || name === '..') return false;
  return name.length <= LIMITS.nameBytes && !isWhiteoutName(name);
}

/** What an archive says of a directory and can only be set when everything in it is done. */
export interface DirectoryAttributes {
  /** What it has already. */
  readonly gid: number;
  readonly mode: number;
  /** It has the mode already, and no default ACL is to come. */
  readonly modeIsSet: boolean;
  readonly mtime: TarTime;
  readonly atime: TarTime;
  /** An ACL that new files would inherit. */
  readonly defaultAcl?: Buffer | undefined;
}

export interface LayerLink {
  readonly path: BytePath;
  /** Resolved path of a file that only a lower layer has. */
  readonly target: BytePath;
  /** Its place in the archive. */
  readonly order: number;
}

/**
 * One directory of the layer, for every directory that was made below its root, and for those that are
 * absent. Books are kept in this tree rather than by path, so that all that is known of a directory goes with
 * it when a later entry replaces it.
 */
export class LayerNode<A = DirectoryAttributes> {
  readonly parent: LayerNode<A> | undefined;
  /** In its parent; `''` for the root. */
  readonly name: BytePath;
  /** Resolved path from the layer's root, `''` for the root. */
  readonly path: BytePath;
  /** Undefined while the directory is only implied. */
  attributes: A | undefined;
  /** The lower layers' content of this directory is hidden. */
  opaque = false;
  readonly children: Map<BytePath, LayerNode<A>> = new Map<BytePath, LayerNode<A>>();
  /**
   * Directories that the layer does not have, so far, and deletes something in. One that it makes later
   * becomes a child.
   */
  absent: Map<BytePath, LayerNode<A>> | undefined;
  #whiteouts: Set<BytePath> | undefined;
  #links: Map<BytePath, LayerLink> | undefined;

  constructor(parent?: LayerNode<A>, name: BytePath = '') {
    this.parent = parent;
    this.name = name;
    this.path = parent === undefined || parent.path === '' ? name : `${parent.path}/${name}`;
  }

  /** Names in this directory that are hidden from the lower layers. */
  get whiteouts(): ReadonlySet<BytePath> {
    return this.#whiteouts ?? NO_WHITEOUTS;
  }

  /** By name: hard links in this directory that wait for a lower layer. */
  get links(): ReadonlyMap<BytePath, LayerLink> {
    return this.#links ?? NO_LINKS;
  }

  pathOf(name: BytePath): BytePath {
    return this.path === '' ? name : `${this.path}/${name}`;
  }

  addWhiteout(name: BytePath): void {
    this.#whiteouts ??= new Set();
    this.#whiteouts.add(name);
  }

  addLink(name: BytePath, link: LayerLink): void {
    this.#links ??= new Map();
    this.#links.set(name, link);
  }

  /** Whether there was one. */
  removeLink(name: BytePath): boolean {
    return this.#links?.delete(name) ?? false;
  }
}

const NO_WHITEOUTS: ReadonlySet<BytePath> = new Set();
const NO_LINKS: ReadonlyMap<BytePath, LayerLink> = new Map();

/**
 * Refuses a hard link to what the same layer hides, since it can never be made. All the layer's whiteouts
 * must be known.
 *
 * @throws {UnpackError} BAD_ARCHIVE
 */
export function refuseDeletedTarget(root: LayerNode<unknown>, link: LayerLink): void {
  let node: LayerNode<unknown> | undefined = root;
  for (const name of link.target.split('/')) {
    if (node === undefined) return;
    if (node.opaque || node.whiteouts.has(name)) {
      throw badArchive(`a hard link to ${printable(link.target)}, which the layer itself deletes`, link.path);
    }
    node = node.children.get(name) ?? node.absent?.get(name);
  }
}

/** The error for a hard link whose target is in no lower layer, or is a directory there. */
export function missingLinkTarget(link: PendingLink, isDirectory: boolean): UnpackError {
  const target = printable(link.target);
  const reason = isDirectory
    ? `${target}, which is a directory in a lower layer`
    : `${target}, which neither this layer nor one below it has`;
  return new UnpackError('BAD_ARCHIVE', `${printable(link.path)} is a hard link to ${reason}`, {
    details: { entry: fromBytePath(link.path) },
  });
}

/** What is said when a layer puts something below a path that is not a directory in the layers below. */
export function becomesDirectory(path: BytePath, symlink: boolean): string {
  const kind = symlink ? 'a symlink' : 'not a directory';
  return `${printable(path)} is ${kind} in a lower layer and becomes a directory here`;
}
