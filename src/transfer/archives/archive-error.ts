import {
  abortedError,
  ContentError,
  isLandfallError,
  type LandfallError,
  systemCode,
  UnpackError,
} from '../../errors.js';

const HINT = 'Copy the archive again from where it was written, or have it written anew.';

/** The archive breaks its format, or is not whole. */
export function brokenArchive(location: string, fault: string): UnpackError {
  return new UnpackError('BAD_ARCHIVE', `${location}: ${fault}`, { hint: HINT, details: { path: location } });
}

/** The archive asks for more than any honest one does. */
export function archiveTooLarge(location: string, fault: string): UnpackError {
  return new UnpackError('LIMIT_EXCEEDED', `${location}: ${fault}`, {
    hint: 'No honest archive is known to need this much; ask who wrote it.',
    details: { path: location },
  });
}

/** What an error of reading means for an archive: one about tar or compression names the archive, others pass. */
export function archiveError(error: unknown, location: string, signal?: AbortSignal): LandfallError {
  if (signal?.aborted === true) return abortedError(signal);
  if (error instanceof UnpackError && error.details.path === undefined) {
    return error.code === 'BAD_ARCHIVE'
      ? brokenArchive(location, error.message)
      : new UnpackError(error.code, `${location}: ${error.message}`, {
          cause: error,
          hint: HINT,
          details: { path: location },
        });
  }
  if (isLandfallError(error)) return error;
  const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
  const reason = error instanceof Error ? error.message : String(error);
  return new ContentError(full ? 'NO_SPACE' : 'FILESYSTEM', `${location} could not be read: ${reason}`, {
    cause: error,
    details: { path: location },
    hint: full
      ? 'An archive that is compressed or comes from a pipe is unpacked to $TMPDIR, or /var/tmp: make room there.'
      : 'Look at the file, and at the disk that it lies on.',
  });
}
