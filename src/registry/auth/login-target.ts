import { LandfallError } from '../../errors.js';
import { parseReference } from '../../spec/index.js';
import { quoted } from '../../spec/quoted.js';
import { DOCKER_HUB_KEY, parseAuthKey } from './auth-key.js';

/** What somebody logs in to: a registry, or what lies below a path of it. */
export interface LoginTarget {
  /** As references name it: `docker.io`. */
  readonly registry: string;
  /** `team/app`; empty for the whole registry. */
  readonly path: string;
  /** `quay.io/team`, for people. */
  readonly name: string;
  /** The key in an auth file, in the form that docker too finds. */
  readonly key: string;
}

/**
 * Reads `docker.io`, `https://quay.io`, `https://index.docker.io/v1/`, `127.0.0.1:5000`, `quay.io/team`.
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseLoginTarget(text: string): LoginTarget {
  const { host, path } = parseAuthKey(text);
  const name = path === '' ? host : `${host}/${path}`;
  if (!namesRepositories(host, path)) {
    // What may hold a password is not repeated.
    const shown = text.includes('@') ? 'This' : quoted(text);
    throw new LandfallError('INVALID_CONFIG', `${shown} is not the address of a registry`, {
      hint: 'Write HOST, HOST:PORT or HOST/PATH, such as quay.io or quay.io/team.',
    });
  }
  return { registry: host, path, name, key: name === 'docker.io' ? DOCKER_HUB_KEY : name };
}

/** Whether references can name something there: else nothing would ever use the entry. */
function namesRepositories(host: string, path: string): boolean {
  try {
    const { registry, tag, digest } = parseReference(`${host}/${path === '' ? '' : `${path}/`}x`);
    return registry === host && tag === undefined && digest === undefined;
  } catch {
    return false;
  }
}
