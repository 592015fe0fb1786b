import { closeSync } from 'node:fs';
import { type Abortable, systemCode, throwIfAborted, UnpackError } from '../../errors.js';
import {
  AT_SYMLINK_NOFOLLOW,
  type BytePath,
  fsetxattr,
  fstat,
  fstatat,
  fstatatIfPresent,
  mkdirat,
  mknodat,
  S_IFCHR,
  type Stat,
} from '../../system/index.js';
import { copyNode, LINK_LIMIT_WARNING, linkBelowUnlessFull } from '../disk/copy-node.js';
import {
  copyAttributes,
  isOpaque,
  isSymlink,
  isWhiteout,
  OPAQUE_XATTR,
  type Place,
  restoreDirectory,
} from '../disk/file-attributes.js';
import {
  ancestorPaths,
  inDirectoryBelow,
  isDirectory,
  lastName,
  lendAccess,
  openTree,
  parentPath,
  pathDepth,
  statBelow,
} from '../disk/tree-walk.js';
import type { CompleteJob, WarningsResult } from '../jobs/apply-job.js';
import { becomesDirectory, missingLinkTarget } from '../layer/layer-paths.js';
import type { LayerChanges, LayerForm, PendingLink } from '../terms/layer-changes.js';
import { printable, Warnings } from '../terms/layer-fault.js';

const YES = Buffer.from('y');

/**
 * Makes an extracted layer one of overlayfs, by what its parents have: directories that it does not list take
 * their attributes from the topmost parent that has them, hard links to files of a lower layer get a copy of
 * the file to link to, and what it deletes is marked. Where the parents have nothing to hide nothing is
 * marked, since such a mark would be seen: overlayfs shows a whiteout in a directory that no other layer has,
 * and a bind mount of one layer shows all marks.
 *
 * Errors: SystemError, BAD_ARCHIVE (the target of a hard link is nowhere), UNSUPPORTED (the file system
 * cannot hold the marks), ABORTED.
 */
export function completeLayer(job: CompleteJob, o: Abortable = {}): Promise<WarningsResult> {
  throwIfAborted(o.signal);
  using lower = new LowerStack(job.parents, job.changes);
  using layer = new LayerCompletion(job, lower);
  layer.inheritAttributes();
  layer.hideLower();
  layer.satisfyLinks();
  layer.restoreDirectories();
  return Promise.resolve({ warnings: layer.warnings.list() });
}

class LayerCompletion implements Disposable {
  readonly warnings: Warnings = new Warnings();
  readonly #root: number;
  readonly #form: LayerForm;
  readonly #changes: LayerChanges;
  readonly #lower: LowerStack;
  readonly #implied: Set<BytePath>;
  /** Names that the layer has, though nothing is there before they are satisfied. */
  readonly #pending: ReadonlySet<BytePath>;
  /** Where in this layer the copy of a lower file is, by that file. */
  readonly #copies = new Map<string, BytePath>();
  /** Directories whose content changes, as they were: parents come first. */
  readonly #kept = new Map<BytePath, Stat>();

  constructor({ directory, form, changes }: CompleteJob, lower: LowerStack) {
    this.#root = openTree(directory);
    this.#form = form;
    this.#changes = changes;
    this.#lower = lower;
    this.#implied = new Set(changes.implied);
    this.#pending = new Set(changes.pendingLinks.map(({ path }) => path));
  }

