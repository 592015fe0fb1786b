import { performance } from 'node:perf_hooks';

import is from '@sindresorhus/is';

import { type Abortable, RegistryError } from '../errors.js';
import { collectBeginning, collectBody } from './body-source.js';
import type { Credentials } from './credentials.js';
import { ERROR_BODY_BYTES, responseError } from './error-response.js';
import { redactUrl } from './urls.js';
import { sendFollowing } from './redirect.js';
import { SharedFlights } from './shared-flights.js';
import type { HttpRequest, HttpResponse, HttpSender } from './transport.js';

/** What a token is asked for with (distribution: Token Authentication Specification). */
export interface TokenRequest {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string;
}

interface Token {
  readonly value: string;
  /** On the clock of `performance.now()`, which nobody sets back. */
  readonly expiresAt: number;
}

/** The specification's default, for token servers that leave it out. */
const DEFAULT_LIFETIME_S = 60;
/** A token has at most some kilobytes. */
const ANSWER_BYTES = 256 * 1024;
const CLIENT_ID = 'landfall';

export interface TokenSourceOptions {
  readonly transport: HttpSender;
  readonly userAgent: string;
}

/** Bearer tokens for one registry: cached until they expire, and asked for once however many wait. */
export class TokenSource {
  readonly #transport: HttpSender;
  readonly #userAgent: string;
  readonly #tokens = new Map<string, Token>();
  readonly #flights = new SharedFlights<Token>();

  constructor({ transport, userAgent }: TokenSourceOptions) {
    this.#transport = transport;
    this.#userAgent = userAgent;
  }

  /** A token that is good now. @throws {RegistryError} UNAUTHORIZED, DENIED, UNAVAILABLE, RATE_LIMITED, PROTOCOL */
  async get(
    request: TokenRequest,
    credentials: Credentials | undefined,
    options: Abortable = {},
  ): Promise<string> {
    const key = keyOf(request);
    const cached = this.#tokens.get(key);
    if (cached !== undefined && cached.expiresAt > performance.now()) return cached.value;
    const start = async (signal: AbortSignal): Promise<Token> => {
      const token = await this.#fetch(request, credentials, signal);
      this.#tokens.set(key, token);
      return token;
    };
    return (await this.#flights.join(key, start, options)).value;
  }

  /** Forgets a token that the registry refused, unless another one has taken its place. */
  drop(request: TokenRequest, value: string): void {
    const key = keyOf(request);
    if (this.#tokens.get(key)?.value === value) this.#tokens.delete(key);
  }

  async #fetch(
    wanted: TokenRequest,
    credentials: Credentials | undefined,
    signal: AbortSignal,
  ): Promise<Token> {
    const request = httpRequest(wanted, credentials, this.#userAgent, signal);
    const askedAt = performance.now();
    const response =
      request.method === 'POST'
        ? await this.#transport.send(request)
        : (await sendFollowing(this.#transport, request)).response;
    if (response.status !== 200) {
      throw responseError({
        method: request.method,
        response,
        body: await collectBeginning(response, ERROR_BODY_BYTES),
        subject: `a token for ${wanted.scope}`,
        authenticated: credentials !== undefined,
        secrets: secretsOf(credentials),
      });
    }
    const malformed = (): RegistryError => notAToken(request, response);
    return parseToken(await collectBody(response, ANSWER_BYTES, malformed), askedAt, malformed);
  }
}

function keyOf({ realm, service, scope }: TokenRequest): string {
  return JSON.stringify([realm.href, service ?? null, scope]);
}

function httpRequest(
  { realm, service, scope }: TokenRequest,
  credentials: Credentials | undefined,
  userAgent: string,
  signal: AbortSignal,
): HttpRequest {
  const headers = { 'user-agent': userAgent, accept: 'application/json' };
  const parameters = new URLSearchParams({ ...(service === undefined ? {} : { service }), scope });
  if (credentials !== undefined && 'identityToken' in credentials) {
    // An identity token is an OAuth2 refresh token, which only POST takes.
    parameters.set('grant_type', 'refresh_token');
    parameters.set('refresh_token', credentials.identityToken);
    parameters.set('client_id', CLIENT_ID);
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    return {
      method: 'POST',
      url: realm,
      headers: { ...headers, ...type },
      body: parameters.toString(),
      attempt: 1,
      signal,
    };
  }
  const url = new URL(realm);
  for (const [name, value] of parameters) url.searchParams.append(name, value);
  if (credentials === undefined || !('username' in credentials))
    return { method: 'GET', url, headers, attempt: 1, signal };
  url.searchParams.set('account', credentials.username);
  return {
    method: 'GET',
    url,
    headers: { ...headers, authorization: basicAuthorization(credentials) },
    attempt: 1,
    signal,
  };
}

/** RFC 7617. */
export function basicAuthorization({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** What no message may hold; short ones are left out, since they would be found in honest words. */
export function secretsOf(credentials: Credentials | undefined): string[] {
  return secretParts(credentials).filter((secret) => secret.length >= 4);
}

function secretParts(credentials: Credentials | undefined): string[] {
  if (credentials === undefined) return [];
  if ('identityToken' in credentials) return [credentials.identityToken];
  if ('registryToken' in credentials) return [credentials.registryToken];
  return [credentials.password, basicAuthorization(credentials).slice('Basic '.length)];
}

function parseToken(body: Buffer, askedAt: number, malformed: () => RegistryError): Token {
  let document: unknown;
  try {
    document = JSON.parse(body.toString());
  } catch {
    throw malformed();
  }
  if (!is.plainObject(document)) throw malformed();
  // `access_token` is OAuth2's name for it; some servers send both.
  const value = [document['token'], document['access_token']].find((v) => is.nonEmptyString(v));
  // It becomes a header: nothing that could begin another one.
  if (!is.string(value) || !/^[\x21-\x7e]+$/.test(value)) throw malformed();
  const seconds = document['expires_in'];
  const lifetimeMs = (is.number(seconds) && seconds > 0 ? seconds : DEFAULT_LIFETIME_S) * 1000;
  // Counted from the asking, by our own clock, and given up a little early: it must outlive the way to the registry.
  return { value, expiresAt: askedAt + lifetimeMs - Math.min(5_000, lifetimeMs / 10) };
}

function notAToken(request: HttpRequest, response: HttpResponse): RegistryError {
  return new RegistryError(
    'PROTOCOL',
    `${response.url.host} answered no token where the registry says they are had`,
    {
      details: { method: request.method, url: redactUrl(response.url), status: response.status },
    },
  );
}
