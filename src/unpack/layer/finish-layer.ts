import { closeSync } from 'node:fs';
import { systemCode } from '../../errors.js';
import {
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  type BytePath,
  fchmod,
  fromBytePath,
  fsetxattr,
  fstat,
  fstatatIfPresent,
  futimens,
  linkat,
  O_NOFOLLOW,
  O_PATH,
  openat,
  procFdPath,
  utimensat,
} from '../../system/index.js';
import { copyNode, LINK_LIMIT_WARNING, linkUnlessFull } from '../disk/copy-node.js';
import type { Place } from '../disk/file-attributes.js';
import { filesystemError, printable, type Warnings } from '../terms/layer-fault.js';
import type { LayerChanges } from '../terms/layer-changes.js';
import { AUFS_LINKS } from './check-entry.js';
import { DEFAULT_ACL, type EntryAttributes } from './entry-attributes.js';
import {
  type DirectoryAttributes,
  type LayerLink,
  type LayerNode,
  refuseDeletedTarget,
} from './layer-paths.js';
import type { LayerTree, OmittedDevices } from './layer-tree.js';

/**
 * What can be done only when a layer's last entry is there: telling what it deletes, since whiteouts hide
 * lower layers wherever they stand in the archive, and never this layer's own entries; then modes and times
 * of directories, children before parents, since a directory may deny writing and every change in it touches
 * its time.
 *
 * @throws {UnpackError} BAD_ARCHIVE, NO_SPACE, FILESYSTEM
 */
export function finishLayer(tree: LayerTree, attributes: EntryAttributes): LayerChanges {
  return new LayerFinish(tree, attributes).run();
}

class LayerFinish {
  readonly #tree: LayerTree;
  readonly #attributes: EntryAttributes;
  readonly #implied: BytePath[] = [];
  readonly #whiteouts: BytePath[] = [];
  readonly #opaques: BytePath[] = [];
  readonly #links: LayerLink[] = [];

  constructor(tree: LayerTree, attributes: EntryAttributes) {
    this.#tree = tree;
    this.#attributes = attributes;
  }

  run(): LayerChanges {
    const { root } = this.#tree;
    if (root.children.has(AUFS_LINKS)) this.#tree.remove(root, AUFS_LINKS);
    this.#finish(root);
    const links = this.#links.sort((a, b) => a.order - b.order);
    for (const link of links) refuseDeletedTarget(this.#tree.root, link);
    return {
      implied: this.#implied,
      whiteouts: this.#whiteouts,
      opaques: this.#opaques,
      pendingLinks: links.map(({ path, target }) => ({ path, target })),
    };
  }

  /**
   * Parents come before children in every list. Depth is bounded by the length of a path.
   *
   * @param isAnew - the layer deletes what the lower ones have there, so that there is nothing to take
   *   attributes from
   */
  #finish(node: LayerNode, isAnew = false): void {
    if (node.attributes === undefined && !isAnew) this.#implied.push(node.path);
    if (node.opaque) this.#opaques.push(node.path);
    for (const link of node.links.values()) this.#links.push(link);
    naming(node, () => this.#finishDeleted(node));
    for (const [name, child] of node.children) this.#finish(child, node.whiteouts.has(name));
    naming(node, () => this.#finishDirectory(node));
  }

  #finishDeleted(node: LayerNode): void {
    for (const name of node.whiteouts) {
      // A directory that is hidden below and made anew here hides by being opaque.
      const child = node.children.get(name);
      if (child !== undefined) child.opaque = true;
      else if (!this.#has(node, name)) this.#whiteouts.push(node.pathOf(name));
    }
    for (const [name, child] of node.absent ?? []) {
      // What the layer has there instead hides all that is below.
      if (this.#has(node, name)) node.absent?.delete(name);
      else if (!isHidden(node, name)) this.#finishAbsent(child);
    }
  }

  /** Whether the layer has something at a name, which is no directory. */
  #has(node: LayerNode, name: BytePath): boolean {
    return (
      node.links.has(name) ||
      fstatatIfPresent(this.#tree.descriptor(node), name, AT_SYMLINK_NOFOLLOW) !== undefined
    );
  }

  #finishAbsent(node: LayerNode): void {
    if (node.opaque) {
      this.#opaques.push(node.path);
      return;
    }
    for (const name of node.whiteouts) this.#whiteouts.push(node.pathOf(name));
    for (const [name, child] of node.absent ?? []) if (!isHidden(node, name)) this.#finishAbsent(child);
  }

  #finishDirectory(node: LayerNode): void {
    const { attributes, parent } = node;
    if (attributes === undefined) return;
    if (parent !== undefined && attributes.modeIsSet) {
      utimensat(this.#tree.descriptor(parent), node.name, attributes.atime, attributes.mtime);
    } else {
      this.#setDeferred(this.#tree.descriptor(node), node, attributes);
    }
  }

  #setDeferred(fd: number, node: LayerNode, a: DirectoryAttributes): void {
    const { defaultAcl } = a;
    if (defaultAcl !== undefined) {
      this.#attributes.setXattr(DEFAULT_ACL, node.path, () => fsetxattr(fd, DEFAULT_ACL, defaultAcl));
    }
    fchmod(fd, a.mode);
    futimens(fd, a.atime, a.mtime);
  }
}

/** Errors say which directory it was. */
function naming(node: LayerNode, finish: () => void): void {
  try {
    finish();
  } catch (error) {
    const path = fromBytePath(node.path);
    throw filesystemError(error, `finishing the directory ${printable(`/${node.path}`)}`, { entry: path });
  }
}

/** Whether a layer deletes all that the lower ones have at a name. */
function isHidden(parent: LayerNode, name: BytePath): boolean {
  return parent.opaque || parent.whiteouts.has(name);
}

/** Files that take no more names, with their copies, kept open: a file of so many names is rare already. */
const FULL_FILES = 8;

/**
 * Descriptors of a file that takes no more names and of its copy; open, neither gives its number to another
 * file.
 */
interface FullFile {
  readonly file: number;
  readonly copy: number;
}

/** Makes the hard links of one layer. A link has no attributes of its own: they are those of the file. */
export class HardLinks {
  readonly #tree: LayerTree;
  readonly #omitted: OmittedDevices;
  readonly #warnings: Warnings;
  /** By device and number of the file; the longest known first. */
  readonly #full = new Map<string, FullFile>();
  #waiting = 0;

