import { statfsSync } from 'node:fs';
import { systemCode } from '../../errors.js';
import {
  type BytePath,
  fchmodat,
  fchownat,
  fgetxattr,
  fromBytePath,
  lgetxattr,
  listxattr,
  lremovexattr,
  lsetxattr,
  procFdPath,
  S_IFCHR,
  S_IFLNK,
  S_IFMT,
  type Stat,
  utimensat,
} from '../../system/index.js';
import type { LayerForm } from '../terms/layer-changes.js';
import type { WarningSink } from '../terms/layer-fault.js';
import { inDirectoryBelow } from './tree-walk.js';

/** A file by its directory and its name there; `.` is the directory itself. */
export interface Place {
  readonly dirfd: number;
  readonly name: BytePath;
}

/** What overlayfs keeps of its own; it means something only in the directory where it was written. */
export function isOverlayXattr(name: BytePath): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');
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

/**
 * Gives a file owner, mode, xattrs and times of another, whose stat is given; overlayfs' own xattrs stay as
 * they are on both. The owner comes first, since changing it clears setuid and `security.capability`; the
 * mode comes after the xattrs, since without write permission there is no setting them for who is not root;
 * the times come last.
 *
 * @param warnings - gets one line for each kind of xattr that the file system refuses
 */
export function copyAttributes(from: Place, to: Place, stat: Stat, warnings: WarningSink): void {
  fchownat(to.dirfd, to.name, stat.uid, stat.gid);
  copyXattrs(from, to, warnings);
  if ((stat.mode & S_IFMT) !== S_IFLNK) fchmodat(to.dirfd, to.name, stat.mode & 0o7777);
  utimensat(to.dirfd, to.name, stat.atime, stat.mtime);
}

/** Gives a directory back the mode and times that it had, after its content was changed. */
export function restoreDirectory(place: Place, stat: Stat): void {
  fchmodat(place.dirfd, place.name, stat.mode & 0o7777);
  utimensat(place.dirfd, place.name, stat.atime, stat.mtime);
}

function copyXattrs(from: Place, to: Place, warnings: WarningSink): void {
  const source = procFdPath(from.dirfd, from.name);
  const target = procFdPath(to.dirfd, to.name);
  const wanted = namesOf(source);
  const targetDirectory = procFdPath(to.dirfd);
  for (const name of namesOf(target)) {
    if (!wanted.includes(name)) unlessRefused(targetDirectory, () => lremovexattr(target, name));
  }
  for (const name of wanted) {
    const copied = unlessRefused(targetDirectory, () => {
      const value = lgetxattr(source, name);
      if (value !== undefined) lsetxattr(target, name, value);
    });
    if (!copied) {
      warnings.add(`the file system does not take ${namespaceOf(name)} attributes here; they are left out`);
    }
  }
}

function namesOf(file: BytePath): BytePath[] {
  let names: BytePath[] = [];
  try {
    names = listxattr(file);
  } catch (error) {
    // A file system without any.
    if (systemCode(error) !== 'ENOTSUP' && systemCode(error) !== 'EOPNOTSUPP') throw error;
  }
  return names.filter((name) => !isOverlayXattr(name));
}

/** False where the file system or the user cannot have the attribute. */
function unlessRefused(directory: string, action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (xattrRefusal(error, directory) !== undefined) return false;
    throw error;
  }
}

function namespaceOf(name: BytePath): string {
  return `${fromBytePath(name.slice(0, Math.max(0, name.indexOf('.'))))}.*`;
}

/**
 * What a kernel says of an extended attribute that this file system, this kind of file or this user cannot
 * have, or whose value it does not understand.
 */
const REFUSED: ReadonlySet<string | undefined> = new Set([
  'ENOTSUP',
  'EOPNOTSUPP',
  'EPERM',
  'EACCES',
  'E2BIG',
  'ERANGE',
  'EINVAL',
]);

/**
 * ext4 says that no space is left where all attributes of a file would take more than one block; no block is
 * larger.
 */
const ROOM = 64 * 1024;

/**
 * Why an extended attribute cannot be there; undefined where the failure is another one.
 *
 * @param directory - one of the same file system
 */
export function xattrRefusal(error: unknown, directory: string): string | undefined {
  const code = systemCode(error);
  if (REFUSED.has(code)) return code;
  return code === 'ENOSPC' && hasRoom(directory) ? 'larger than it can hold' : undefined;
}

function hasRoom(directory: string): boolean {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize > ROOM;
}
