import { LandfallError } from '../../errors.js';
import { decodeAuth } from './auth-file.js';
import { parseAuthKey } from './auth-key.js';
import type { Credentials, CredentialsProvider } from './credentials.js';

/** What the kubelet sends with a pull (CRI: `runtime.v1.AuthConfig`); empty strings are as good as none. */
export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  /** `USER:PASSWORD` in base64. */
  readonly auth?: string;
  /** Where it is for one registry only: a host, or a URL. */
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

/**
 * A provider of these credentials: for the registry that `serverAddress` names, else for all.
 *
 * Of several kinds the first counts, in containerd's order: user and password, identity token, `auth`, and then the
 * registry token, which containerd does not know.
 *
 * @throws {LandfallError} INVALID_CONFIG for an `auth` that is not USER:PASSWORD in base64
 */
export function credentialsFromAuthConfig(config: AuthConfig): CredentialsProvider {
  const credentials = credentialsOf(config);
  const { serverAddress = '' } = config;
  const host = serverAddress === '' ? undefined : parseAuthKey(serverAddress).host;
  return (registry) =>
    Promise.resolve(host === undefined || host === parseAuthKey(registry).host ? credentials : undefined);
}

function credentialsOf(config: AuthConfig): Credentials | undefined {
  const { username = '', password = '', identityToken = '', auth = '', registryToken = '' } = config;
  if (username !== '' && password !== '') return { username, password };
  if (identityToken !== '') return { identityToken };
  if (auth !== '') {
    const pair = decodeAuth(auth);
    if (pair !== undefined) return pair;
    throw new LandfallError('INVALID_CONFIG', 'the auth of a pull is not USER:PASSWORD in base64', {
      hint: 'Check the image pull secret of the pod.',
    });
  }
  if (registryToken !== '') return { registryToken };
  return username === '' ? undefined : { username, password };
}
