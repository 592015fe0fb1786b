import {
  type BytePath,
  type Bytes,
  encodePath,
  errno,
  libc,
  managed,
  PATH_MAX,
  SYSCALL,
  systemError,
  SystemError,
} from './libc.js';
import { AT_SYMLINK_NOFOLLOW, O_CLOEXEC, type Timespec } from './stat.js';

/*
 * File calls relative to a directory's descriptor. All are synchronous and throw SystemError. They are the hot path of
 * unpacking, so the arguments go through buffers that are allocated once per thread; no call keeps them.
 */

const ENOENT = 2;
const EINTR = 4;
const ENOSYS = 38;

const first = Buffer.alloc(PATH_MAX);
const second = Buffer.alloc(PATH_MAX);
const times = Buffer.alloc(32);
const how = Buffer.alloc(24);
/** The same bytes as halves of 64-bit integers, the lower first: x86_64 and arm64 are little-endian. */
const halvesOfTimes = new Int32Array(times.buffer, times.byteOffset, 8);
const halvesOfHow = new Int32Array(how.buffer, how.byteOffset, 6);

/** Opens a name below a directory, always close-on-exec. Use `openBeneath` for a path that a layer gave. */
export function openat(dirfd: number, name: BytePath, flags: number, mode = 0): number {
  const fd = libc().openat(dirfd, encodePath(first, name), flags | O_CLOEXEC, mode);
  if (fd < 0) throw systemError('openat', name);
  return managed(fd);
}

/**
 * openat2 (Linux 5.6), always close-on-exec: `resolve` is a union of RESOLVE_*. EAGAIN means that a rename
 * elsewhere raced with `..`, ENOSYS that the kernel lacks it, EPERM at a first call mostly that a seccomp
 * filter refuses it.
 */
export function openat2(dirfd: number, path: BytePath, flags: number, mode: number, resolve: number): number {
  // The upper halves stay zero.
  halvesOfHow[0] = flags | O_CLOEXEC;
  halvesOfHow[2] = mode;
  halvesOfHow[4] = resolve;
  const fd = libc().openat2(SYSCALL.openat2, dirfd, encodePath(first, path), how, 24);
  if (fd < 0) throw systemError('openat2', path);
  return managed(fd);
}

/**
 * Writes all of some bytes where the last call ended. Node's own way takes twice as long for a small file.
 */
export function write(fd: number, bytes: Uint8Array): void {
  for (let rest = bytes; ;) {
    const written = libc().write(fd, rest, rest.length);
    if (written === rest.length) return;
    if (written >= 0) rest = rest.subarray(written);
    else if (errno() !== EINTR) throw systemError('write');
  }
}

/** The mode is subject to the umask. */
export function mkdirat(dirfd: number, name: BytePath, mode: number): void {
  if (libc().mkdirat(dirfd, encodePath(first, name), mode) < 0) throw systemError('mkdirat', name);
}

/** With AT_REMOVEDIR removes an empty directory, else anything but a directory. */
export function unlinkat(dirfd: number, name: BytePath, flags = 0): void {
  if (libc().unlinkat(dirfd, encodePath(first, name), flags) < 0) throw systemError('unlinkat', name);
}

/** As {@link unlinkat}; false where nothing was there, which costs no exception. */
export function unlinkatIfPresent(dirfd: number, name: BytePath, flags = 0): boolean {
  if (libc().unlinkat(dirfd, encodePath(first, name), flags) >= 0) return true;
  if (errno() === ENOENT) return false;
  throw systemError('unlinkat', name);
}

export function renameat(oldDirfd: number, oldName: BytePath, newDirfd: number, newName: BytePath): void {
  const failed =
    libc().renameat(oldDirfd, encodePath(first, oldName), newDirfd, encodePath(second, newName)) < 0;
  if (failed) throw systemError('renameat', oldName);
}

/** `flags` is a union of RENAME_*; EINVAL where the file system does not support them. */
export function renameat2(
  oldDirfd: number,
  oldName: BytePath,
  newDirfd: number,
  newName: BytePath,
  flags: number,
): void {
  const call = libc().renameat2;
  if (call === undefined) throw new SystemError(ENOSYS, 'renameat2', oldName);
  const failed = call(oldDirfd, encodePath(first, oldName), newDirfd, encodePath(second, newName), flags) < 0;
  if (failed) throw systemError('renameat2', oldName);
}

