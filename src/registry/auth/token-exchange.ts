import { isNonEmptyString, isPlainObject } from '@sindresorhus/is';
import { type Abortable, RegistryError } from '../../errors.js';
import { collectBeginning, collectBody } from '../http/body-source.js';
import { appliedEncoding, decodedBody } from '../http/content-encoding.js';
import { basicAuthorization } from './credentials.js';
import { ERROR_BODY_BYTES, responseError } from '../http/error-response.js';
import type { HttpRequest, HttpResponse, HttpSender } from '../http/http.js';
import { sendFollowing } from '../http/redirect.js';
import { redactUrl } from '../http/urls.js';

/** What a token is asked for with (distribution: Token Authentication Specification). */
export interface TokenRequest {
  readonly realm: URL;
  readonly service: string | undefined;
  /** `repository:team/app:pull`; none where it is only asked who we are. */
  readonly scopes: readonly string[];
}

/** One way to ask: by GET, with a password or without, or by POST as OAuth2 does it. */
export type Grant =
  | { readonly type: 'get'; readonly login?: { readonly username: string; readonly password: string } }
  | { readonly type: 'password'; readonly username: string; readonly password: string }
  | { readonly type: 'refresh'; readonly refreshToken: string };

export interface TokenAnswer {
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

/** Asks a token server once. @throws {RegistryError} UNAUTHORIZED, DENIED, UNAVAILABLE, RATE_LIMITED, PROTOCOL */
export async function exchangeToken(
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
      body: await collectBeginning(response, ERROR_BODY_BYTES),
      subject: wanted.scopes.length === 0 ? 'a token' : `a token for ${wanted.scopes.join(' ')}`,
      authenticated: grant.type !== 'get' || grant.login !== undefined,
      secrets: options.secrets,
    });
  }
  const malformed = (): RegistryError => notAToken(request, response);
  const body = decodedBody(response, appliedEncoding(response, undefined));
  return parseToken(await collectBody(body, ANSWER_BYTES, malformed), malformed);
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
