import {
  ContentError,
  LandfallError,
  systemCode,
  UnpackError,
  type UnpackErrorDetails,
} from '../../errors.js';
import { type Descriptor, type Digest, quoted } from '../../spec/index.js';
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
 * Any failure as an error of this part: NO_SPACE or FILESYSTEM with what was being done, and the kernel's own
 * error as its cause. An error that landfall raised itself is passed on as it is.
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

/** Of so many kinds at most: a layer may find ever new ones, and nobody reads them all. */
const MOST = 100;

/** Takes what people should know, as {@link Warnings} does. */
export type WarningSink = Pick<Warnings, 'add'>;

/**
 * Things that people should know but that stop nothing. Each kind is said once, about the first that had it.
 */
export class Warnings {
  readonly #messages = new Map<string, string>();

  once(kind: string, message: string): void {
    if (this.#messages.has(kind)) return;
    if (this.#messages.size < MOST) this.#messages.set(kind, message);
    else this.#messages.set('', 'there are more warnings for this layer than are shown');
  }

  /** Says what is the same for all that it is about. */
  add(message: string): void {
    this.once(message, message);
  }

  list(): string[] {
    return [...this.#messages.values()];
  }
}

/** The same error, naming the layer. */
export function layerError(error: unknown, digest: Digest): LandfallError {
  const known = filesystemError(error, 'unpacking the layer');
  if (known.code === 'ABORTED') return known;
  const options = {
    cause: known.cause ?? known,
    retryable: known.retryable,
    hint: known.hint,
  };
  const message = `layer ${digest}: ${known.message}`;
  if (!(known instanceof UnpackError))
    return new LandfallError(known.code, message, { ...options, details: known.details });
  return new UnpackError(known.code, message, { ...options, details: { ...known.details, layer: digest } });
}

/**
 * Holds what a layer was found to be against what the image config says.
 *
 * @throws {UnpackError} DIFF_ID_MISMATCH
 */
export function refuseOtherDiffId(
  layer: { readonly descriptor: Descriptor; readonly diffId: Digest },
  diffId: Digest,
): void {
  if (diffId === layer.diffId) return;
  const { digest } = layer.descriptor;
  throw new UnpackError(
    'DIFF_ID_MISMATCH',
    `layer ${digest} unpacks to ${diffId}, and the image config says ${layer.diffId}`,
    {
      details: { layer: digest, expected: layer.diffId, actual: diffId },
      hint: 'The image was built wrongly or tampered with; do not use it.',
    },
  );
}

/**
 * Holds a blob's digest against what it reads as.
 *
 * @throws {ContentError} DIGEST_MISMATCH
 */
export function refuseOtherDigest(digest: Digest, actual: Digest): void {
  if (actual === digest) return;
  throw new ContentError('DIGEST_MISMATCH', `blob ${digest} reads as ${actual}`, {
    hint: 'The blob is damaged where it lies; fetch it again.',
    details: { digest, expected: digest, actual },
  });
}

/** Whether an error is about what the layer holds, and may be the fault of damaged bytes. */
export function isContentError(error: unknown): boolean {
  if (!(error instanceof LandfallError)) return false;
  switch (error.code) {
    case 'NO_SPACE':
    case 'FILESYSTEM':
    case 'ABORTED':
      return false;
    default:
      return true;
  }
}