/** A hard link; a symlink as source is linked itself unless AT_SYMLINK_FOLLOW is given. */
export function linkat(
  oldDirfd: number,
  oldName: BytePath,
  newDirfd: number,
  newName: BytePath,
  flags = 0,
): void {
  const failed =
    libc().linkat(oldDirfd, encodePath(first, oldName), newDirfd, encodePath(second, newName), flags) < 0;
  if (failed) throw systemError('linkat', newName);
}

export function symlinkat(target: BytePath, dirfd: number, name: BytePath): void {
  const failed = libc().symlinkat(encodePath(first, target), dirfd, encodePath(second, name)) < 0;
  if (failed) throw systemError('symlinkat', name);
}

/** EINVAL where the name is not a symlink. An empty name reads an O_PATH descriptor of a symlink itself. */
export function readlinkat(dirfd: number, name: BytePath): BytePath {
  const length = libc().readlinkat(dirfd, encodePath(first, name), second, PATH_MAX);
  if (length < 0) throw systemError('readlinkat', name);
  return second.toString('latin1', 0, length);
}

/** `mode` is type (S_IFCHR, S_IFBLK, S_IFIFO, …) and permissions, subject to the umask. */
export function mknodat(dirfd: number, name: BytePath, mode: number, major: number, minor: number): void {
  const failed = libc().mknodat(dirfd, encodePath(first, name), mode, deviceNumber(major, minor)) < 0;
  if (failed) throw systemError('mknodat', name);
}

/** Clears setuid and setgid of a regular file, so the mode is set after the owner. */
export function fchownat(
  dirfd: number,
  name: BytePath,
  uid: number,
  gid: number,
  flags: number = AT_SYMLINK_NOFOLLOW,
): void {
  if (libc().fchownat(dirfd, encodePath(first, name), uid, gid, flags) < 0)
    throw systemError('fchownat', name);
}

/** Owner of an open file, without a name to resolve. */
export function fchown(fd: number, uid: number, gid: number): void {
  if (libc().fchown(fd, uid, gid) < 0) throw systemError('fchown');
}

/**
 * Follows a symlink unless AT_SYMLINK_NOFOLLOW is given; with it a symlink gives ENOTSUP, as Linux has no
 * mode for one.
 */
export function fchmodat(dirfd: number, name: BytePath, mode: number, flags = 0): void {
  if (libc().fchmodat(dirfd, encodePath(first, name), mode, flags) < 0) throw systemError('fchmodat', name);
}

/** Mode of an open file, without a name to resolve. */
export function fchmod(fd: number, mode: number): void {
  if (libc().fchmod(fd, mode) < 0) throw systemError('fchmod');
}

/** UTIME_NOW and UTIME_OMIT as `nanoseconds` have their meaning. */
export function utimensat(
  dirfd: number,
  name: BytePath,
  atime: Timespec,
  mtime: Timespec,
  flags: number = AT_SYMLINK_NOFOLLOW,
): void {
  writeTimes(atime, mtime);
  if (libc().utimensat(dirfd, encodePath(first, name), times, flags) < 0)
    throw systemError('utimensat', name);
}

/** Times of an open file, without a name to resolve. */
export function futimens(fd: number, atime: Timespec, mtime: Timespec): void {
  writeTimes(atime, mtime);
  if (libc().utimensat(fd, null, times, 0) < 0) throw systemError('futimens');
}

function writeTimes(atime: Timespec, mtime: Timespec): void {
  writeTime(0, atime);
  writeTime(4, mtime);
}

/** `struct timespec`; an Int32Array takes the lower 32 bits of any integer. */
function writeTime(at: number, { seconds, nanoseconds }: Timespec): void {
  halvesOfTimes[at] = seconds;
  halvesOfTimes[at + 1] = Math.floor(seconds / 2 ** 32);
  // The upper half stays zero.
  halvesOfTimes[at + 2] = nanoseconds;
}

/** `dev_t` as both C libraries encode it: 32 bits of major, 32 of minor, interleaved (sys/sysmacros.h). */
function deviceNumber(major: number, minor: number): number {
  return (minor & 0xff) + (major & 0xfff) * 2 ** 8 + Math.floor(minor / 2 ** 8) * 2 ** 20;
}

