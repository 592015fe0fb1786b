import type { Readable } from 'node:stream';

import { RegistryError } from '../../errors.js';
import {
  collectBeginning,
  type HttpRequest,
  type HttpResponse,
  type HttpSender,
  parseUrl,
  redactUrl,
} from './http.js';

/** Real registries need one or two: to a mirror, to a bucket. */
const MAX_REDIRECTS = 10;

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Those that keep the method and the body (RFC 9110, 15.4). */
const KEEPING: ReadonlySet<number> = new Set([307, 308]);
/** What another origin may be shown; everything else was meant for the registry alone. */
const HEADERS_FOR_ALL: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'content-length',
  'content-range',
  'content-type',
  'range',
  'user-agent',
]);

/** What a request sends; a stream is made anew for each place that it is sent to. */
export type MakeBody = () => string | Uint8Array | Readable | Promise<Readable>;

export interface Followed {
  readonly response: HttpResponse;
  /** Whether the answer comes from another origin than the one that was asked. */
  readonly crossed: boolean;
}

/**
 * Sends a request and follows redirects by hand, so that `Authorization`, a client's certificate and headers
 * that were configured for a host stay at the origin they were meant for: once another origin was visited
 * they are gone for good. A redirect from https to http is refused. Of a request that changes something, only
 * 307 and 308 are followed.
 *
 * @throws {RegistryError} REDIRECT_REFUSED, and what {@link HttpSender.send} throws
 */
export async function sendFollowing(
  transport: HttpSender,
  request: Omit<HttpRequest, 'body'>,
  makeBody?: MakeBody,
): Promise<Followed> {
  let current = request;
  let crossed = false;
  const followed = request.method === 'GET' || request.method === 'HEAD' ? REDIRECTS : KEEPING;
  for (let redirects = 0; ; redirects += 1) {
    const response = await transport.send(
      makeBody === undefined ? current : { ...current, body: await makeBody() },
    );
    const location = response.header('location');
    if (!followed.has(response.status) || location === undefined) return { response, crossed };
    await collectBeginning(response);
    if (redirects === MAX_REDIRECTS) throw refused(request, `redirected more than ${MAX_REDIRECTS} times`);
    const url = urlOf(location, current);
    if (url.origin !== current.url.origin) crossed = true;
    const next = { ...current, url, target: verbatim(location, url) };
    current = crossed ? { ...next, ...withoutSecrets(next) } : next;
  }
}

function urlOf(location: string, from: Pick<HttpRequest, 'method' | 'url'>): URL {
  const url = parseUrl(location, from.url);
  if (url === undefined) throw refused(from, 'redirected to something that is not a URL');
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw refused(from, `redirected to ${url.protocol}`);
  if (from.url.protocol === 'https:' && url.protocol === 'http:') {
    throw refused(from, `redirected from https to plain http at ${url.host}`);
  }
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}

/**
 * Path and query of a `Location`, byte for byte: they may be signed. Undefined for what HTTP cannot carry so,
 * and for one that is relative to a path; then they are those of its URL.
 */
function verbatim(location: string, url: URL): string | undefined {
  const [, authority, rest = ''] = /^((?:https?:)?\/\/[^/?#]*)?([^#]*)/i.exec(location.trim()) ?? [];
  const target = authority === undefined || rest.startsWith('/') ? rest : `/${rest}`;
  const isCarried = target.startsWith('/') && /^[\x21-\x7e]+$/.test(target) && !target.includes('\\');
  return isCarried && target !== `${url.pathname}${url.search}` ? target : undefined;
}

/**
 * What of a request may be shown to an origin that it was not made for. The host's authorities still count
 * there.
 */
export function withoutSecrets({
  headers,
  connection,
}: Pick<HttpRequest, 'headers' | 'connection'>): Pick<HttpRequest, 'headers' | 'connection'> {
  const kept = Object.entries(headers).filter(([name]) => HEADERS_FOR_ALL.has(name));
  return {
    headers: Object.fromEntries(kept),
    connection: connection && withoutClient(connection),
  };
}

/** One object for each, since connections are pooled by it. */
const CLIENTLESS = new WeakMap<object, NonNullable<HttpRequest['connection']>>();

/** The same way of connecting, with no certificate shown. */
export function withoutClient(
  connection: NonNullable<HttpRequest['connection']>,
): NonNullable<HttpRequest['connection']> {
  if (connection.client === undefined) return connection;
  let without = CLIENTLESS.get(connection);
  if (without === undefined) {
    without = Object.fromEntries(Object.entries(connection).filter(([name]) => name !== 'client'));
    CLIENTLESS.set(connection, without);
  }
  return without;
}

function refused(request: Pick<HttpRequest, 'method' | 'url'>, why: string): RegistryError {
  return new RegistryError('REDIRECT_REFUSED', `${request.url.host} ${why}`, {
    hint: 'The registry, or a proxy before it, is set up wrongly; ask who runs it.',
    details: { method: request.method, url: redactUrl(request.url) },
  });
}
