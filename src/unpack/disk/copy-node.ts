import { systemCode } from '../../errors.js';
import {
  type BytePath,
  cloneOrCopyFile,
  linkat,
  mknodat,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  openat,
  readlinkat,
  S_IFBLK,
  S_IFCHR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Stat,
  symlinkat,
} from '../../system/index.js';
import { printable, type WarningSink } from '../terms/layer-fault.js';
import { copyAttributes, type Place } from './file-attributes.js';
import { Opened, inDirectoryBelow, lastName, lendAccess, parentPath } from './tree-walk.js';

/**
 * Makes a second file like the given one, which is anything but a directory: content, owner, mode, xattrs and
 * times.
 *
 * @returns false where it is a device and devices cannot be made here, with a warning
 */
export function copyNode(from: Place, to: Place, stat: Stat, warnings: WarningSink): boolean {
  const type = stat.mode & S_IFMT;
  using _lent = type === S_IFREG ? lendAccess(from.dirfd, from.name, stat) : undefined;
  if (type === S_IFREG) copyContent(from, to, stat);
  else if (type === S_IFLNK) symlinkat(readlinkat(from.dirfd, from.name), to.dirfd, to.name);
  else if (!makeSpecial(to, stat)) {
    warnings.add(`device nodes cannot be made here, ${printable(from.name)} and any others are left out`);
    return false;
  }
  copyAttributes(from, to, stat, warnings);
  return true;
}

function copyContent(from: Place, to: Place, stat: Stat): void {
  using source = new Opened(openat(from.dirfd, from.name, O_RDONLY | O_NOFOLLOW));
  using target = new Opened(openat(to.dirfd, to.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
  if (stat.size > 0) cloneOrCopyFile(source.fd, target.fd, stat.size);
}

function makeSpecial(to: Place, stat: Stat): boolean {
  const type = stat.mode & S_IFMT;
  const isDevice = type === S_IFCHR || type === S_IFBLK;
  try {
    mknodat(to.dirfd, to.name, type | 0o600, stat.rdevMajor, stat.rdevMinor);
    return true;
  } catch (error) {
    if (isDevice && systemCode(error) === 'EPERM') return false;
    throw error;
  }
}

/** What is said, once, where one file of a layer has to become several. */
export const LINK_LIMIT_WARNING =
  'a file has more names than this file system gives to one file; it is stored more than once, and its copies are files of their own';

/**
 * As {@link linkUnlessFull}, for a file by its path below a root, which no symlink is on the way of; false
 * too where it is not there any more.
 */
export function linkBelowUnlessFull(rootfd: number, path: BytePath, to: Place): boolean {
  const linked = inDirectoryBelow(rootfd, parentPath(path), (dirfd) =>
    linkUnlessFull({ dirfd, name: lastName(path) }, to),
  );
  return linked?.result === true;
}

/**
 * Gives a file another name; false where it has as many as its file system allows (ext4: 65,000; btrfs:
 * 65,535, and fewer in one directory; minix: 250). A symlink is linked to itself.
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
