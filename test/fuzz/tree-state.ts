import { closeSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import {
  AT_FDCWD,
  fstatat,
  lgetxattr,
  listxattr,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  procFdPath,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  toBytePath,
  type BytePath,
  type Stat,
} from '../../src/system/index.js';
import { isOverlayXattr } from '../../src/unpack/disk/file-attributes.js';
import { lendAccess, readNames } from '../../src/unpack/disk/tree-walk.js';
import { isWhiteoutName } from '../../src/unpack/layer/check-entry.js';
import { Violation } from './violation.js';

/**
 * Of a longer file only so many bytes of its beginning are looked at: most of what a layer claims is holes.
 */
const MOST_CONTENT = 256 * 1024;

/** In seconds since 1970. */
const STARTED = Math.floor(Date.now() / 1000);

/** What a tree holds, one line for each path in the order of the names' bytes. */
export type TreeState = readonly string[];

export interface TreeStateOptions {
  /** Whether it is left out which names are one file, of which overlay mounts see only a part. */
  readonly withoutLinks?: boolean;
}

/**
 * Lists a tree: type, mode, owner, size, time, content or target, device, xattrs, and which names are one
 * file.
 */
export function treeState(directory: string, o: TreeStateOptions = {}): TreeState {
  const lines: string[] = [];
  const inodes = new Map<bigint, number>();
  const scratch = Buffer.allocUnsafe(MOST_CONTENT);
  const describe = (dirfd: number, name: BytePath, path: BytePath, stat: Stat): string => {
    const type = stat.mode & S_IFMT;
    const info: (string | number)[] = [JSON.stringify(path), stat.mode.toString(8), stat.uid, stat.gid];
    if (type === S_IFREG) info.push(stat.size, fileState(dirfd, name, scratch));
    if (type === S_IFLNK) info.push(JSON.stringify(readlinkat(dirfd, name)));
    if (type !== S_IFDIR) {
      info.push(stat.rdevMajor, stat.rdevMinor);
      const number = inodes.get(stat.ino) ?? inodes.size;
      inodes.set(stat.ino, number);
      if (o.withoutLinks !== true) info.push(stat.nlink, `#${number}`);
    }
    return [...info, timeState(stat), ...xattrState(dirfd, name)].join(' ');
  };
  const visit = (dirfd: number, name: BytePath, path: BytePath): void => {
    const stat = fstatat(dirfd, name);
    if (isWhiteoutName(name)) throw new Violation('wrong', `${path} has the name of a whiteout`);
    const giveBack = (stat.mode & S_IFMT) === S_IFLNK ? undefined : lendAccess(dirfd, name, stat);
    lines.push(describe(dirfd, name, path, stat));
    if ((stat.mode & S_IFMT) === S_IFDIR) visitNames(dirfd, name, path);
    giveBack?.[Symbol.dispose]();
  };
  const visitNames = (dirfd: number, name: BytePath, path: BytePath): void => {
    const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      for (const inner of readNames(fd).sort()) visit(fd, inner, path === '' ? inner : `${path}/${inner}`);
    } finally {
      closeSync(fd);
    }
  };
  visit(AT_FDCWD, toBytePath(directory), '');
  return lines;
}

/**
 * A directory of which no layer says anything has the time of unpacking in a tree, and none in an archive.
 */
function timeState({ mode, mtime: { seconds, nanoseconds } }: Stat): string {
  const isNow = seconds >= STARTED && seconds <= Date.now() / 1000;
  const isNone = (mode & S_IFMT) === S_IFDIR && seconds === 0 && nanoseconds === 0;
  return isNow || isNone ? 'any time' : `${seconds}.${nanoseconds}`;
}

function fileState(dirfd: number, name: BytePath, scratch: Buffer): number {
  const fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW);
  try {
    return crc32(scratch.subarray(0, readSync(fd, scratch, 0, scratch.length, 0)));
  } finally {
    closeSync(fd);
  }
}

function xattrState(dirfd: number, name: BytePath): string[] {
  const path = name.startsWith('/') ? name : procFdPath(dirfd, name);
  return listxattr(path)
    .filter((attribute) => !isOverlayXattr(attribute))
    .sort()
    .map(
      (attribute) => `${JSON.stringify(attribute)}=${lgetxattr(path, attribute)?.toString('base64') ?? ''}`,
    );
}