/*
 * Extended attributes. Names are bytes, values are Buffers; the `f` forms take a descriptor that is not O_PATH, the
 * `l` forms a path whose last component is not followed. All throw SystemError; ENOTSUP is a file system without them.
 */

const ENODATA = 61;
/** The kernel's limits of one value and of one file's list of names (linux/limits.h). */
const XATTR_SIZE_MAX = 65_536;

const path = Buffer.alloc(PATH_MAX);
const attribute = Buffer.alloc(PATH_MAX);
let scratch: Buffer | undefined;

/** The path of a name below an open directory, for calls that take no directory descriptor. */
export function procFdPath(dirfd: number, name?: BytePath): BytePath {
  return name === undefined ? `/proc/self/fd/${dirfd}` : `/proc/self/fd/${dirfd}/${name}`;
}

/** The names of all attributes that the caller may see. */
export function listxattr(target: number | BytePath): BytePath[] {
  return typeof target === 'number' ? flistxattr(target) : llistxattr(target);
}

export function flistxattr(fd: number): BytePath[] {
  return split(readAll('flistxattr', (into, size) => libc().flistxattr(fd, into, size)));
}

export function llistxattr(file: BytePath): BytePath[] {
  return split(
    readAll('llistxattr', (into, size) => libc().llistxattr(encodePath(path, file), into, size), file),
  );
}

/** Undefined where the file has no such attribute. */
export function fgetxattr(fd: number, name: BytePath): Buffer | undefined {
  const read: Read = (into, size) => libc().fgetxattr(fd, encodePath(attribute, name), into, size);
  const value = readAll('fgetxattr', read, name);
  return value === undefined ? undefined : Buffer.from(value);
}

/** Undefined where the file has no such attribute. */
export function lgetxattr(file: BytePath, name: BytePath): Buffer | undefined {
  const read: Read = (into, size) =>
    libc().lgetxattr(encodePath(path, file), encodePath(attribute, name), into, size);
  const value = readAll('lgetxattr', read, file);
  return value === undefined ? undefined : Buffer.from(value);
}

/** `flags`: XATTR_CREATE or XATTR_REPLACE; by default either. */
export function fsetxattr(fd: number, name: BytePath, value: Uint8Array, flags = 0): void {
  const failed = libc().fsetxattr(fd, encodePath(attribute, name), pointer(value), value.length, flags) < 0;
  if (failed) throw systemError('fsetxattr', name);
}

/** `flags`: XATTR_CREATE or XATTR_REPLACE; by default either. */
export function lsetxattr(file: BytePath, name: BytePath, value: Uint8Array, flags = 0): void {
  const failed =
    libc().lsetxattr(
      encodePath(path, file),
      encodePath(attribute, name),
      pointer(value),
      value.length,
      flags,
    ) < 0;
  if (failed) throw systemError('lsetxattr', file);
}

/** ENODATA where there is no such attribute. */
export function fremovexattr(fd: number, name: BytePath): void {
  if (libc().fremovexattr(fd, encodePath(attribute, name)) < 0) throw systemError('fremovexattr', name);
}

/** ENODATA where there is no such attribute. */
export function lremovexattr(file: BytePath, name: BytePath): void {
  const failed = libc().lremovexattr(encodePath(path, file), encodePath(attribute, name)) < 0;
  if (failed) throw systemError('lremovexattr', file);
}

/** An empty value needs no address, and an empty array may have none. */
function pointer(value: Uint8Array): Bytes {
  return value.length === 0 ? null : value;
}

type Read = (into: Buffer, size: number) => number;

/**
 * A view of the scratch buffer, valid until the next call; undefined where there is no such attribute. Both
 * limits are 64 KiB, so one buffer of that size answers at the first call.
 */
function readAll(syscall: string, read: Read, about?: BytePath): Buffer | undefined {
  scratch ??= Buffer.alloc(XATTR_SIZE_MAX);
  const length = read(scratch, scratch.length);
  if (length >= 0) return scratch.subarray(0, length);
  if (errno() === ENODATA) return undefined;
  throw systemError(syscall, about);
}

function split(names: Buffer | undefined): BytePath[] {
  if (names === undefined || names.length === 0) return [];
  return names.toString('latin1', 0, names.length - 1).split('\0');
}
