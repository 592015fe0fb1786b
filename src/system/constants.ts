/**
 * Constants of Linux that Node does not export. Those that differ between x86_64 and arm64 are taken from
 * Node; the rest are the same on both (uapi headers: asm-generic/fcntl.h, linux/openat2.h, linux/stat.h).
 */
import { constants } from 'node:fs';

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

/** The longest path that one system call takes, its terminating NUL included. */
export const PATH_MAX = 4096;
