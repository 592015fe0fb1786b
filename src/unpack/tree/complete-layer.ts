import { closeSync } from 'node:fs';
import { throwIfAborted, UnpackError, type Abortable } from '../../errors.js';
import {
  AT_SYMLINK_NOFOLLOW,
  fromBytePath,
  fstatat,
  fstatatIfPresent,
  linkat,
  mkdirat,
  unlinkat,
  type BytePath,
  type Stat,
} from '../../system/index.js';
import type { CompleteJob, WarningsResult } from '../worker/apply-job.js';
import type { LayerChanges, PendingLink } from '../layer-snapshotter.js';
import { copyNode } from './copy-node.js';
import { copyAttributes, restoreDirectory, type Place } from './file-attributes.js';
import { isWhiteout, LowerStack, type LowerFile } from './lower-stack.js';
import { becomesDirectory, missingLinkTarget } from './pending-link.js';
import { ancestorPaths, lastName, parentPath, pathDepth } from './tree-path.js';
import { isDirectory, lendAccess, openDirectoryBelow, openTree } from './tree-walk.js';

/**
 * Gives a layer in an overlay form what only its parents have: directories that it does not list take their attributes
 * from the topmost parent that has them, hard links to files of a lower layer get a copy of the file to link to, and
 * whiteouts that have nothing to hide go.
 * Errors: SystemError, BAD_ARCHIVE (the target of a hard link is nowhere), ABORTED.
 */
export function completeLayer(job: CompleteJob, o: Abortable = {}): Promise<WarningsResult> {
  throwIfAborted(o.signal);
  using lower = new LowerStack(job.parents, job.changes);
  using layer = new LayerCompletion(job.directory, job.changes, lower);
  layer.dropIdleWhiteouts();
  layer.inheritAttributes();
  layer.satisfyLinks();
  return Promise.resolve({ warnings: [...layer.warnings] });
}

class LayerCompletion implements Disposable {
  readonly warnings = new Set<string>();
  readonly #root: number;
  readonly #changes: LayerChanges;
  readonly #lower: LowerStack;
  readonly #implied: Set<BytePath>;
  /** Where in this layer the copy of a lower file is, by that file. */
  readonly #copies = new Map<string, BytePath>();

  constructor(directory: string, changes: LayerChanges, lower: LowerStack) {
    this.#root = openTree(directory);
    this.#changes = changes;
    this.#lower = lower;
    this.#implied = new Set(changes.implied);
  }

  /**
   * In a directory that no lower layer has, overlayfs passes through the names that it finds, those of whiteouts included; and
   * where there is one layer only, nothing reads whiteouts at all.
   */
  dropIdleWhiteouts(): void {
    for (const path of this.#changes.whiteouts) {
      if (this.#lower.isNeeded(path)) continue;
      this.#within(parentPath(path), (dirfd) => {
        const stat = fstatatIfPresent(dirfd, lastName(path), AT_SYMLINK_NOFOLLOW);
        if (stat === undefined || !isWhiteout(stat)) return;
        const place = { dirfd, name: '.' };
        const before = fstatat(dirfd, '.');
        lendAccess(dirfd, '.', before);
        unlinkat(dirfd, lastName(path));
        restoreDirectory(place, before);
      });
    }
  }

  /** Deepest first: who is not root may have no way into a directory any more once it has its mode. */
  inheritAttributes(): void {
    for (const path of [...this.#changes.implied].sort((a, b) => pathDepth(b) - pathDepth(a)))
      this.#inherit(path);
  }

  satisfyLinks(): void {
    if (this.#changes.pendingLinks.length === 0) return;
    const kept = new Map<BytePath, Stat>();
    for (const link of this.#changes.pendingLinks) this.#satisfy(link, kept);
    for (const [path, stat] of [...kept].reverse()) {
      this.#within(parentPath(path), (dirfd) => restoreDirectory({ dirfd, name: lastName(path) }, stat));
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#root);
  }

  #inherit(path: BytePath): void {
    const { directories, file } = this.#lower.view(path);
    if (file !== undefined) this.warnings.add(becomesDirectory(path, file.stat));
    const [from] = directories;
    if (from === undefined) return;
    this.#within(parentPath(path), (dirfd) => {
      copyAttributes(lowerPlace(from), { dirfd, name: lastName(path) }, from.stat, this.warnings);
    });
  }

  #satisfy(link: PendingLink, kept: Map<BytePath, Stat>): void {
    const source = this.#lower.view(link.target).file;
    if (source === undefined)
      throw missingLinkTarget(link, this.#lower.view(link.target).directories.length > 0);
    const key = `${source.stat.dev}:${source.stat.ino}`;
    let copy = this.#copies.get(key);
    // The file's own name takes part too, so that both names go on being one file.
    const names = this.#isFree(link.target) ? [link.target, link.path] : [link.path];
    for (const name of names) {
      this.#makeParents(parentPath(name), kept);
      this.#within(parentPath(name), (dirfd) => {
        if (copy !== undefined) linkat(this.#root, copy, dirfd, lastName(name));
        else copyNode(lowerPlace(source), { dirfd, name: lastName(name) }, source.stat, this.warnings);
      });
      copy ??= name;
    }
    if (copy !== undefined) this.#copies.set(key, copy);
  }

  /** Whether this layer has nothing at a path and can have something there. */
  #isFree(path: BytePath): boolean {
    for (const directory of ancestorPaths(path)) {
      const stat = fstatatIfPresent(this.#root, directory === '' ? '.' : directory, AT_SYMLINK_NOFOLLOW);
      if (stat === undefined) return true;
      if (!isDirectory(stat)) return false;
    }
    return fstatatIfPresent(this.#root, path, AT_SYMLINK_NOFOLLOW) === undefined;
  }

  /** Makes the directories to a path that are missing, and remembers the times of those that will change. */
  #makeParents(path: BytePath, kept: Map<BytePath, Stat>): void {
    for (const directory of [...ancestorPaths(path), path]) {
      const at = directory === '' ? '.' : directory;
      if (fstatatIfPresent(this.#root, at, AT_SYMLINK_NOFOLLOW) === undefined) {
        mkdirat(this.#root, at, 0o755);
        this.#implied.add(directory);
        this.#inherit(directory);
      }
      if (kept.has(directory)) continue;
      const stat = fstatat(this.#root, at);
      kept.set(directory, stat);
      lendAccess(this.#root, at, stat);
    }
  }

  /** Opens a directory of this layer while it is used. */
  #within(path: BytePath, use: (dirfd: number) => void): void {
    const fd = openDirectoryBelow(this.#root, path);
    if (fd === undefined) {
      throw new UnpackError('FILESYSTEM', `${fromBytePath(path)} is no directory of the layer any more`);
    }
    try {
      use(fd);
    } finally {
      closeSync(fd);
    }
  }
}

/** By its path: all directories on the way were found to be directories, in a layer that does not change any more. */
function lowerPlace(file: LowerFile): Place {
  return { dirfd: file.rootfd, name: file.path === '' ? '.' : file.path };
}
