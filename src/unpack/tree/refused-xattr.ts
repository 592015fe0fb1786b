import { statfsSync } from 'node:fs';
import { systemCode } from '../../errors.js';

/**
 * What a kernel says of an extended attribute that this file system, this kind of file or this user cannot have, or whose
 * value it does not understand.
 */
const REFUSED: ReadonlySet<string | undefined> = new Set([
  'ENOTSUP',
  'EOPNOTSUPP',
  'EPERM',
  'EACCES',
  'E2BIG',
  'ERANGE',
  'EINVAL',
]);

/** ext4 says that no space is left where all attributes of a file would take more than one block; no block is larger. */
const ROOM = 64 * 1024;

/**
 * Why an extended attribute cannot be there; undefined where the failure is another one.
 *
 * @param directory - one of the same file system
 */
export function xattrRefusal(error: unknown, directory: string): string | undefined {
  const code = systemCode(error);
  if (REFUSED.has(code)) return code;
  return code === 'ENOSPC' && hasRoom(directory) ? 'larger than it can hold' : undefined;
}

function hasRoom(directory: string): boolean {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize > ROOM;
}
