/**
 * Every error that landfall raises on purpose. Branch on {@link LandfallError.code}, never on message text.
 *
 * A message says what failed and why; `hint` says what a person can do; `details` carries the same facts
 * typed. None of them ever holds a credential, a token or the query of a signed URL.
 */

/** Codes of a {@link SpecError}. */
export type SpecErrorCode =
  | 'INVALID_REFERENCE'
  | 'INVALID_DIGEST'
  | 'INVALID_MANIFEST'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'NO_MATCHING_PLATFORM'
  | 'LIMIT_EXCEEDED';
/** Codes of a {@link RegistryError}. */
export type RegistryErrorCode =
  'UNAUTHORIZED' | 'DENIED' | 'NOT_FOUND' | 'RATE_LIMITED' | 'UNAVAILABLE' | 'PROTOCOL' | 'REDIRECT_REFUSED';
/** Codes of a {@link ContentError}. */
export type ContentErrorCode =
  | 'DIGEST_MISMATCH'
  | 'SIZE_MISMATCH'
  | 'BLOB_NOT_FOUND'
  | 'NO_SPACE'
  | 'STORE_CORRUPT'
  | 'LOCKED'
  | 'FILESYSTEM';
/** Codes of an {@link UnpackError}. */
export type UnpackErrorCode =
  | 'UNSAFE_PATH'
  | 'BAD_ARCHIVE'
  | 'DIFF_ID_MISMATCH'
  | 'UNSUPPORTED_ENTRY'
  | 'SNAPSHOT_NOT_FOUND'
  | 'NO_SPACE'
  | 'LIMIT_EXCEEDED'
  | 'FILESYSTEM';
/** Codes of a {@link TrustError}. */
export type TrustErrorCode = 'SIGNATURE_MISSING' | 'SIGNATURE_INVALID' | 'POLICY_REJECTED';
/** Codes that any part may raise. */
export type CommonErrorCode = 'ABORTED' | 'INVALID_CONFIG' | 'UNSUPPORTED' | 'ALREADY_EXISTS' | 'IN_USE';

/** All codes that an error may have. What each means and what to do stands in docs/troubleshooting.md. */
export type ErrorCode =
  SpecErrorCode | RegistryErrorCode | ContentErrorCode | UnpackErrorCode | TrustErrorCode | CommonErrorCode;

/** JSON-safe facts about an error. The subclasses say which keys to expect. */
export type ErrorDetails = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

/** The parts of a {@link LandfallError}. */
export interface ErrorOptions<D extends ErrorDetails = ErrorDetails> {
  /** The error that caused it. */
  cause?: unknown;
  /** Whether the same call may succeed later without any change. Default false. */
  retryable?: boolean;
  /** The remedy, in one sentence, imperative. Default: the remedy of the code. */
  hint?: string | undefined;
  /** The facts, typed. */
  details?: D;
}

