import { type Abortable, isLandfallError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Reference, repositoryName } from '../../spec/index.js';
import type { SignatureSource } from '../../trust/index.js';

/** The signatures in an image's repository, asked for by the same hosts, mirrors and credentials as the image. */
export function registrySignatures(
  client: Pick<RegistryClient, 'resolver' | 'repository'>,
  { registry, repository }: Reference,
): SignatureSource {
  const remote = client.repository({ registry, repository });
  return {
    location: `docker://${repositoryName({ registry, repository })}`,
    resolve: async (tag, options: Abortable = {}) => {
      try {
        return await client.resolver().resolve({ registry, repository, tag }, options);
      } catch (error) {
        if (isLandfallError(error) && error.code === 'NOT_FOUND') return undefined;
        throw error;
      }
    },
    referrers: (subject, options) => remote.referrers(subject, options),
    fetch: (descriptor, options) => remote.fetch(descriptor, options),
  };
}
