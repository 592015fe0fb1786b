import type { Credentials } from '../../registry/index.js';
import { LandfallError } from '../../errors.js';
import type { AuthConfig } from './messages.js';

/**
 * The credentials that a client sends with a pull (CRI: AuthConfig), in the order in which peers look at its fields. Undefined
 * where there are none, or they are for another registry than the one that is pulled from: it is never shown them.
 *
 * @param registry as references name it: `docker.io`, `127.0.0.1:5000`
 * @throws LandfallError INVALID_CONFIG
 */
export function credentialsOf(auth: AuthConfig | null, registry: string): Credentials | undefined {
  if (auth === null || !isFor(auth.serverAddress, registry)) return undefined;
  if (auth.registryToken !== '') return { registryToken: auth.registryToken };
  if (auth.identityToken !== '') return { identityToken: auth.identityToken };
  if (auth.username !== '') return { username: auth.username, password: auth.password };
  if (auth.auth !== '') return decode(auth.auth);
  return undefined;
}

/** What Docker's own files call it. */
const DOCKER_HUB: ReadonlySet<string> = new Set(['index.docker.io', 'registry-1.docker.io', 'docker.io']);

/** @param address a host, or a URL of one as Docker's files have it: `https://index.docker.io/v1/` */
function isFor(address: string, registry: string): boolean {
  if (address === '') return true;
  const [host = ''] = address.replace(/^[a-z]+:\/\//i, '').split('/');
  return host.toLowerCase() === registry || (registry === 'docker.io' && DOCKER_HUB.has(host.toLowerCase()));
}

function decode(auth: string): Credentials {
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) {
    throw new LandfallError(
      'INVALID_CONFIG',
      'the field `auth` of the credentials is not username:password in base64',
      {
        hint: 'Check the secret that the pod pulls with.',
      },
    );
  }
  // Docker pads passwords with zeros.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') };
}
