import { closeSync, createReadStream } from 'node:fs';
import type { Abortable } from '../../errors.js';
import {
  AT_SYMLINK_NOFOLLOW,
  fstatat,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  type BytePath,
} from '../../system/index.js';
import { filesystemError } from '../filesystem-error.js';
import { lastName, parentPath } from '../tree/tree-path.js';
import { inDirectoryBelow, lendAccess, openTree } from '../tree/tree-walk.js';

/**
 * The bytes of a file in a layer's directory. No symlink is followed on the way.
 *
 * Errors: FILESYSTEM, also where it is not there any more; ABORTED.
 */
export async function* readUnpackedFile(
  directory: string,
  path: BytePath,
  { signal }: Abortable = {},
): AsyncGenerator<Buffer, void, undefined> {
  try {
    const fd = openBelow(directory, path);
    const stream = createReadStream('', { fd, signal });
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    throw filesystemError(error, `reading ${directory}`);
  }
}

function openBelow(directory: string, path: BytePath): number {
  const rootfd = openTree(directory);
  try {
    const name = lastName(path);
    const opened = inDirectoryBelow(rootfd, parentPath(path), (dirfd) => {
      const giveBack = lendAccess(dirfd, name, fstatat(dirfd, name, AT_SYMLINK_NOFOLLOW));
      try {
        return openat(dirfd, name, O_RDONLY | O_NOFOLLOW);
      } finally {
        giveBack?.();
      }
    });
    if (opened === undefined) throw Object.assign(new Error('it is not there any more'), { code: 'ENOENT' });
    return opened.result;
  } finally {
    closeSync(rootfd);
  }
}
