import { closeSync } from 'node:fs';
import type { Abortable } from '../../errors.js';
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  fstatat,
  fstatatIfPresent,
  linkat,
  renameat,
  unlinkat,
  type BytePath,
  type Stat,
} from '../../system/index.js';
import type { MergeJob, WarningsResult } from '../worker/apply-job.js';
import type { LayerChanges, PendingLink } from '../layer-snapshotter.js';
import { copyAttributes, restoreDirectory, type Place } from './file-attributes.js';
import { becomesDirectory, missingLinkTarget } from './pending-link.js';
import { joinPath, lastName, parentPath, pathDepth } from './tree-path.js';
import {
  emptyDirectory,
  isDirectory,
  lendAccess,
  openDirectory,
  openDirectoryBelow,
  openTree,
  Pace,
  readNames,
  removeEntry,
} from './tree-walk.js';

/**
 * Moves a plain-form layer over the merged tree of its parents (image-spec: layer.md, Applying Changesets): first what the
 * layer deletes goes, then its hard links to lower files are made, then everything it has is moved in. Both must lie on
 * one file system. Errors: SystemError, BAD_ARCHIVE (the target of a hard link is nowhere), ABORTED.
 */
export async function mergeLayer(job: MergeJob, o: Abortable = {}): Promise<WarningsResult> {
  const layer = openTree(job.directory);
  try {
    const target = openTree(job.target);
    try {
      const merge = new LayerMerge(layer, target, job.changes, new Pace(o));
      merge.remove();
      merge.link();
      await merge.move();
      return { warnings: [...merge.warnings] };
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(layer);
  }
}

class LayerMerge {
  readonly warnings = new Set<string>();
  readonly #layer: number;
  readonly #target: number;
  readonly #changes: LayerChanges;
  readonly #implied: ReadonlySet<BytePath>;
  readonly #pace: Pace;
  /** Directories of the target whose content changes, as they were: what the layer does not list keeps its times. */
  readonly #kept = new Map<BytePath, Stat>();

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
      const source = openDirectoryBelow(this.#target, parentPath(link.target));
      if (source === undefined) throw missingLinkTarget(link, false);
      try {
        this.#linkFrom({ dirfd: source, name: lastName(link.target) }, link);
      } finally {
        closeSync(source);
      }
    }
  }

  async move(): Promise<void> {
    await this.#mergeDirectory({ dirfd: this.#layer, name: '.' }, { dirfd: this.#target, name: '.' }, '');
    for (const [path, stat] of [...this.#kept].sort(([a], [b]) => pathDepth(b) - pathDepth(a))) {
      const dirfd = openDirectoryBelow(this.#target, parentPath(path));
      if (dirfd === undefined) continue;
      const now = fstatatIfPresent(dirfd, lastName(path), AT_SYMLINK_NOFOLLOW);
      // Something else may have taken the directory's place.
      if (now?.ino === stat.ino && isDirectory(now)) restoreDirectory({ dirfd, name: lastName(path) }, stat);
      closeSync(dirfd);
    }
  }

  #linkFrom(source: Place, link: PendingLink): void {
    const stat = fstatatIfPresent(source.dirfd, source.name, AT_SYMLINK_NOFOLLOW);
    if (stat === undefined || isDirectory(stat)) throw missingLinkTarget(link, stat !== undefined);
    const directory = openDirectoryBelow(this.#layer, parentPath(link.path));
    if (directory === undefined) throw missingLinkTarget(link, false);
    try {
      const parent = fstatat(directory, '.');
      const place = { dirfd: directory, name: '.' };
      lendAccess(directory, '.', parent);
      linkat(source.dirfd, source.name, directory, lastName(link.path));
      restoreDirectory(place, parent);
    } finally {
      closeSync(directory);
    }
  }

  /** Changes a directory of the target, where it is one. */
  #inTarget(path: BytePath, change: (dirfd: number) => void): void {
    const fd = openDirectoryBelow(this.#target, path);
    if (fd === undefined) return;
    try {
      this.#keep({ dirfd: fd, name: '.' }, path);
      change(fd);
    } finally {
      closeSync(fd);
    }
  }

  #keep(place: Place, path: BytePath): Stat {
    const known = this.#kept.get(path);
    if (known !== undefined) return known;
    const stat = fstatat(place.dirfd, place.name);
    this.#kept.set(path, stat);
    lendAccess(place.dirfd, place.name, stat);
    return stat;
  }

  /** Directory over directory: what both have is merged; whose attributes stay depends on whether the layer lists it. */
  async #mergeDirectory(from: Place, to: Place, path: BytePath): Promise<void> {
    const layerStat = fstatat(from.dirfd, from.name);
    const targetStat = this.#keep(to, path);
    lendAccess(from.dirfd, from.name, layerStat);
    const source = openDirectory(from.dirfd, from.name);
    try {
      const target = openDirectory(to.dirfd, to.name);
      try {
        for (const name of readNames(source)) {
          await this.#pace.step();
          await this.#moveEntry({ dirfd: source, name }, { dirfd: target, name }, joinPath(path, name));
        }
      } finally {
        closeSync(target);
      }
    } finally {
      closeSync(source);
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
      if (isDirectory(stat) && this.#implied.has(path)) this.warnings.add(becomesDirectory(path, existing));
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
