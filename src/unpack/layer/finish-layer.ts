import { systemCode, UnpackError } from '../../errors.js';
import {
  fchmod,
  fromBytePath,
  fsetxattr,
  fstatatIfPresent,
  futimens,
  mknodat,
  S_IFCHR,
  utimensat,
  type BytePath,
} from '../../system/index.js';
import { printable } from '../archive-error.js';
import { filesystemError } from '../filesystem-error.js';
import type { LayerChanges, LayerForm } from '../layer-snapshotter.js';
import { refuseDeletedTarget } from '../tree/pending-link.js';
import { DEFAULT_ACL, type EntryAttributes } from './entry-attributes.js';
import type { DirectoryAttributes, LayerLink, LayerNode } from './layer-node.js';
import type { LayerTree } from './layer-tree.js';
import { AUFS_LINKS } from './whiteout-name.js';

const OPAQUE_XATTR = { overlay: 'trusted.overlay.opaque', userxattr: 'user.overlay.opaque' } as const;
const YES = Buffer.from('y');

/**
 * What can be done only when a layer's last entry is there: whiteouts, which hide lower layers wherever they stand in the
 * archive and never this layer's own entries; then modes and times of directories, children before parents, since
 * a directory may deny writing and every change in it touches its time.
 *
 * @throws {UnpackError} BAD_ARCHIVE, UNSUPPORTED, NO_SPACE, FILESYSTEM
 */
export function finishLayer(tree: LayerTree, form: LayerForm, attributes: EntryAttributes): LayerChanges {
  return new LayerFinish(tree, form, attributes).run();
}

class LayerFinish {
  readonly #tree: LayerTree;
  readonly #form: LayerForm;
  readonly #attributes: EntryAttributes;
  readonly #implied: BytePath[] = [];
  readonly #whiteouts: BytePath[] = [];
  readonly #opaques: BytePath[] = [];
  readonly #links: LayerLink[] = [];

  constructor(tree: LayerTree, form: LayerForm, attributes: EntryAttributes) {
    this.#tree = tree;
    this.#form = form;
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
    for (const name of node.whiteouts) {
      // A directory that is hidden below and made anew here hides by being opaque.
      const child = node.children.get(name);
      if (child !== undefined) child.opaque = true;
    }
    for (const [name, child] of node.children) this.#finish(child, node.whiteouts.has(name));
    try {
      this.#finishDirectory(node);
    } catch (error) {
      const path = fromBytePath(node.path);
      throw filesystemError(error, `finishing the directory ${printable(`/${node.path}`)}`, { entry: path });
    }
  }

  #finishDirectory(node: LayerNode): void {
    const { attributes } = node;
    if (node.opaque || node.whiteouts.size > 0) this.#hideLower(node, this.#tree.descriptor(node));
    if (attributes === undefined) return;
    const { parent } = node;
    if (parent !== undefined && attributes.modeIsSet) {
      utimensat(this.#tree.descriptor(parent), node.name, attributes.atime, attributes.mtime);
    } else {
      this.#setDeferred(this.#tree.descriptor(node), node, attributes);
    }
  }

  #hideLower(node: LayerNode, fd: number): void {
    for (const name of node.whiteouts) {
      if (!node.children.has(name) && !node.links.has(name) && this.#whiteout(fd, name)) {
        this.#whiteouts.push(node.pathOf(name));
      }
    }
    if (node.opaque) this.#makeOpaque(fd);
  }

  /** Whether the name stays a whiteout: what this layer has there hides by itself. */
  #whiteout(fd: number, name: BytePath): boolean {
    if (this.#form === 'plain') return fstatatIfPresent(fd, name) === undefined;
    try {
      mknodat(fd, name, S_IFCHR, 0, 0);
      return true;
    } catch (error) {
      if (systemCode(error) === 'EEXIST') return false;
      throw cannotMark(error, 'whiteouts');
    }
  }

  #makeOpaque(fd: number): void {
    if (this.#form === 'plain') return;
    try {
      fsetxattr(fd, OPAQUE_XATTR[this.#form], YES);
    } catch (error) {
      throw cannotMark(error, 'opaque directories');
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

function cannotMark(error: unknown, what: string): unknown {
  const code = systemCode(error);
  if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EACCES') return error;
  return new UnpackError('UNSUPPORTED', `this file system or user cannot hold overlay's ${what} (${code})`, {
    cause: error,
    hint: 'Use the native snapshotter, or a file system that overlay mounts can use.',
  });
}
