import { systemCode, type Abortable } from '../../errors.js';
import { AT_SYMLINK_NOFOLLOW, fstatat, mkdirat, type BytePath, type Stat } from '../../system/index.js';
import type { CopyTreeJob, WarningsResult } from '../jobs/apply-job.js';
import { Warnings } from '../terms/layer-fault.js';
import { copyNode, LINK_LIMIT_WARNING, linkBelowUnlessFull } from '../disk/copy-node.js';
import { copyAttributes, type Place } from '../disk/file-attributes.js';
import {
  Opened,
  isDirectory,
  joinPath,
  lendAccess,
  openDirectory,
  openTree,
  Pace,
  readNames,
} from '../disk/tree-walk.js';

/**
 * Copies a merged tree with all its metadata, hard links among its files included; content is shared by
 * reflink where the file system has it. Errors: SystemError, ABORTED.
 */
export async function copyTree(job: CopyTreeJob, o: Abortable = {}): Promise<WarningsResult> {
  using source = new Opened(openTree(job.source));
  using target = new Opened(openTree(job.target));
  const copy = new TreeCopy(target.fd, o);
  await copy.directory({ dirfd: source.fd, name: '.' }, { dirfd: target.fd, name: '.' }, '');
  return { warnings: copy.warnings.list() };
}

class TreeCopy {
  readonly warnings: Warnings = new Warnings();
  readonly #pace: Pace;
  /** Where below the target a file of several links was copied to. */
  readonly #links = new Map<string, BytePath>();
  readonly #target: number;

  constructor(target: number, o: Abortable) {
    this.#target = target;
    this.#pace = new Pace(o);
  }

  /** Fills a directory that exists. */
  async directory(from: Place, to: Place, path: BytePath): Promise<void> {
    const stat = fstatat(from.dirfd, from.name);
    using _lent = lendAccess(from.dirfd, from.name, stat);
    using source = new Opened(openDirectory(from.dirfd, from.name));
    {
      using target = new Opened(openDirectory(to.dirfd, to.name));
      for (const name of readNames(source.fd)) {
        await this.#pace.step();
        await this.#entry({ dirfd: source.fd, name }, { dirfd: target.fd, name }, joinPath(path, name));
      }
    }
    copyAttributes(from, to, stat, this.warnings);
  }

  async #entry(from: Place, to: Place, path: BytePath): Promise<void> {
    const stat = fstatat(from.dirfd, from.name, AT_SYMLINK_NOFOLLOW);
    if (isDirectory(stat)) {
      mkdirat(to.dirfd, to.name, 0o700);
      await this.directory(from, to, path);
    } else if (!this.#link(to, stat) && copyNode(from, to, stat, this.warnings)) {
      if (stat.nlink > 1) this.#links.set(fileKey(stat), path);
    }
  }

  /** True where the file was copied under another of its names, and that copy takes this name too. */
  #link(to: Place, stat: Stat): boolean {
    const copy = stat.nlink === 1 ? undefined : this.#links.get(fileKey(stat));
    if (copy === undefined) return false;
    try {
      if (linkBelowUnlessFull(this.#target, copy, to)) return true;
    } catch (error) {
      // Who writes to an active snapshot may go deeper than the kernel takes in one path.
      if (systemCode(error) === 'ENAMETOOLONG') return false;
      throw error;
    }
    this.warnings.add(LINK_LIMIT_WARNING);
    return false;
  }
}

function fileKey(stat: Stat): string {
  return `${stat.dev}:${stat.ino}`;
}
