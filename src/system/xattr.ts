import { PATH_MAX } from './libc.js';
import { type BytePath, type Bytes, encodePath, errno, libc, systemError } from './libc.js';

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
 * A view of the scratch buffer, valid until the next call; undefined where there is no such attribute. Both limits are
 * 64 KiB, so one buffer of that size answers at the first call.
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
