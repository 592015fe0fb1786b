import type { CredentialsProvider } from '../auth/credentials.js';
import type { HostConfig } from './host-config.js';

/**
 * Whose credentials a host is shown. A mirror has its own, those stored for its own address, or none: the registry's
 * never go to it unless its configuration says so.
 *
 * @param stored finds credentials by the name of a registry
 */
export function hostCredentials(
  registry: string,
  { credentials, role, base }: Pick<HostConfig, 'credentials' | 'role' | 'base'>,
  stored: CredentialsProvider | undefined,
): CredentialsProvider | undefined {
  if (typeof credentials === 'function') return credentials;
  if (typeof credentials !== 'string') return () => Promise.resolve(credentials);
  if (credentials === 'none' || stored === undefined) return undefined;
  const name = credentials === 'upstream' || role === 'upstream' ? registry : base.host;
  return (_registry, repository) => stored(name, repository);
}
