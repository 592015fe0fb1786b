import { systemCode, type Abortable } from '../../errors.js';
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  fstatat,
  fstatatIfPresent,
  renameat,
  unlinkat,
  type BytePath,
  type Stat,
} from '../../system/index.js';
import type { MergeJob, WarningsResult } from '../jobs/apply-job.js';
import type { LayerChanges, PendingLink } from '../terms/layer-changes.js';
import { Warnings } from '../terms/layer-fault.js';
import { copyNode, LINK_LIMIT_WARNING, linkBelowUnlessFull, linkUnlessFull } from '../disk/copy-node.js';
import { copyAttributes, isSymlink, restoreDirectory, type Place } from '../disk/file-attributes.js';

import { becomesDirectory, missingLinkTarget } from '../layer/layer-paths.js';
import {
  Opened,
  ancestorPaths,
  emptyDirectory,
  inDirectoryBelow,
  isDirectory,
  joinPath,
  lastName,
  lendAccess,
  openDirectory,
  openDirectoryBelow,
  openTree,
  Pace,
  parentPath,
  pathDepth,
  readNames,
  removeEntry,
} from '../disk/tree-walk.js';

/** The changes of the lowest layer, whose root is the root of all, whether the layer lists it or not. */
export function lowestChanges(changes: LayerChanges): LayerChanges {
  return { ...changes, implied: changes.implied.filter((path) => path !== '') };
}

/**
 * Moves an extracted layer over the merged tree of its parents (image-spec: layer.md, Applying Changesets):
 * first what the layer deletes goes, then its hard links to lower files are made, then everything it has is
 * moved in. Both must lie on one file system. Errors: SystemError, BAD_ARCHIVE (the target of a hard link is
 * nowhere), ABORTED.
 */
export async function mergeLayer(job: MergeJob, o: Abortable = {}): Promise<WarningsResult> {
  using layer = new Opened(openTree(job.directory));
  using target = new Opened(openTree(job.target));
  const merge = new LayerMerge(layer.fd, target.fd, job.changes, new Pace(o));
  merge.remove();
  merge.link();
  await merge.move();
  return { warnings: merge.warnings.list() };
}

class LayerMerge {
  readonly warnings: Warnings = new Warnings();
  readonly #layer: number;
  readonly #target: number;
  readonly #changes: LayerChanges;
  readonly #implied: ReadonlySet<BytePath>;
  readonly #pace: Pace;
  /**
   * Directories of the target whose content changes, as they were: what the layer does not list keeps its
   * times.
   */
  readonly #kept = new Map<BytePath, Stat>();
  /** Where in the layer the copy is of a lower file that takes no more names, by that file. */
  readonly #copies = new Map<string, BytePath>();

  constructor(layer: number, target: number, changes: LayerChanges, pace: Pace) {
    this.#layer = layer;
    this.#target = target;
    this.#changes = changes;
    this.#implied = new Set(changes.implied);
    this.#pace = pace;
  }

