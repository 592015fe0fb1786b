import type { Abortable } from '../../errors.js';
import { type Digest, shortDigest } from '../../spec/index.js';
import { collectBeginning } from '../http/body-source.js';
import { contentLength } from '../http/content-encoding.js';
import { ERROR_BODY_BYTES } from '../http/error-response.js';
import type { ReferrersTarget } from './referrers.js';

/**
 * How many bytes a blob has, as the registry says to a HEAD (distribution-spec: Checking if content exists in the registry);
 * undefined where it does not say.
 *
 * @throws {RegistryError} all codes: NOT_FOUND where it is not there
 */
export async function blobSize(
  { chain, repository }: ReferrersTarget,
  digest: Digest,
  { signal }: Abortable = {},
): Promise<number | undefined> {
  return await chain.run({ capability: 'pull', signal }, async (turn) => {
    const response = await turn.host.request({
      method: 'HEAD',
      repository,
      path: `blobs/${digest}`,
      headers: { accept: '*/*' },
      access: [{ type: 'repository', name: repository, actions: 'pull' }],
      expected: [200],
      subject: `blob ${shortDigest(digest)} of ${chain.registry}/${repository}`,
      attempt: turn.attempt,
      signal: turn.signal,
      patienceMs: turn.patienceMs,
    });
    await collectBeginning(response, ERROR_BODY_BYTES);
    return contentLength(response);
  });
}
