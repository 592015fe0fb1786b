import { performance } from 'node:perf_hooks';
import { isNonEmptyString, isPlainObject } from '@sindresorhus/is';
import { SingleFlight } from '../../concurrency/index.js';
import { type Abortable, RegistryError } from '../../errors.js';
import {
  collectBeginning,
  type HttpRequest,
  type HttpResponse,
  type HttpSender,
  redactUrl,
  wholeBody,
} from '../http/http.js';
import { responseError } from '../http/error-response.js';
import { sendFollowing } from '../http/redirect.js';
import { basicAuthorization, type Credentials, secretsOf } from './credentials.js';

interface Token {
  readonly value: string;
  /** By `performance.now()`, which never goes back. */
  readonly expiresAt: number;
}

export interface TokenSourceOptions {
  readonly transport: HttpSender;
  readonly userAgent: string;
}

/**
 * How servers that know only the other method refuse one. GCR answers a POST with 404, Artifactory with 401,
 * Azure's registry with 400. A GET with a wrong password is answered 401 everywhere, and is no reason to try
 * a POST.
 */
const NO_GET: ReadonlySet<number> = new Set([400, 404, 405]);
const NO_POST: ReadonlySet<number> = new Set([400, 401, 403, 404, 405]);

/** Bearer tokens for one registry: cached until they expire, and asked for once however many wait. */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  readonly #tokens = new Map<string, Token>();
  readonly #flights = new SingleFlight<string, Token>();
  /** By server and credentials: which kind of grant it took, and the refresh token that it gave. */
  readonly #taken = new Map<string, Grant['type']>();
  readonly #refreshTokens = new Map<string, string>();

  constructor(options: TokenSourceOptions) {
    this.#options = options;
  }

  /**
   * A token that is good now. @throws {RegistryError} UNAUTHORIZED, DENIED, UNAVAILABLE, RATE_LIMITED,
   * PROTOCOL
   */
  async get(
    request: TokenRequest,
    credentials: Credentials | undefined,
    options: Abortable = {},
  ): Promise<string> {
    const key = keyOf(request, credentials);
    const cached = this.#tokens.get(key);
    if (cached !== undefined && cached.expiresAt > performance.now()) return cached.value;
    const start = async (signal: AbortSignal): Promise<Token> => {
      const token = await this.#fetch(request, credentials, signal);
      this.#forgetExpired();
      this.#tokens.set(key, token);
      return token;
    };
    return (await this.#flights.run(key, start, options)).value;
  }

  /** Forgets a token that the registry refused; false where another one has taken its place already. */
  drop(request: TokenRequest, credentials: Credentials | undefined, value: string): boolean {
    const key = keyOf(request, credentials);
    return this.#tokens.get(key)?.value === value && this.#tokens.delete(key);
  }

  /** A process that runs for weeks meets many repositories. */
  #forgetExpired(): void {
    const now = performance.now();
    for (const [key, { expiresAt }] of this.#tokens) if (expiresAt <= now) this.#tokens.delete(key);
  }

  async #fetch(
    request: TokenRequest,
    credentials: Credentials | undefined,
    signal: AbortSignal,
  ): Promise<Token> {
    const server = serverKeyOf(request, credentials);
    let failure: unknown;
    for (const grant of this.#grants(server, credentials)) {
      try {
        return await this.#exchange(request, grant, server, credentials, signal);
      } catch (error) {
        failure = failure instanceof RegistryError ? moreTelling(failure, error) : error;
        if (!asksAnotherWay(error, grant)) break;
        if (grant.type === 'refresh') this.#refreshTokens.delete(server);
      }
    }
    throw failure;
  }

  async #exchange(
    request: TokenRequest,
    grant: Grant,
    server: string,
    credentials: Credentials | undefined,
    signal: AbortSignal,
  ): Promise<Token> {
    const { transport, userAgent } = this.#options;
    const secrets = [...secretsOf(credentials), ...(grant.type === 'refresh' ? [grant.refreshToken] : [])];
    const askedAt = performance.now();
    const answer = await exchangeToken(transport, request, grant, { userAgent, secrets, signal });
    if (credentials !== undefined) this.#remember(server, credentials, grant, answer);
    const { value, lifetimeMs } = answer;
    // Counted from the asking, by our own clock, and given up a little early: it must outlive the way to the
    // registry.
    return { value, expiresAt: askedAt + lifetimeMs - Math.min(5_000, lifetimeMs / 10) };
  }

  #remember(server: string, credentials: Credentials, grant: Grant, { refreshToken }: TokenAnswer): void {
    // A refresh token that the server gave is good for a while; what it came of is what will be needed again.
    if (grantsOf(credentials).some(({ type }) => type === grant.type)) this.#taken.set(server, grant.type);
    if (refreshToken !== undefined) this.#refreshTokens.set(server, refreshToken);
  }

  /** The ways to ask with these credentials, the one that worked the last time before the others. */
  #grants(server: string, credentials: Credentials | undefined): readonly Grant[] {
    const taken = this.#taken.get(server);
    const refreshToken = this.#refreshTokens.get(server);
    const isTaken = ({ type }: Grant): number => Number(type === taken);
    const ordered = grantsOf(credentials).toSorted((a, b) => isTaken(b) - isTaken(a));
    return refreshToken === undefined ? ordered : [{ type: 'refresh', refreshToken }, ...ordered];
  }
}

