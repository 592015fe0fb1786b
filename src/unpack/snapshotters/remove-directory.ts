import { closeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { systemCode } from '../../errors.js';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  fstatatIfPresent,
  renameat,
  toBytePath,
  unlinkatIfPresent,
  type BytePath,
} from '../../system/index.js';
import { isAbsent, isDirectory, lendAccess, openDirectory, Pace, readNames } from '../disk/tree-walk.js';

/**
 * What stops a removal by path: directories without the rights that it takes, and paths longer than the
 * kernel takes, which a layer reaches together with the path of the store, and who writes to a mount as often
 * as they like.
 */
const BLOCKED: ReadonlySet<string | undefined> = new Set(['EACCES', 'EPERM', 'ENAMETOOLONG']);

/** Removes a directory with all below it; absent is not an error. Symlinks are not followed. */
export async function removeDirectory(path: string | Buffer): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!BLOCKED.has(systemCode(error))) throw error;
    await new DescriptorRemoval().run(typeof path === 'string' ? toBytePath(path) : path.toString('latin1'));
  }
}

/**
 * Removes a tree of any depth with two descriptors and no path: what a directory holds is removed, but for
 * its own directories, which are moved to the top and take their turn there. What is gone already is as good
 * as removed, for the removal by path that failed in one place is still at work in others.
 */
class DescriptorRemoval {
  readonly #pace = new Pace({});
  #moved = 0;

  async run(path: BytePath): Promise<void> {
    const top = open(AT_FDCWD, path);
    if (top === undefined) return;
    try {
      for (let names = readNames(top); names.length > 0; names = readNames(top)) {
        for (const name of names) await this.#remove(top, name);
      }
    } finally {
      closeSync(top);
    }
    unlinkatIfPresent(AT_FDCWD, path, AT_REMOVEDIR);
  }

  async #remove(top: number, name: BytePath): Promise<void> {
    await this.#pace.step();
    const directory = isDirectoryAt(top, name) ? open(top, name) : undefined;
    if (directory === undefined) {
      unlinkatIfPresent(top, name);
      return;
    }
    try {
      for (const child of readNames(directory)) {
        await this.#pace.step();
        if (isDirectoryAt(directory, child)) this.#moveUp(directory, child, top);
        else unlinkatIfPresent(directory, child);
      }
    } finally {
      closeSync(directory);
    }
    unlinkatIfPresent(top, name, AT_REMOVEDIR);
  }

  #moveUp(directory: number, name: BytePath, top: number): void {
    // Moving a directory changes its `..`, which needs the right to write to it.
    const stat = fstatatIfPresent(directory, name, AT_SYMLINK_NOFOLLOW);
    if (stat !== undefined) lendAccess(directory, name, stat);
    for (;;) {
      try {
        renameat(directory, name, top, `.removed-${this.#moved++}`);
        return;
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return;
        // The tree has the name itself.
        if (!TAKEN.has(systemCode(error))) throw error;
      }
    }
  }
}

const TAKEN: ReadonlySet<string | undefined> = new Set(['ENOTEMPTY', 'EEXIST', 'ENOTDIR']);

function isDirectoryAt(dirfd: number, name: BytePath): boolean {
  const stat = fstatatIfPresent(dirfd, name, AT_SYMLINK_NOFOLLOW);
  return stat !== undefined && isDirectory(stat);
}

/** Opens a directory with all rights in it; undefined where it is gone. */
function open(dirfd: number, name: BytePath): number | undefined {
  try {
    const stat = fstatatIfPresent(dirfd, name, AT_SYMLINK_NOFOLLOW);
    if (stat === undefined) return undefined;
    lendAccess(dirfd, name, stat);
    return openDirectory(dirfd, name);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
