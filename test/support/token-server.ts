import { randomUUID, sign, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

import { secret } from './secrets.js';
import { selfSigned } from './self-signed.js';

export interface TokenServer extends AsyncDisposable {
  /** What the registry is started with: `startDockerRegistry({ token })`. */
  readonly token: { realm: string; service: string; issuer: string; certificate: string };
  /** What was asked for so far: the query of each GET, the form of each POST. */
  readonly asked: URLSearchParams[];
  /** The methods of the requests so far. */
  readonly methods: string[];
}

export interface TokenServerOptions {
  /** Who may have a token; without it, everybody. May be changed while the server runs. */
  user?: { username: string; password: string };
  /** An identity token that may have one too. */
  identityToken?: string;
  /** How long a token is good, in seconds. Default 300. */
  lifetime?: number;
  /** Says nothing of how long that is. */
  silent?: boolean;
  /** What it answers; any other method with 405. Default: both. */
  methods?: readonly string[];
  /** Gives a refresh token with each answer to a POST. */
  refresh?: boolean;
}

const SERVICE = 'harbour';
const ISSUER = 'landfall-test-issuer';

/**
 * Gives tokens for whatever scope is asked for (distribution: Token Authentication Specification, JWT form;
 * OAuth2).
 */
export async function startTokenServer(options: TokenServerOptions = {}): Promise<TokenServer> {
  const { cert, privateKey } = selfSigned(ISSUER);
  const chain = [cert.replace(/-----[A-Z ]+-----|\n/g, '')];
  const asked: URLSearchParams[] = [];
  const methods: string[] = [];
  const refreshTokens = new Set<string>();
  const lifetime = options.lifetime ?? 300;
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const { method = '', url = '/', headers } = request;
    const body = await text(request);
    const posted = method === 'POST';
    const parameters = posted ? new URLSearchParams(body) : new URL(url, 'http://localhost').searchParams;
    asked.push(parameters);
    methods.push(method);
    const reply = (status: number, document: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(document));
    };
    if (options.methods?.includes(method) === false) {
      reply(405, {});
      return;
    }
    const known = posted
      ? mayHaveTokenByForm(parameters, options, refreshTokens)
      : mayHaveToken(headers.authorization, options);
    if (!known) {
      reply(401, { errors: [{ code: 'UNAUTHORIZED', message: 'wrong user or password' }] });
      return;
    }
    const scopes = parameters.getAll('scope').flatMap((scope) => scope.split(' '));
    const token = secret(webToken(claims(scopes, lifetime), chain, privateKey), 'token of the token server');
    const refresh =
      posted && options.refresh === true ? { refresh_token: secret(randomUUID(), 'refresh token') } : {};
    for (const value of Object.values(refresh)) refreshTokens.add(value);
    const expiry = options.silent === true ? {} : { expires_in: lifetime };
    reply(200, { ...(posted ? { access_token: token } : { token }), ...expiry, ...refresh });
  };
  const server = http.createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const realm = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  return {
    token: { realm, service: SERVICE, issuer: ISSUER, certificate: cert },
    asked,
    methods,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function mayHaveToken(
  authorization: string | undefined,
  { user, identityToken }: TokenServerOptions,
): boolean {
  if (user === undefined && identityToken === undefined) return true;
  const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`;
  const passes = [
    ...(user === undefined ? [] : [basic(`${user.username}:${user.password}`)]),
    ...(identityToken === undefined ? [] : [basic(`:${identityToken}`)]),
  ];
  return authorization !== undefined && passes.includes(authorization);
}

function mayHaveTokenByForm(
  form: URLSearchParams,
  { user, identityToken }: TokenServerOptions,
  refreshTokens: ReadonlySet<string>,
): boolean {
  if (form.get('grant_type') === 'password') {
    const { username, password } = user ?? { username: undefined, password: undefined };
    return form.get('username') === username && form.get('password') === password;
  }
  const refreshToken = form.get('refresh_token') ?? '';
  return refreshToken !== '' && (refreshToken === identityToken || refreshTokens.has(refreshToken));
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
