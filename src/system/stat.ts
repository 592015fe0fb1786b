import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW } from './constants.js';
import { encodePath, errno, libc, systemError } from './libc.js';
import { SystemError } from './system-error.js';
import type { BytePath } from './byte-path.js';

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
