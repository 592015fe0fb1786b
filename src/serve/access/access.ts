import type { IncomingMessage } from 'node:http';
import { isReading, RegistryFault } from '../http/answer.js';

/** The users of a registry. */
export interface Users {
  /**
   * Whether the password is this user's. What it throws is answered with a 500.
   *
   * @param client the address that asks, so that wrong passwords can be bounded; undefined where it is gone
   * @throws whatever keeps it from knowing
   */
  verify(username: string, password: string, client?: string): Promise<boolean>;
}

/** The rights of users and of clients without credentials. */
export interface AccessOptions {
  /** The users and their passwords. */
  readonly users: Users;
  /** Whether clients without credentials may read. */
  readonly anonymousRead: boolean;
}

/** What is known of a request that may be answered. */
export interface Admission {
  /** Absent where the client showed no credentials. */
  readonly user?: string;
  /** For the answer. */
  readonly headers: Readonly<Record<string, string>>;
}

const CHALLENGE = { 'WWW-Authenticate': 'Basic realm="landfall", charset="UTF-8"' } as const;
/** What asks a registry whether credentials are needed. */
const BASE = /^(?:https?:\/\/[^/?]*)?\/v2\/?(?:\?|$)/i;

/**
 * Basic authentication (RFC 7617): a user with a password may do everything, a client without one may read,
 * or do nothing. Wrong credentials are refused also where none are needed, so that they never look right.
 */
export class Access {
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /**
   * @internal
   * @throws {RegistryFault} 401 UNAUTHORIZED
   */
  async admit(request: IncomingMessage): Promise<Admission> {
    const { users, anonymousRead } = this.#options;
    const credentials = readBasic(request.headers.authorization);
    if (credentials === 'unreadable') throw unauthorized('the credentials cannot be read');
    if (credentials !== 'none') {
      const { username, password } = credentials;
      if (await users.verify(username, password, request.socket.remoteAddress))
        return { user: username, headers: {} };
      throw unauthorized('the credentials are wrong');
    }
    if (!anonymousRead || !isReading(request.method ?? '')) throw unauthorized('credentials are needed');
    // Some clients learn only here that credentials open more; the answer itself needs none (RFC 9110,
    // 11.6.1).
    return { headers: BASE.test(request.url ?? '') ? CHALLENGE : {} };
  }
}

function unauthorized(message: string): RegistryFault {
  return new RegistryFault(401, 'UNAUTHORIZED', message, CHALLENGE);
}

export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

/** In characters: bcrypt reads 72 bytes of a password, and no user has a name of this length. */
const LONGEST = 4096;

/**
 * What an `Authorization` header of the Basic scheme holds (RFC 7617). `none` also where both parts are
 * empty, which some clients send when they know no credentials.
 */
function readBasic(header: string | undefined): BasicCredentials | 'none' | 'unreadable' {
  if (header === undefined) return 'none';
  const encoded = header.length > LONGEST ? undefined : /^basic +([a-z0-9+/_-]+=*)\s*$/i.exec(header)?.[1];
  if (encoded === undefined) return 'unreadable';
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (text === ':') return 'none';
  return colon === -1 ? 'unreadable' : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