/** The remedy of each code, where the place of the error has no better one. */
const HINTS: Readonly<Record<ErrorCode, string>> = {
  INVALID_REFERENCE: 'Write it as [HOST/]REPOSITORY[:TAG][@DIGEST], in lower case.',
  INVALID_DIGEST: 'Write it as ALGORITHM:HEX, such as sha256: and 64 lower-case hexadecimal digits.',
  INVALID_MANIFEST: 'The image was published wrongly; ask its publisher for a new build.',
  UNSUPPORTED_MEDIA_TYPE: 'Ask the publisher for an image in the OCI or Docker schema 2 format.',
  NO_MATCHING_PLATFORM: 'Choose a platform that the image has with --platform.',
  LIMIT_EXCEEDED: 'No honest image is known to need this much; ask its publisher.',
  UNAUTHORIZED: 'Log in with `landfall login`, or give credentials with --creds or --authfile.',
  DENIED: 'Ask the owner of the repository for access.',
  NOT_FOUND: 'Check the spelling of repository and tag.',
  RATE_LIMITED: 'Wait a while, or log in: registries allow more to known users.',
  UNAVAILABLE: 'Check the network and the registry, then run it again; partial downloads are kept.',
  PROTOCOL: 'Check that the host is an OCI registry, and what stands between it and this machine.',
  REDIRECT_REFUSED: 'Ask who runs the registry; where it sent this request is not safe.',
  DIGEST_MISMATCH: 'Something altered the bytes; try again, and do not use them if it stays so.',
  SIZE_MISMATCH: 'Something altered the bytes; try again, and do not use them if it stays so.',
  BLOB_NOT_FOUND: 'Pull the image first; `landfall images` lists the images.',
  NO_SPACE: 'Free some space, or remove unused content with `landfall gc`.',
  STORE_CORRUPT: 'Look at the files below the root before anything else writes there.',
  LOCKED: 'Wait for the other landfall process on this root.',
  FILESYSTEM: 'Check the permissions and the health of the file system, or choose another --root.',
  UNSAFE_PATH: 'Do not use this image: it tries to write outside of its own root.',
  BAD_ARCHIVE: 'The layer was built wrongly; ask for a new build of the image.',
  DIFF_ID_MISMATCH: 'The image was built wrongly or tampered with; do not use it.',
  UNSUPPORTED_ENTRY: 'Ask for a new build of the image.',
  SNAPSHOT_NOT_FOUND: 'Pull the image again to unpack it.',
  SIGNATURE_MISSING: 'Ask the publisher for a signature, or change the policy.',
  SIGNATURE_INVALID: 'Do not use this image.',
  POLICY_REJECTED: 'Change the policy to use this image.',
  ABORTED: 'Run it again; partial downloads are kept.',
  INVALID_CONFIG: 'See --help.',
  UNSUPPORTED: 'See `landfall doctor` for what this machine can do.',
  ALREADY_EXISTS: 'Choose another name.',
  IN_USE: 'Stop what uses it first.',
};

/**
 * An error that landfall raises on purpose. Its subclasses say which part failed, and its code what went
 * wrong.
 */
export class LandfallError<
  C extends ErrorCode = ErrorCode,
  D extends ErrorDetails = ErrorDetails,
> extends Error {
  /** The kind of failure: branch on this, never on the message. */
  readonly code: C;
  /** Whether the same call may succeed later without any change. */
  readonly retryable: boolean;
  /** The remedy: one sentence. */
  readonly hint: string;
  /** The facts, typed. */
  readonly details: Partial<D>;

  constructor(code: C, message: string, options: ErrorOptions<D> = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.hint = options.hint ?? HINTS[code];
    this.details = options.details ?? {};
  }

  /** The error as plain data: what `--output json` prints and what crosses from a worker thread. */
  toJSON(): ErrorJson {
    return {
      name: this.name,
      code: this.code,
      message: this.message,
      retryable: this.retryable,
      hint: this.hint,
      ...(Object.keys(this.details).length === 0 ? {} : { details: this.details }),
    };
  }
}

/** An error as plain data. */
export interface ErrorJson {
  /** Of its class. */
  name: string;
  /** The kind of failure: branch on this. */
  code: ErrorCode;
  /** The thing that failed, and why. */
  message: string;
  /** Whether the same call may succeed later without any change. */
  retryable: boolean;
  /** The remedy. */
  hint: string;
  /** The same facts typed. */
  details?: ErrorDetails;
}

/** Whether it is one of ours, whatever its codes: `instanceof` alone forgets which there are. */
export function isLandfallError(error: unknown): error is LandfallError {
  return error instanceof LandfallError;
}

/**
 * Whether it says that bytes are not those that their descriptor names: another digest, too few, or too many.
 */
export function isWrongContent(error: unknown): error is LandfallError {
  return isLandfallError(error) && (error.code === 'DIGEST_MISMATCH' || error.code === 'SIZE_MISMATCH');
}

/** A reference, digest, manifest or platform that breaks its specification. */
export class SpecError extends LandfallError<SpecErrorCode | CommonErrorCode> {}

