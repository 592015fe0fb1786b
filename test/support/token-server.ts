import { randomUUID, sign, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import { selfSigned } from './self-signed.js';

export interface TokenServer extends AsyncDisposable {
  /** What the registry is started with: `startDockerRegistry({ token })`. */
  readonly token: { realm: string; service: string; issuer: string; certificate: string };
  /** The queries of the requests so far. */
  readonly asked: URLSearchParams[];
}

export interface TokenServerOptions {
  /** Who may have a token; without it, everybody. */
  user?: { username: string; password: string };
  /** How long a token is good, in seconds. Default 300. */
  lifetime?: number;
}

const SERVICE = 'harbour';
const ISSUER = 'landfall-test-issuer';

/** Gives tokens for whatever scope is asked for (distribution: Token Authentication Specification, JWT form). */
export async function startTokenServer(options: TokenServerOptions = {}): Promise<TokenServer> {
  const { cert, privateKey } = selfSigned(ISSUER);
  const chain = [cert.replace(/-----[A-Z ]+-----|\n/g, '')];
  const asked: URLSearchParams[] = [];
  const lifetime = options.lifetime ?? 300;
  const server = http.createServer((request, response) => {
    const query = new URL(request.url ?? '/', 'http://localhost').searchParams;
    asked.push(query);
    if (!mayHaveToken(request.headers.authorization, options.user)) {
      response.writeHead(401, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ errors: [{ code: 'UNAUTHORIZED', message: 'wrong user or password' }] }));
      return;
    }
    const token = webToken(claims(query.getAll('scope'), lifetime), chain, privateKey);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token, expires_in: lifetime }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const realm = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  return {
    token: { realm, service: SERVICE, issuer: ISSUER, certificate: cert },
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function mayHaveToken(authorization: string | undefined, user: TokenServerOptions['user']): boolean {
  if (user === undefined) return true;
  return authorization === `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`;
}

function claims(scopes: readonly string[], lifetime: number): object {
  const now = Math.floor(Date.now() / 1000);
  const access = scopes.flatMap((scope) => {
    const [type = '', name = '', actions = ''] = scope.split(':');
    return [{ type, name, actions: actions.split(',') }];
  });
  return {
    iss: ISSUER,
    sub: '',
    aud: SERVICE,
    exp: now + lifetime,
    nbf: now - 10,
    iat: now,
    jti: randomUUID(),
    access,
  };
}

function webToken(payload: object, x5c: readonly string[], key: KeyObject): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ typ: 'JWT', alg: 'ES256', x5c })}.${part(payload)}`;
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}
