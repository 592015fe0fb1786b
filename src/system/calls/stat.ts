import { constants } from 'node:fs';
import { type BytePath, encodePath, errno, libc, systemError, SystemError } from './libc.js';

/** A point in time; `nanoseconds` counts forwards from `seconds`, which may be negative. */
export interface Timespec {
  seconds: number;
  nanoseconds: number;
}

export interface StatTime {
  seconds: number;
  nanoseconds: number;
}

/** What the kernel knows of a file. */
export interface Stat {
  /** Unique among devices; not in the kernel's own encoding. */
  dev: number;
  /** A bigint, since overlay mounts use all 64 bits. */
  ino: bigint;
  /** Type and permissions. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  size: number;
  rdevMajor: number;
  rdevMinor: number;
  atime: StatTime;
  mtime: StatTime;
  ctime: StatTime;
  /** Of 512 bytes each. */
  blocks: number;
}

const STATX_BASIC_STATS = 0x7ff;
const ENOENT = 2;
const ENOSYS = 38;

const name = Buffer.alloc(4096);
const result = Buffer.alloc(256);

/**
 * Stats a name below a directory. With AT_EMPTY_PATH and an empty name it is the descriptor itself.
 *
 * @throws SystemError
 */
export function fstatat(dirfd: number, path: BytePath, flags: number = AT_SYMLINK_NOFOLLOW): Stat {
  if (statx(dirfd, path, flags) < 0) throw systemError('statx', path);
  return readStat();
}

/** As {@link fstatat}; undefined where nothing is there, which costs no exception. */
export function fstatatIfPresent(
  dirfd: number,
  path: BytePath,
  flags: number = AT_SYMLINK_NOFOLLOW,
): Stat | undefined {
  if (statx(dirfd, path, flags) >= 0) return readStat();
  if (errno() === ENOENT) return undefined;
  throw systemError('statx', path);
}

/** Stats an open file; works for O_PATH descriptors too. */
export function fstat(fd: number): Stat {
  return fstatat(fd, '', AT_EMPTY_PATH);
}

function statx(dirfd: number, path: BytePath, flags: number): number {
  const call = libc().statx;
  if (call === undefined) throw new SystemError(ENOSYS, 'statx', path);
  return call(dirfd, encodePath(name, path), flags, STATX_BASIC_STATS, result);
}

// struct statx of linux/stat.h; x86_64 and arm64 are little-endian.
function readStat(): Stat {
  return {
    dev: result.readUInt32LE(136) * 2 ** 20 + result.readUInt32LE(140),
    ino: result.readBigUInt64LE(32),
    mode: result.readUInt16LE(28),
    nlink: result.readUInt32LE(16),
    uid: result.readUInt32LE(20),
    gid: result.readUInt32LE(24),
    size: readSafe(40),
    rdevMajor: result.readUInt32LE(128),
    rdevMinor: result.readUInt32LE(132),
    atime: readTime(64),
    mtime: readTime(112),
    ctime: readTime(96),
    blocks: readSafe(48),
  };
}

function readTime(at: number): StatTime {
  return { seconds: readSafe(at), nanoseconds: result.readUInt32LE(at + 8) };
}

/** A signed 64-bit value; no file size or time comes near the 53 bits that a number holds exactly. */
function readSafe(at: number): number {
  return result.readInt32LE(at + 4) * 2 ** 32 + result.readUInt32LE(at);
}

/**
 * Constants of Linux that Node does not export. Those that differ between x86_64 and arm64 are taken from
 * Node; the rest are the same on both (uapi headers: asm-generic/fcntl.h, linux/openat2.h, linux/stat.h).
 */

export const O_RDONLY: number = constants.O_RDONLY;
export const O_WRONLY: number = constants.O_WRONLY;
export const O_RDWR: number = constants.O_RDWR;
export const O_CREAT: number = constants.O_CREAT;
export const O_EXCL: number = constants.O_EXCL;
export const O_DIRECTORY: number = constants.O_DIRECTORY;
export const O_NOFOLLOW: number = constants.O_NOFOLLOW;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
/** Includes O_DIRECTORY, without which the kernel refuses it. */
export const O_TMPFILE: number = 0o20000000 | constants.O_DIRECTORY;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;
export const AT_RECURSIVE = 0x8000;

export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

/** As `nanoseconds` of a time: the current time. */
export const UTIME_NOW = 0x3fffffff;
/** As `nanoseconds` of a time: leave this time as it is. */
export const UTIME_OMIT = 0x3ffffffe;

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;
