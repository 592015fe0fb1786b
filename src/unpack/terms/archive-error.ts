import { LandfallError, systemCode, UnpackError, type UnpackErrorDetails } from '../../errors.js';
import { quoted } from '../../spec/index.js';
import { type BytePath, fromBytePath } from '../../system/index.js';

/** An entry's path fit for a message. */
export function printable(path: BytePath): string {
  return quoted(fromBytePath(path), 200);
}

/** The archive breaks its own format, or asks for what no archive may. */
export function badArchive(message: string, entry?: BytePath): UnpackError {
  const error = new UnpackError('BAD_ARCHIVE', message, {
    hint: 'The layer was built wrongly; ask for a new build of the image.',
  });
  return entry === undefined ? error : atEntry(error, entry);
}

/** A bound of LIMITS, or one that the caller set, is exceeded. */
export function limitExceeded(message: string, entry?: BytePath): UnpackError {
  const error = new UnpackError('LIMIT_EXCEEDED', message, {
    hint: 'No honest image is known to need this much; raise the limit (--unpack-limit) only for one that you trust.',
  });
  return entry === undefined ? error : atEntry(error, entry);
}

/** The same error, naming the entry that it is about. */
export function atEntry(error: UnpackError, entry: BytePath): UnpackError {
  return new UnpackError(error.code, `${printable(entry)}: ${error.message}`, {
    cause: error.cause,
    retryable: error.retryable,
    hint: error.hint,
    details: { ...error.details, entry: fromBytePath(entry) },
  });
}

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
