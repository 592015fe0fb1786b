import type { Abortable } from '../../errors.js';
import { type Digest, shortDigest } from '../../spec/index.js';
import { HeadRequests } from '../hosts/head-requests.js';
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
  const heads = new HeadRequests();
  return await chain.run({ capability: 'pull', signal }, async (turn) => {
    const { size } = await heads.blob(turn.host, {
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
    return size;
  });
}