  /** Deepest first: who is not root may have no way into a directory any more once it has its mode. */
  inheritAttributes(): void {
    for (const path of [...this.#changes.implied].sort((a, b) => pathDepth(b) - pathDepth(a)))
      this.#inherit(path);
  }

  /**
   * A directory that the layer does not have is made for the mark, with the attributes of the parents' one.
   */
  hideLower(): void {
    const { opaques, whiteouts } = this.#changes;
    for (const path of opaques) {
      if (this.#lower.view(path).directories.length === 0) continue;
      this.#marking('opaque directories', path, (fd) => fsetxattr(fd, OPAQUE_XATTR[this.#form], YES));
    }
    for (const path of whiteouts) {
      if (!this.#lower.isNeeded(path)) continue;
      this.#marking('whiteouts', parentPath(path), (fd) => mknodat(fd, lastName(path), S_IFCHR, 0, 0));
    }
  }

  satisfyLinks(): void {
    for (const link of this.#changes.pendingLinks) this.#satisfy(link);
  }

  /** The last of all: gives directories back the times and the modes that they had. */
  restoreDirectories(): void {
    for (const [path, stat] of [...this.#kept].reverse()) {
      this.#within(parentPath(path), (dirfd) => restoreDirectory({ dirfd, name: lastName(path) }, stat));
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#root);
  }

  #inherit(path: BytePath): void {
    const { directories, file } = this.#lower.view(path);
    if (file !== undefined) this.warnings.add(becomesDirectory(path, isSymlink(file.stat)));
    const [from] = directories;
    if (from === undefined) return;
    this.#within(parentPath(path), (dirfd) => {
      withLower(from, (place) => {
        copyAttributes(place, { dirfd, name: lastName(path) }, from.stat, this.warnings);
      });
    });
  }

  #marking(what: string, directory: BytePath, mark: (fd: number) => void): void {
    this.#makeDirectories(directory);
    this.#within(directory, (fd) => {
      try {
        mark(fd);
      } catch (error) {
        throw cannotMark(error, what);
      }
    });
  }

  #satisfy(link: PendingLink): void {
    const source = this.#lower.view(link.target).file;
    if (source === undefined)
      throw missingLinkTarget(link, this.#lower.view(link.target).directories.length > 0);
    // The file's own name takes part too, so that both names go on being one file.
    const names = this.#isFree(link.target) ? [link.target, link.path] : [link.path];
    for (const path of names) {
      this.#makeDirectories(parentPath(path));
      this.#within(parentPath(path), (dirfd) => this.#place(source, { dirfd, name: lastName(path) }, path));
    }
  }

  /**
   * Links to the copy of a lower file that the layer has already; without one that takes another name, copies
   * the file.
   */
  #place(source: LowerFile, to: Place, path: BytePath): void {
    const key = `${source.stat.dev}:${source.stat.ino}`;
    const copy = this.#copies.get(key);
    if (copy !== undefined) {
      if (linkBelowUnlessFull(this.#root, copy, to)) return;
      this.warnings.add(LINK_LIMIT_WARNING);
    }
    withLower(source, (place) => {
      if (copyNode(place, to, source.stat, this.warnings)) this.#copies.set(key, path);
    });
  }

  /** Whether this layer has nothing at a path and can have something there. */
  #isFree(path: BytePath): boolean {
    if (this.#pending.has(path)) return false;
    for (const directory of ancestorPaths(path)) {
      if (this.#pending.has(directory)) return false;
      const stat = statBelow(this.#root, directory);
      if (stat === undefined) return true;
      if (!isDirectory(stat)) return false;
    }
    return statBelow(this.#root, path) === undefined;
  }

  /** Makes a directory, and those on the way, where they are missing; remembers what all of them were. */
  #makeDirectories(path: BytePath): void {
    if (this.#kept.has(path)) return;
    for (const directory of [...ancestorPaths(path), path]) {
      const at = directory === '' ? '.' : directory;
      if (fstatatIfPresent(this.#root, at, AT_SYMLINK_NOFOLLOW) === undefined) {
        mkdirat(this.#root, at, 0o755);
        this.#implied.add(directory);
        this.#inherit(directory);
      }
      if (this.#kept.has(directory)) continue;
      const stat = fstatat(this.#root, at);
      this.#kept.set(directory, stat);
      lendAccess(this.#root, at, stat);
    }
  }

  /** Opens a directory of this layer while it is used. */
  #within(path: BytePath, use: (dirfd: number) => void): void {
    if (inDirectoryBelow(this.#root, path, use) !== undefined) return;
    throw new UnpackError('FILESYSTEM', `${printable(path)} is no directory of the layer any more`);
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

function withLower({ rootfd, path }: LowerFile, use: (place: Place) => void): void {
  const found = inDirectoryBelow(rootfd, parentPath(path), (dirfd) => use({ dirfd, name: lastName(path) }));
  if (found !== undefined) return;
  throw new UnpackError('FILESYSTEM', `${printable(path)} is not in the lower layer any more`);
}

/** A file of a lower layer, found by its path below that layer's open root. */
interface LowerFile {
  readonly rootfd: number;
  readonly path: BytePath;
  readonly stat: Stat;
}

/** What the layers below show at a path. */
export interface LowerView {
  /** The directories that are merged there, topmost first. */
  readonly directories: readonly LowerFile[];
  /** What is there instead, where it is not a directory. */
  readonly file?: LowerFile;
}

const NOTHING: LowerView = { directories: [] };

/**
 * The layers below one that is being completed, seen as overlayfs merges them: a whiteout or a file ends the
 * search, an opaque directory is the last that is merged, and what the layer itself whites out is not seen.
 * No symlink is followed.
 */
class LowerStack implements Disposable {
  readonly #roots: LowerFile[] = [];
  readonly #views = new Map<BytePath, LowerView>();
  readonly #whiteouts: ReadonlySet<BytePath>;
  readonly #opaques: ReadonlySet<BytePath>;

  /** @param directories - of the layers below, in an overlay form, topmost first */
  constructor(directories: readonly string[], hidden: Pick<LayerChanges, 'whiteouts' | 'opaques'>) {
    this.#whiteouts = new Set(hidden.whiteouts);
    this.#opaques = new Set(hidden.opaques);
    try {
      for (const directory of directories) {
        const rootfd = openTree(directory);
        this.#roots.push({ rootfd, path: '', stat: fstat(rootfd) });
        if (isOpaque(rootfd, '')) break;
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** What a path shows; a directory that the layer makes opaque still shows itself, but nothing below it. */
  view(path: BytePath): LowerView {
    if (path === '') return { directories: this.#roots };
    let view = this.#views.get(path);
    if (view === undefined) {
      view = this.#whiteouts.has(path) ? NOTHING : this.#look(path);
      this.#views.set(path, view);
    }
    return view;
  }

  /** Whether a whiteout of the layer has something to hide. */
  isNeeded(whiteout: BytePath): boolean {
    const { directories, file } = this.#look(whiteout);
    return directories.length > 0 || file !== undefined;
  }

  [Symbol.dispose](): void {
    for (const { rootfd } of this.#roots.splice(0)) closeSync(rootfd);
  }

  #look(path: BytePath): LowerView {
    const parent = parentPath(path);
    if (this.#opaques.has(parent)) return NOTHING;
    const directories: LowerFile[] = [];
    for (const { rootfd } of this.view(parent).directories) {
      const stat = statBelow(rootfd, path);
      if (stat === undefined) continue;
      const found = { rootfd, path, stat };
      if (!isDirectory(stat)) {
        return directories.length > 0 || isWhiteout(stat) ? { directories } : { directories, file: found };
      }
      directories.push(found);
      if (isOpaque(rootfd, path)) break;
    }
    return { directories };
  }
}
