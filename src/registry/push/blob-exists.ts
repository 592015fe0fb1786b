import { ContentError, RegistryError } from '../../errors.js';
import { type UploadTarget, type UploadTry, writing } from './blob-upload.js';
import { collectBeginning } from '../http/body-source.js';
import { contentLength } from '../http/content-encoding.js';
import { ERROR_BODY_BYTES } from '../http/error-response.js';

/**
 * Whether a host has a blob already (distribution-spec: Checking if content exists in the registry). False also where it
 * will not tell: the push then says why.
 *
 * @throws {ContentError} SIZE_MISMATCH where it is there with another length, so that the descriptor must be wrong
 */
export async function blobExists(
  { repository, descriptor, subject }: UploadTarget,
  { host, attempt, signal }: UploadTry,
): Promise<boolean> {
  const { digest, size } = descriptor;
  try {
    const response = await host.request({
      method: 'HEAD',
      repository,
      path: `blobs/${digest}`,
      headers: {},
      access: [writing(repository)],
      expected: [200, 404],
      subject,
      attempt,
      signal,
    });
    await collectBeginning(response, ERROR_BODY_BYTES);
    if (response.status === 404) return false;
    const actual = contentLength(response);
    if (actual === undefined || actual === 0 || actual === size) return true;
    throw new ContentError('SIZE_MISMATCH', `${host.name} has ${digest} with ${actual} bytes, not ${size}`, {
      hint: 'The descriptor of what is to be pushed is wrong; ask where it came from.',
      details: { digest, expected: size, actual },
    });
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  }
}

/** Who may only push is refused, and so are some HEADs by the bucket that they are redirected to. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof RegistryError)) return false;
  if (error.code === 'UNAUTHORIZED' || error.code === 'RATE_LIMITED') return false;
  const { status } = error.details;
  return status !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 425;
}
