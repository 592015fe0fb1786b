import type { Credentials, RegistryClient } from '../../registry/index.js';

/**
 * A client with the credentials that somebody came with, which are shown to the one registry that they are for; without any, with the
 * daemon's own.
 *
 * @param host as references name the registry: `docker.io`, `127.0.0.1:5000`
 */
export function registryFor(
  registry: RegistryClient,
  host: string,
  credentials: Credentials | undefined,
): RegistryClient {
  if (credentials === undefined) return registry;
  return registry.withCredentials((asked) => Promise.resolve(asked === host ? credentials : undefined));
}