/** The facts of a {@link RegistryError}, as far as they are known. */
export interface RegistryErrorDetails extends Record<
  string,
  string | number | readonly string[] | undefined
> {
  /** Of the HTTP request. */
  method?: string;
  /** Without user info and query. */
  url?: string;
  /** Of the HTTP answer. */
  status?: number;
  /** The registry's own error codes (distribution-spec: Error Codes). */
  registryCodes?: readonly string[] | undefined;
  /** How often it was asked for in vain, where that was more than once; it is not asked for again then. */
  attempts?: number;
  /** How long the registry wants to be left alone, in milliseconds. */
  retryAfterMs?: number | undefined;
}
/** A failure at the remote side. */
export class RegistryError extends LandfallError<RegistryErrorCode | CommonErrorCode, RegistryErrorDetails> {}

/** The facts of a {@link ContentError}, as far as they are known. */
export interface ContentErrorDetails extends Record<string, string | number | readonly string[] | undefined> {
  /** Of the content. */
  digest?: string;
  /** A digest, or a size in bytes. */
  expected?: string | number;
  /** A digest, or a size in bytes. */
  actual?: string | number | undefined;
  /** Of the file. */
  path?: string;
}
/** A failure in the local content store. */
export class ContentError extends LandfallError<ContentErrorCode | CommonErrorCode, ContentErrorDetails> {}

/** The facts of an {@link UnpackError}, as far as they are known. */
export interface UnpackErrorDetails extends Record<string, string | number | readonly string[] | undefined> {
  /** The layer's digest. */
  layer?: string;
  /** The entry's path as the archive has it. */
  entry?: string;
  /** A digest. */
  expected?: string;
  /** A digest. */
  actual?: string;
  /** Of the file or directory. */
  path?: string;
}
/** A failure while a layer became a directory. */
export class UnpackError extends LandfallError<UnpackErrorCode | CommonErrorCode, UnpackErrorDetails> {}

/** The facts of a {@link TrustError}, as far as they are known. */
export interface TrustErrorDetails extends Record<string, string | number | readonly string[] | undefined> {
  /** Path of the policy's file. */
  policy?: string;
  /** What of it decided: `docker:quay.io/team`, `oci:` for a transport's own default, `default`. */
  scope?: string;
  /** Where that stands in the file, from 1. */
  line?: number;
  /** The image, as a person would write it. */
  image?: string;
  /** The requirement that was not met. */
  requirement?: string;
  /** Where signatures were looked for. */
  tried?: readonly string[];
  /** Why each signature was refused. */
  signatures?: readonly string[];
}
/** Why an image is not to be used under a signature policy. */
export class TrustError extends LandfallError<TrustErrorCode | CommonErrorCode, TrustErrorDetails> {}

const CLASSES = { SpecError, RegistryError, ContentError, UnpackError, TrustError };

/** The inverse of {@link LandfallError.toJSON}, since structured cloning keeps neither class nor code. */
export function errorFromJSON({ name, code, message, retryable, hint, details }: ErrorJson): LandfallError {
  const Class = Object.hasOwn(CLASSES, name) ? CLASSES[name as keyof typeof CLASSES] : LandfallError;
  // JSON of `toJSON` has the code and the details of its class.
  return new (Class as typeof LandfallError)(code, message, { retryable, hint, ...(details && { details }) });
}

/** The error for a signal that was aborted; its reason is kept as the cause. */
export function abortedError(signal?: AbortSignal): LandfallError<'ABORTED'> {
  return new LandfallError('ABORTED', 'the operation was aborted', {
    cause: signal?.reason,
    retryable: true,
  });
}

/** Throws {@link abortedError} when the signal is aborted. */
export function throwIfAborted(signal?: AbortSignal): void {
  if (signal?.aborted === true) throw abortedError(signal);
}

/** The `code` of a Node system error (`ENOENT`, `ENOSPC`, …), or undefined. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/** An option that every long operation takes. */
export interface Abortable {
  /** Aborting it ends the operation with ABORTED, once it has cleaned up after itself. */
  signal?: AbortSignal | undefined;
}