/** The ways to ask with these credentials, in the order in which they are tried. */
function grantsOf(credentials: Credentials | undefined): readonly Grant[] {
  if (credentials === undefined || 'registryToken' in credentials) return [{ type: 'get' }];
  if ('username' in credentials) {
    const { username, password } = credentials;
    return [
      { type: 'get', login: { username, password } },
      { type: 'password', username, password },
    ];
  }
  // An identity token is an OAuth2 refresh token. A server without POST takes it as a password without a
  // user name.
  const { identityToken } = credentials;
  return [
    { type: 'refresh', refreshToken: identityToken },
    { type: 'get', login: { username: '', password: identityToken } },
  ];
}

function asksAnotherWay(error: unknown, { type }: Grant): boolean {
  if (!(error instanceof RegistryError) || error.details.status === undefined) return false;
  return (type === 'get' ? NO_GET : NO_POST).has(error.details.status);
}

/** That one way does not exist says less than that another one refused, or may work the next time. */
function moreTelling(error: RegistryError, later: unknown): unknown {
  if (!(later instanceof RegistryError) || later.retryable) return later;
  return isRefusal(later) && !isRefusal(error) ? later : error;
}

/** Whether it is a refusal of the credentials, or of what was asked for with them. */
export function isRefusal(error: unknown): error is RegistryError {
  return error instanceof RegistryError && (error.code === 'UNAUTHORIZED' || error.code === 'DENIED');
}

function keyOf(request: TokenRequest, credentials: Credentials | undefined): string {
  return JSON.stringify([serverKeyOf(request, credentials), request.scopes]);
}

/** One token server, and what it is asked with. */
export function serverKeyOf(
  { realm, service }: Omit<TokenRequest, 'scopes'>,
  credentials: Credentials | undefined,
): string {
  return JSON.stringify([realm.href, service ?? null, credentials ?? null]);
}

/** What a token is asked for with (distribution: Token Authentication Specification). */
export interface TokenRequest {
  readonly realm: URL;
  readonly service: string | undefined;
  /** `repository:team/app:pull`; none where only the credentials are to be checked. */
  readonly scopes: readonly string[];
}

/** One way to ask: by GET, with a password or without, or by POST as OAuth2 does it. */
type Grant =
  | { readonly type: 'get'; readonly login?: { readonly username: string; readonly password: string } }
  | { readonly type: 'password'; readonly username: string; readonly password: string }
  | { readonly type: 'refresh'; readonly refreshToken: string };

