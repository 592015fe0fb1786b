import { UnpackError } from '../../errors.js';
import { type BytePath, fromBytePath } from '../../system/index.js';
import { badArchive, printable } from '../terms/archive-error.js';
import type { TarTime } from '../tar/tar-header.js';
import type { PendingLink } from '../terms/layer-changes.js';

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
 * Refuses a hard link to what the same layer hides, since it can never be made. All the layer's whiteouts must be known.
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
