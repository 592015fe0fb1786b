import { LandfallError, systemCode, UnpackError, type UnpackErrorDetails } from '../errors.js';

/** What the kernel says when a file system or a quota is full. */
const FULL: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);

/**
 * Any failure as an error of this part: NO_SPACE or FILESYSTEM with what was being done, and the kernel's own error as
 * its cause. An error that landfall raised itself is passed on as it is.
 */
export function filesystemError(
  error: unknown,
  doing: string,
  details: Partial<UnpackErrorDetails> = {},
): LandfallError {
  if (error instanceof LandfallError) return error as LandfallError;
  const reason = error instanceof Error ? error.message : String(error);
  if (FULL.has(systemCode(error))) {
    return new UnpackError('NO_SPACE', `no space left while ${doing}: ${reason}`, {
      cause: error,
      details,
      hint: 'Free some space on the file system that holds the snapshots, then try again.',
    });
  }
  return new UnpackError('FILESYSTEM', `failed while ${doing}: ${reason}`, { cause: error, details });
}