interface TokenAnswer {
  readonly value: string;
  readonly lifetimeMs: number;
  readonly refreshToken: string | undefined;
}

export interface ExchangeOptions extends Abortable {
  readonly userAgent: string;
  /** What no message may hold. */
  readonly secrets: readonly string[];
}

/** The specification's default, for token servers that leave it out. */
const DEFAULT_LIFETIME_S = 60;
/** A token has at most some kilobytes. */
const ANSWER_BYTES = 256 * 1024;
const CLIENT_ID = 'landfall';

/**
 * Asks a token server once. @throws {RegistryError} UNAUTHORIZED, DENIED, UNAVAILABLE, RATE_LIMITED, PROTOCOL
 */
async function exchangeToken(
  transport: HttpSender,
  wanted: TokenRequest,
  grant: Grant,
  options: ExchangeOptions,
): Promise<TokenAnswer> {
  const request = httpRequest(wanted, grant, options);
  const response =
    request.method === 'POST'
      ? await transport.send(request)
      : (await sendFollowing(transport, request)).response;
  if (response.status !== 200) {
    throw responseError({
      method: request.method,
      response,
      body: await collectBeginning(response),
      subject: wanted.scopes.length === 0 ? 'a token' : `a token for ${wanted.scopes.join(' ')}`,
      authenticated: grant.type !== 'get' || grant.login !== undefined,
      secrets: options.secrets,
    });
  }
  const malformed = (): RegistryError => notAToken(request, response);
  return parseToken(await wholeBody(response, ANSWER_BYTES, malformed), malformed);
}

function httpRequest(
  { realm, service, scopes }: TokenRequest,
  grant: Grant,
  { userAgent, signal }: ExchangeOptions,
): HttpRequest {
  const headers = { 'user-agent': userAgent, accept: 'application/json' };
  const parameters = new URLSearchParams(service === undefined ? {} : { service });
  if (grant.type === 'get') {
    for (const scope of scopes) parameters.append('scope', scope);
    if (grant.login !== undefined && grant.login.username !== '') {
      parameters.set('account', grant.login.username);
    }
    const url = new URL(realm);
    for (const [name, value] of parameters) url.searchParams.append(name, value);
    const login = grant.login === undefined ? {} : { authorization: basicAuthorization(grant.login) };
    return { method: 'GET', url, headers: { ...headers, ...login }, attempt: 1, signal };
  }
  if (scopes.length > 0) parameters.set('scope', scopes.join(' '));
  parameters.set('client_id', CLIENT_ID);
  if (grant.type === 'refresh') {
    parameters.set('grant_type', 'refresh_token');
    parameters.set('refresh_token', grant.refreshToken);
  } else {
    parameters.set('grant_type', 'password');
    parameters.set('username', grant.username);
    parameters.set('password', grant.password);
  }
  const type = { 'content-type': 'application/x-www-form-urlencoded' };
  const body = parameters.toString();
  return { method: 'POST', url: realm, headers: { ...headers, ...type }, body, attempt: 1, signal };
}

function parseToken(body: Buffer, malformed: () => RegistryError): TokenAnswer {
  let document: unknown;
  try {
    document = JSON.parse(body.toString());
  } catch {
    throw malformed();
  }
  if (!isPlainObject(document)) throw malformed();
  // `access_token` is OAuth2's name for it; some servers send both.
  const value = [document['token'], document['access_token']].find(isNonEmptyString);
  // It becomes a header: nothing that could begin another one.
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) throw malformed();
  const seconds = document['expires_in'];
  const refreshToken = document['refresh_token'];
  return {
    value,
    lifetimeMs: (typeof seconds === 'number' && seconds > 0 ? seconds : DEFAULT_LIFETIME_S) * 1000,
    refreshToken: isNonEmptyString(refreshToken) ? refreshToken : undefined,
  };
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
