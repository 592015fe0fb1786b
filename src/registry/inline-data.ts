import { ContentError } from '../errors.js';
import { createDigester, type Descriptor } from '../spec/index.js';
import type { PartBody } from './blob-body.js';

/**
 * The content that a descriptor carries itself, verified (image-spec: descriptor.md, `data`); undefined where it carries
 * none.
 *
 * @throws {ContentError} DIGEST_MISMATCH, SIZE_MISMATCH
 */
export function inlineData({ data, digest, size }: Descriptor): Buffer | undefined {
  if (data === undefined) return undefined;
  const bytes = Buffer.from(data, 'base64');
  const hint = 'The image was put together wrongly, or tampered with; do not use it.';
  if (bytes.length !== size) {
    throw new ContentError(
      'SIZE_MISMATCH',
      `${digest} should have ${size} bytes, and its descriptor carries ${bytes.length}`,
      { hint, details: { digest, expected: size, actual: bytes.length } },
    );
  }
  const actual = createDigester(digest).update(bytes).digest();
  if (actual === digest) return bytes;
  throw new ContentError('DIGEST_MISMATCH', `${digest} is not what its descriptor carries`, {
    hint,
    details: { digest, expected: digest, actual },
  });
}

/** Bytes that are here already, as a body. */
export function bodyOf(bytes: Uint8Array): PartBody {
  let left: readonly Uint8Array[] | undefined = bytes.byteLength === 0 ? undefined : [bytes];
  const take = (): readonly Uint8Array[] | undefined => {
    const batch = left;
    left = undefined;
    return batch;
  };
  return { next: () => Promise.resolve(take()), destroy: () => void take() };
}
