import { libc, systemError } from './libc.js';

/**
 * Writes everything of the file system that holds this descriptor to the disk, and reports a write that failed since
 * the descriptor was opened (Linux 5.8). Blocks the calling thread.
 *
 * @throws SystemError
 */
export function syncfs(fd: number): void {
  if (libc().syncfs(fd) < 0) throw systemError('syncfs');
}
