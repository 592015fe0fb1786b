import { isMainThread } from 'node:worker_threads';
import { libc, libcAvailable, systemError } from './libc.js';

/**
 * Writes everything of the file system that holds this descriptor to the disk, and reports a write that
 * failed since the descriptor was opened (Linux 5.8). Blocks the calling thread.
 *
 * @throws SystemError
 */
export function syncfs(fd: number): void {
  if (libc().syncfs(fd) < 0) throw systemError('syncfs');
}

/**
 * The same on a thread of libuv's pool. The descriptor has to stay open.
 *
 * @throws SystemError
 */
export function syncfsInBackground(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    libc().syncfs.async(fd, (_, result) => {
      if (result < 0) reject(systemError('syncfs'));
      else resolve();
    });
  });
}

/** SYNC_FILE_RANGE_WRITE: begin, and wait for nothing. */
const WRITE = 2;

/**
 * Has the kernel begin to write to the disk what it has of a file, on a thread of libuv's pool, since it
 * waits where the disk has enough to do. Nothing is promised by it: what fails is told by the file's fsync,
 * and where the C library has no such call nothing happens. The descriptor has to stay open.
 */
export function startWriteback(fd: number): Promise<void> {
  const call = libc().sync_file_range;
  if (call === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    // To its end, however long it is by now.
    call.async(fd, 0, 0, WRITE, () => resolve());
  });
}

/** linux/sched.h: what is shared is the root, the working directory and the umask. */
const CLONE_FS = 0x200;

let cleared = false;

/**
 * Gives the thread that calls it a umask of its own, which is 0, so that what it makes gets exactly the mode
 * that it asks for. The working directory is its own from then on as well. Does nothing in the main thread,
 * where the umask belongs to the program that landfall is a part of, and where a seccomp filter refuses it.
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
