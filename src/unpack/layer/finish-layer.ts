import {
  AT_SYMLINK_NOFOLLOW,
  fchmod,
  fromBytePath,
  fsetxattr,
  fstatatIfPresent,
  futimens,
  utimensat,
  type BytePath,
} from '../../system/index.js';
import { filesystemError, printable } from '../terms/archive-error.js';
import type { LayerChanges } from '../terms/layer-changes.js';
import {
  type DirectoryAttributes,
  type LayerLink,
  type LayerNode,
  refuseDeletedTarget,
} from './layer-node.js';
import { DEFAULT_ACL, type EntryAttributes } from './entry-attributes.js';
import type { LayerTree } from './layer-tree.js';
import { AUFS_LINKS } from './whiteout-name.js';

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
   * @param isAnew - the layer deletes what the lower ones have there, so that there is nothing to take attributes from
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
