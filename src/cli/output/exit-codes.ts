import { type ErrorCode, isLandfallError } from '../../errors.js';

export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 130 | 143;

/** The exit code of each error code; a code added without a row here does not compile. */
export const EXIT_CODES: Readonly<Record<ErrorCode, ExitCode>> = {
  UNSUPPORTED: 1,
  ALREADY_EXISTS: 1,
  IN_USE: 1,
  LOCKED: 1,

  INVALID_REFERENCE: 2,
  INVALID_CONFIG: 2,

  NOT_FOUND: 3,
  NO_MATCHING_PLATFORM: 3,
  BLOB_NOT_FOUND: 3,
  SNAPSHOT_NOT_FOUND: 3,

  UNAUTHORIZED: 4,
  DENIED: 4,

  UNAVAILABLE: 5,
  RATE_LIMITED: 5,
  PROTOCOL: 5,
  REDIRECT_REFUSED: 5,

  CERTIFICATE_INVALID: 6,
  DIGEST_MISMATCH: 6,
  SIZE_MISMATCH: 6,
  DIFF_ID_MISMATCH: 6,
  STORE_CORRUPT: 6,
  SIGNATURE_MISSING: 6,
  SIGNATURE_INVALID: 6,
  POLICY_REJECTED: 6,

  INVALID_DIGEST: 7,
  INVALID_MANIFEST: 7,
  UNSUPPORTED_MEDIA_TYPE: 7,
  LIMIT_EXCEEDED: 7,
  UNSAFE_PATH: 7,
  BAD_ARCHIVE: 7,
  UNSUPPORTED_ENTRY: 7,

  NO_SPACE: 8,
  FILESYSTEM: 8,

  ABORTED: 130,
};

/** The exit code of whatever was thrown; 1 for what landfall did not raise on purpose. */
export function exitCodeOf(error: unknown): ExitCode {
  return isLandfallError(error) ? EXIT_CODES[error.code] : 1;
}
