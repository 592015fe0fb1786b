import type { IncomingMessage } from 'node:http';

import { isReading } from '../is-reading.js';
import { RegistryFault } from '../registry-fault.js';
import { readBasic } from './basic-credentials.js';

/** Who knows the users of a registry. */
export interface Users {
  /** Whether the password is this user's. What it throws is answered with a 500. @throws whatever keeps it from knowing */
  verify(username: string, password: string): Promise<boolean>;
}

/** Who may do what. */
export interface AccessOptions {
  /** Who has a password. */
  readonly users: Users;
  /** Whether who shows no credentials may read. */
  readonly anonymousRead: boolean;
}

/** What is known of a request that may be answered. */
export interface Admission {
  /** Absent for who showed no credentials. */
  readonly user?: string;
  /** For the answer. */
  readonly headers: Readonly<Record<string, string>>;
}

const CHALLENGE = { 'WWW-Authenticate': 'Basic realm="landfall", charset="UTF-8"' } as const;
/** What asks a registry whether credentials are needed. */
const BASE = /^(?:https?:\/\/[^/?]*)?\/v2\/?(?:\?|$)/i;

/**
 * Basic authentication (RFC 7617): who has a password may do everything, who has none may read, or nothing at all. Wrong
 * credentials are refused, also where none are needed, so that nobody takes them for right.
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
      if (await users.verify(username, password)) return { user: username, headers: {} };
      throw unauthorized('the credentials are wrong');
    }
    if (!anonymousRead || !isReading(request.method ?? '')) throw unauthorized('credentials are needed');
    // Clients that look only here are told that credentials open more; the answer itself needs none (RFC 9110, 11.6.1).
    return { headers: BASE.test(request.url ?? '') ? CHALLENGE : {} };
  }
}

function unauthorized(message: string): RegistryFault {
  return new RegistryFault(401, 'UNAUTHORIZED', message, CHALLENGE);
}
