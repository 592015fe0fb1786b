import { isMainThread } from 'node:worker_threads';
import { libc, libcAvailable } from './libc.js';

/** linux/sched.h: what is shared is the root, the working directory and the umask. */
const CLONE_FS = 0x200;

let cleared = false;

/**
 * Gives the thread that calls it a umask of its own, which is 0, so that what it makes gets exactly the mode that it asks
 * for. The working directory is its own from then on as well. Does nothing in the main thread, where the umask belongs to
 * the program that landfall is a part of, and where a seccomp filter refuses it.
 */
export function clearThreadUmask(): void {
  if (cleared || isMainThread || !libcAvailable()) return;
  if (libc().unshare(CLONE_FS) < 0) return;
  libc().umask(0);
  cleared = true;
}

/** Whether {@link clearThreadUmask} did it in this thread. */
export function threadUmaskIsClear(): boolean {
  return cleared;
}
