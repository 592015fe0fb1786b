import { systemCode } from '../../errors.js';
import { linkat, type BytePath } from '../../system/index.js';
import type { Place } from './file-attributes.js';
import { lastName, parentPath } from './tree-path.js';
import { inDirectoryBelow } from './tree-walk.js';

/** What is said, once, where one file of a layer has to become several. */
export const LINK_LIMIT_WARNING =
  'a file has more names than this file system gives to one file; it is stored more than once, and its copies are files of their own';

/**
 * As {@link linkUnlessFull}, for a file by its path below a root, which no symlink is on the way of; false too where it is not
 * there any more.
 */
export function linkBelowUnlessFull(rootfd: number, path: BytePath, to: Place): boolean {
  const linked = inDirectoryBelow(rootfd, parentPath(path), (dirfd) =>
    linkUnlessFull({ dirfd, name: lastName(path) }, to),
  );
  return linked?.result === true;
}

/**
 * Gives a file another name; false where it has as many as its file system allows (ext4: 65,000; btrfs: 65,535, and fewer in
 * one directory; minix: 250). A symlink is linked to itself.
 *
 * @throws SystemError
 */
export function linkUnlessFull(from: Place, to: Place): boolean {
  try {
    linkat(from.dirfd, from.name, to.dirfd, to.name);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EMLINK') return false;
    throw error;
  }
}
