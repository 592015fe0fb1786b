import { closeSync } from 'node:fs';
import { systemCode } from '../../errors.js';
import {
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  fstat,
  linkat,
  O_NOFOLLOW,
  O_PATH,
  openat,
  procFdPath,
  type BytePath,
} from '../../system/index.js';
import { copyNode, LINK_LIMIT_WARNING, linkUnlessFull } from '../disk/copy-node.js';
import type { Place } from '../disk/file-attributes.js';
import type { Warnings } from '../terms/warnings.js';
import type { LayerNode } from './layer-node.js';
import type { LayerTree } from './layer-tree.js';
import type { OmittedDevices } from './check-entry.js';

/** Files that take no more names, with their copies, kept open: a file of so many names is rare already. */
const FULL_FILES = 8;

/** Descriptors of a file that takes no more names and of its copy; open, neither gives its number to another file. */
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
      else this.#omitted.omit(parent, name, device, 'and so is what is linked to them');
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
      const warnings = new Set<string>();
      copyNode(from, to, stat, warnings);
      for (const warning of warnings) this.#warnings.once(warning, warning);
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
