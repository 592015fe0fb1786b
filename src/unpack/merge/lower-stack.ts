import { closeSync } from 'node:fs';
import { fgetxattr, fstat, S_IFCHR, S_IFLNK, S_IFMT, type BytePath, type Stat } from '../../system/index.js';
import type { LayerChanges, LayerForm } from '../terms/layer-changes.js';
import { inDirectoryBelow, isDirectory, openTree, parentPath, statBelow } from '../disk/tree-walk.js';

/** A file of a lower layer, found by its path below that layer's open root. */
export interface LowerFile {
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
 * The layers below one that is being completed, seen as overlayfs merges them: a whiteout or a file ends the search, an
 * opaque directory is the last that is merged, and what the layer itself whites out is not seen. No symlink is followed.
 */
export class LowerStack implements Disposable {
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

export function isSymlink(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFLNK;
}

/** As overlayfs has it: a character device 0:0. */
export function isWhiteout(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

/** What hides all that lower layers have in a directory, where its value is `y`. */
export const OPAQUE_XATTR: Readonly<Record<LayerForm, BytePath>> = {
  overlay: 'trusted.overlay.opaque',
  userxattr: 'user.overlay.opaque',
};

/** Whether nothing below a directory of a layer shows through it. */
export function isOpaque(rootfd: number, path: BytePath): boolean {
  const opaque = inDirectoryBelow(rootfd, path, (fd) =>
    Object.values(OPAQUE_XATTR).some((name) => fgetxattr(fd, name)?.toString('latin1') === 'y'),
  );
  return opaque?.result === true;
}
