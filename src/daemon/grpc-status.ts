import { status } from '@grpc/grpc-js';
import { type ErrorCode, isLandfallError } from '../errors.js';

/** The gRPC status of each error code; a code added without a row here does not compile. */
export const GRPC_STATUS: Readonly<Record<ErrorCode, status>> = {
  INVALID_REFERENCE: status.INVALID_ARGUMENT,
  INVALID_CONFIG: status.INVALID_ARGUMENT,

  NOT_FOUND: status.NOT_FOUND,
  NO_MATCHING_PLATFORM: status.NOT_FOUND,
  BLOB_NOT_FOUND: status.NOT_FOUND,
  SNAPSHOT_NOT_FOUND: status.NOT_FOUND,

  UNAUTHORIZED: status.UNAUTHENTICATED,
  DENIED: status.PERMISSION_DENIED,

  UNAVAILABLE: status.UNAVAILABLE,
  PROTOCOL: status.UNAVAILABLE,
  LOCKED: status.UNAVAILABLE,
  RATE_LIMITED: status.RESOURCE_EXHAUSTED,
  NO_SPACE: status.RESOURCE_EXHAUSTED,

  DIGEST_MISMATCH: status.DATA_LOSS,
  SIZE_MISMATCH: status.DATA_LOSS,
  DIFF_ID_MISMATCH: status.DATA_LOSS,
  STORE_CORRUPT: status.DATA_LOSS,

  REDIRECT_REFUSED: status.FAILED_PRECONDITION,
  SIGNATURE_MISSING: status.FAILED_PRECONDITION,
  SIGNATURE_INVALID: status.FAILED_PRECONDITION,
  POLICY_REJECTED: status.FAILED_PRECONDITION,
  INVALID_DIGEST: status.FAILED_PRECONDITION,
  INVALID_MANIFEST: status.FAILED_PRECONDITION,
  UNSUPPORTED_MEDIA_TYPE: status.FAILED_PRECONDITION,
  LIMIT_EXCEEDED: status.FAILED_PRECONDITION,
  UNSAFE_PATH: status.FAILED_PRECONDITION,
  BAD_ARCHIVE: status.FAILED_PRECONDITION,
  UNSUPPORTED_ENTRY: status.FAILED_PRECONDITION,
  UNSUPPORTED: status.FAILED_PRECONDITION,
  IN_USE: status.FAILED_PRECONDITION,
  ALREADY_EXISTS: status.ALREADY_EXISTS,

  FILESYSTEM: status.INTERNAL,
  ABORTED: status.CANCELLED,
};

/** An error that has another status than its code, or a message of its own, since a specification asks for it. */
export class StatusError extends Error {
  readonly status: status;

  constructor(code: status, message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'StatusError';
    this.status = code;
  }
}

/** The status of whatever was thrown; INTERNAL for what landfall did not raise on purpose. */
export function grpcStatusOf(error: unknown): status {
  if (error instanceof StatusError) return error.status;
  return isLandfallError(error) ? GRPC_STATUS[error.code] : status.INTERNAL;
}