  constructor(tree: LayerTree, omitted: OmittedDevices, warnings: Warnings) {
    this.#tree = tree;
    this.#omitted = omitted;
    this.#warnings = warnings;
  }

  /** @throws {UnpackError} as `LayerPaths.linkTarget` */
  place(parent: LayerNode, name: BytePath, linkPath: BytePath): void {
    const target = this.#tree.linkTarget(parent, name, linkPath);
    if (target.kind === 'lower') {
      this.#waitForLower(parent, name, target.path);
      return;
    }
    try {
      this.#tree.replace(parent, name, (dirfd) => {
        this.#link({ dirfd: this.#tree.descriptor(target.node), name: target.name }, { dirfd, name });
      });
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      const device = this.#omitted.at(target.node, target.name);
      if (device === undefined) this.#waitForLower(parent, name, target.path);
      else this.#omitted.omit(parent, name, device, 'and so are the hard links to them');
    }
  }

  /** Closes every descriptor. */
  close(): void {
    for (const [key, full] of this.#full) this.#forget(key, full);
  }

  #waitForLower(parent: LayerNode, name: BytePath, target: BytePath): void {
    this.#tree.remove(parent, name);
    const path = parent.pathOf(name);
    this.#tree.note(path, target);
    parent.addLink(name, { path, target, order: this.#waiting++ });
  }

  #link(from: Place, to: Place): void {
    if (linkUnlessFull(from, to)) return;
    this.#warnings.once('links', LINK_LIMIT_WARNING);
    const file = open(from);
    const stat = fstat(file);
    const key = `${stat.dev}:${stat.ino}`;
    const known = this.#full.get(key);
    if (known !== undefined && linkToOpen(known.copy, to)) {
      closeSync(file);
      return;
    }
    try {
      copyNode(from, to, stat, this.#warnings);
      if (known !== undefined) this.#forget(key, known);
      this.#remember(key, { file, copy: open(to) });
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  #remember(key: string, full: FullFile): void {
    this.#full.set(key, full);
    const [oldest] = this.#full;
    if (oldest !== undefined && this.#full.size > FULL_FILES) this.#forget(...oldest);
  }

  #forget(key: string, { file, copy }: FullFile): void {
    this.#full.delete(key);
    closeSync(file);
    closeSync(copy);
  }
}

function open({ dirfd, name }: Place): number {
  return openat(dirfd, name, O_PATH | O_NOFOLLOW);
}

/** False where the file has no name any more, and where it has as many as it can have. */
function linkToOpen(fd: number, to: Place): boolean {
  if (fstat(fd).nlink === 0) return false;
  try {
    linkat(AT_FDCWD, procFdPath(fd), to.dirfd, to.name, AT_SYMLINK_FOLLOW);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EMLINK') return false;
    throw error;
  }
}