  /** Where a component on the way is a symlink or nothing, the lower layers have nothing to delete there. */
  remove(): void {
    for (const path of this.#changes.whiteouts) {
      this.#inTarget(parentPath(path), (dirfd) => removeEntry(dirfd, lastName(path)));
    }
    for (const path of this.#changes.opaques) this.#inTarget(path, emptyDirectory);
  }

  /** Into the layer, from where they are moved with all else. */
  link(): void {
    for (const link of this.#changes.pendingLinks) {
      const source = this.#openTarget(parentPath(link.target));
      if (source === undefined) throw missingLinkTarget(link, false);
      using opened = new Opened(source);
      this.#linkFrom({ dirfd: opened.fd, name: lastName(link.target) }, link);
    }
  }

  async move(): Promise<void> {
    await this.#mergeDirectory({ dirfd: this.#layer, name: '.' }, { dirfd: this.#target, name: '.' }, '');
    for (const [path, stat] of [...this.#kept].sort(([a], [b]) => pathDepth(b) - pathDepth(a))) {
      inDirectoryBelow(this.#target, parentPath(path), (dirfd) => {
        const now = fstatatIfPresent(dirfd, lastName(path), AT_SYMLINK_NOFOLLOW);
        // Something else may have taken the directory's place.
        if (now?.ino === stat.ino && isDirectory(now))
          restoreDirectory({ dirfd, name: lastName(path) }, stat);
      });
    }
  }

  #linkFrom(source: Place, link: PendingLink): void {
    const stat = fstatatIfPresent(source.dirfd, source.name, AT_SYMLINK_NOFOLLOW);
    if (stat === undefined || isDirectory(stat)) throw missingLinkTarget(link, stat !== undefined);
    const found = inDirectoryBelow(this.#layer, parentPath(link.path), (dirfd) => {
      const parent = fstatat(dirfd, '.');
      lendAccess(dirfd, '.', parent);
      this.#linkOrCopy(source, { dirfd, name: lastName(link.path) }, stat, link.path);
      restoreDirectory({ dirfd, name: '.' }, parent);
    });
    if (found === undefined) throw missingLinkTarget(link, false);
  }

  #linkOrCopy(source: Place, to: Place, stat: Stat, path: BytePath): void {
    if (linkUnlessFull(source, to)) return;
    this.warnings.add(LINK_LIMIT_WARNING);
    const key = `${stat.dev}:${stat.ino}`;
    const copy = this.#copies.get(key);
    if (copy !== undefined && linkBelowUnlessFull(this.#layer, copy, to)) return;
    if (copyNode(source, to, stat, this.warnings)) this.#copies.set(key, path);
  }

  /**
   * Opens a directory of the target; undefined where it is none. What shuts out its owner, who is not root,
   * is opened up until the end.
   */
  #openTarget(path: BytePath): number | undefined {
    try {
      return openDirectoryBelow(this.#target, path);
    } catch (error) {
      if (systemCode(error) !== 'EACCES') throw error;
    }
    for (const directory of [...ancestorPaths(path), path]) {
      const stat = fstatatIfPresent(this.#target, directory === '' ? '.' : directory, AT_SYMLINK_NOFOLLOW);
      if (stat === undefined || !isDirectory(stat)) return undefined;
      this.#keep({ dirfd: this.#target, name: directory === '' ? '.' : directory }, directory);
    }
    return openDirectoryBelow(this.#target, path);
  }

  /** Changes a directory of the target, where it is one. */
  #inTarget(path: BytePath, change: (dirfd: number) => void): void {
    const fd = this.#openTarget(path);
    if (fd === undefined) return;
    using opened = new Opened(fd);
    this.#keep({ dirfd: opened.fd, name: '.' }, path);
    change(opened.fd);
  }

  #keep(place: Place, path: BytePath): Stat {
    const known = this.#kept.get(path);
    if (known !== undefined) return known;
    const stat = fstatat(place.dirfd, place.name);
    this.#kept.set(path, stat);
    lendAccess(place.dirfd, place.name, stat);
    return stat;
  }

  /**
   * Directory over directory: what both have is merged; whose attributes stay depends on whether the layer
   * lists it.
   */
  async #mergeDirectory(from: Place, to: Place, path: BytePath): Promise<void> {
    const layerStat = fstatat(from.dirfd, from.name);
    const targetStat = this.#keep(to, path);
    lendAccess(from.dirfd, from.name, layerStat);
    {
      using source = new Opened(openDirectory(from.dirfd, from.name));
      using target = new Opened(openDirectory(to.dirfd, to.name));
      for (const name of readNames(source.fd)) {
        await this.#pace.step();
        await this.#moveEntry({ dirfd: source.fd, name }, { dirfd: target.fd, name }, joinPath(path, name));
      }
    }
    if (this.#implied.has(path)) restoreDirectory(to, targetStat);
    else copyAttributes(from, to, layerStat, this.warnings);
    this.#kept.delete(path);
  }

  async #moveEntry(from: Place, to: Place, path: BytePath): Promise<void> {
    const stat = fstatat(from.dirfd, from.name, AT_SYMLINK_NOFOLLOW);
    const existing = fstatatIfPresent(to.dirfd, to.name, AT_SYMLINK_NOFOLLOW);
    if (existing !== undefined) {
      if (isDirectory(stat) && isDirectory(existing)) {
        await this.#mergeDirectory(from, to, path);
        unlinkat(from.dirfd, from.name, AT_REMOVEDIR);
        return;
      }
      if (isDirectory(stat) && this.#implied.has(path))
        this.warnings.add(becomesDirectory(path, isSymlink(existing)));
      // Renaming over another link to the same file does nothing at all, so what is there goes first.
      removeEntry(to.dirfd, to.name);
    }
    moveEntry(from, to, stat);
  }
}

function moveEntry(from: Place, to: Place, stat: Stat): void {
  // Moving a directory changes its `..`, which needs the right to write to it.
  const lent = isDirectory(stat) && lendAccess(from.dirfd, from.name, stat) !== undefined;
  renameat(from.dirfd, from.name, to.dirfd, to.name);
  if (lent) restoreDirectory(to, stat);
}
