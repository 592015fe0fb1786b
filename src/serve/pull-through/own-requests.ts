import { TrustError } from '../../errors.js';
import { RegistryFault } from '../registry-fault.js';
import type { Route } from '../route.js';
import type { ServeSource } from '../serve-source.js';
import type { UpstreamGate } from './upstream-gate.js';

/**
 * Holds what a mirror asks itself for against its policy, without asking anybody for signatures, since that may come back here: to it
 * what may be given to nobody is not here, so that it goes on to the next host.
 *
 * @param repository `registry/repository`
 * @throws RegistryFault 404
 */
export async function requireKnown(
  source: Pick<ServeSource, 'resolve'>,
  gate: Pick<UpstreamGate, 'admitBlob' | 'knows'>,
  repository: string,
  route: Route,
): Promise<void> {
  if (route.kind === 'blob') {
    try {
      await gate.admitBlob(repository, route.digest);
      return;
    } catch (error) {
      if (!(error instanceof TrustError)) throw error;
      throw new RegistryFault(404, 'BLOB_UNKNOWN', 'it is not here');
    }
  }
  if (route.kind !== 'manifest') return;
  const tag = 'tag' in route ? route.tag : undefined;
  const digest = 'tag' in route ? (await source.resolve(repository, route.tag))?.digest : route.digest;
  if (digest === undefined || (await gate.knows(repository, digest, tag))) return;
  throw new RegistryFault(404, 'MANIFEST_UNKNOWN', 'it is not here');
}
