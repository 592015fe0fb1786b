import { closeSync } from 'node:fs';
import {
  fstat,
  O_TMPFILE,
  O_WRONLY,
  openat,
  S_IFMT,
  SystemError,
  threadUmaskIsClear,
} from '../../system/index.js';

/** Every permission, so that one which is taken away shows. */
const ALL = 0o777;

/** What the kernel gives to what is made in a directory, as it was seen to: what is so already need not be set. */
export interface GivenAttributes {
  readonly uid: number;
  /** In a directory of this group. A directory of another group may hand its own down: the mount option grpid is for that. */
  readonly gid: number;
  /** Permissions come out as they were asked for: no umask, default ACL or mount option takes some away. */
  readonly exactModes: boolean;
}

/**
 * Makes a file without a name in a directory and looks at it. Undefined where that cannot be done: then nothing is known.
 * A file system may give files to somebody else than who makes them, as NFS does with root's.
 */
export function probeGivenAttributes(dirfd: number): GivenAttributes | undefined {
  let fd: number;
  try {
    fd = openat(dirfd, '.', O_TMPFILE | O_WRONLY, ALL);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
  try {
    const { uid, gid, mode } = fstat(fd);
    // A umask that is not this thread's own may change at any time.
    return { uid, gid, exactModes: threadUmaskIsClear() && (mode & ~S_IFMT) === ALL };
  } finally {
    closeSync(fd);
  }
}
