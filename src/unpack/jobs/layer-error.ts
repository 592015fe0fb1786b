import { ContentError, LandfallError, UnpackError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import { filesystemError } from '../terms/archive-error.js';
import type { LayerInput } from './layer-input.js';

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
export function refuseOtherDiffId(layer: Pick<LayerInput, 'descriptor' | 'diffId'>, diffId: Digest): void {
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
