import { isLandfallError, LandfallError, UnpackError } from '../errors.js';
import { SystemError } from './system-error.js';

/** A failed mount in the words of the person who asked for it. `reason` is what the kernel says of it, where it says something. */
export function mountError(error: unknown, what: string, target: string, reason?: string): LandfallError {
  if (isLandfallError(error)) return error;
  const code = error instanceof SystemError ? error.code : undefined;
  const because = reason ?? (error instanceof Error ? error.message : String(error));
  const message = `cannot ${what} at ${target}: ${because}`;
  switch (code) {
    case 'EPERM':
    case 'EACCES':
      return new LandfallError('UNSUPPORTED', message, {
        cause: error,
        hint: 'Mounting needs root (CAP_SYS_ADMIN), or a user and mount namespace of its own: `unshare -Urm`.',
      });
    case 'ENODEV':
      return new LandfallError('UNSUPPORTED', message, {
        cause: error,
        hint: 'Load the overlay module (`modprobe overlay`), or use the native snapshotter, which needs no mounts.',
      });
    case 'EBUSY':
      return new LandfallError('IN_USE', message, {
        cause: error,
        hint: 'See that no process has a file open there or works in it, and that no other mount uses the same upper directory.',
      });
    case 'ENOSPC':
      return new UnpackError('NO_SPACE', message, {
        cause: error,
        details: { path: target },
        hint: 'The limit of mounts of this namespace may be reached: see /proc/sys/fs/mount-max.',
      });
    case 'EINVAL':
      return new UnpackError('FILESYSTEM', message, {
        cause: error,
        details: { path: target },
        hint: 'See `dmesg` for what the kernel objects to. An upper and a work directory lie on one file system, which holds trusted.* attributes and is no overlay itself.',
      });
    default:
      return new UnpackError('FILESYSTEM', message, { cause: error, details: { path: target } });
  }
}
