import { LandfallError } from '../errors.js';
import { cString, libc, systemError, toBytePath } from './libc.js';
import { mountError } from './bind-mount.js';

const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/**
 * Takes away the topmost mount at a path (an ordinary string); a symlink there is not followed. With `lazy` it goes from
 * sight at once and ends when nobody uses it any more.
 *
 * @throws LandfallError INVALID_CONFIG where nothing is mounted there, IN_USE, UNSUPPORTED without the privilege
 */
export function unmount(target: string, o: { lazy?: boolean } = {}): void {
  const flags = UMOUNT_NOFOLLOW | (o.lazy === true ? MNT_DETACH : 0);
  if (libc().umount2(cString(toBytePath(target)), flags) >= 0) return;
  const error = systemError('umount2', toBytePath(target));
  if (error.code === 'EINVAL' || error.code === 'ENOENT' || error.code === 'ENOTDIR') {
    throw new LandfallError('INVALID_CONFIG', `${target} is not a mount point`, {
      cause: error,
      hint: 'Name the directory that was given to mount.',
    });
  }
  throw mountError(error, 'unmount what is', target);
}
