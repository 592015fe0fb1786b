import { ContentError, RegistryError } from '../../errors.js';
import type { BlobAnswer, HeadRequests } from '../hosts/head-requests.js';
import { type UploadTarget, type UploadTry, writing } from './blob-upload.js';

/**
 * How a host that does not say whether it has a blob, or that it has none: who may only push is refused, and so are some by the
 * bucket that they are redirected to. All of 4xx but what asks for credentials, or may pass, or says that there are no bytes.
 */
const REFUSALS: readonly number[] = Array.from({ length: 100 }, (_, at) => 400 + at).filter(
  (status) => ![401, 407, 408, 416, 425, 429].includes(status),
);

/**
 * Whether a host has a blob already (distribution-spec: Checking if content exists in the registry). False also where it
 * will not tell: the push then says why.
 *
 * @throws {ContentError} SIZE_MISMATCH where it is there with another length, so that the descriptor must be wrong
 */
export async function blobExists(
  { repository, descriptor, subject }: UploadTarget,
  { host, attempt, signal }: UploadTry,
  heads: HeadRequests,
): Promise<boolean> {
  const { digest, size } = descriptor;
  const ask = async (): Promise<BlobAnswer> =>
    await heads.blob(host, {
      repository,
      path: `blobs/${digest}`,
      headers: {},
      access: [writing(repository)],
      expected: [200, ...REFUSALS],
      subject,
      attempt,
      signal,
    });
  try {
    let answer = await ask();
    if (isOfAnotherSize(answer, size)) {
      heads.distrust(host);
      const byGet = await ask();
      if (!REFUSALS.includes(byGet.status)) answer = byGet;
    }
    if (!isOfAnotherSize(answer, size)) return !REFUSALS.includes(answer.status);
    throw new ContentError(
      'SIZE_MISMATCH',
      `${host.name} has ${digest} with ${answer.size ?? 'other'} bytes, not ${size}`,
      {
        hint: 'The descriptor of what is to be pushed is wrong; ask where it came from.',
        details: { digest, expected: size, ...(answer.size === undefined ? {} : { actual: answer.size }) },
      },
    );
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code === 'UNAUTHORIZED') throw error;
    const { status } = error.details;
    // A bucket may ask for credentials of its own. Nothing of what is final says that there is no pushing.
    if (status !== undefined && (status === 401 || REFUSALS.includes(status) || !error.retryable))
      return false;
    throw error;
  }
}

/** Where the length is left out some say 0. */
function isOfAnotherSize({ status, size = 0 }: BlobAnswer, expected: number): boolean {
  return !REFUSALS.includes(status) && size !== 0 && size !== expected;
}
