import { RegistryError } from '../errors.js';
import { collectBeginning } from './body-source.js';
import { ERROR_BODY_BYTES } from './error-response.js';
import { parseUrl, redactUrl } from './urls.js';
import type { HttpRequest, HttpResponse, HttpSender } from './transport.js';

/** Real registries need one or two: to a mirror, to a bucket. */
const MAX_REDIRECTS = 10;

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export interface Followed {
  readonly response: HttpResponse;
  /** Whether the answer comes from another origin than the one that was asked. */
  readonly crossed: boolean;
}

/**
 * Sends a GET or HEAD and follows redirects by hand, so that `Authorization` stays at the origin it was meant for:
 * once another origin was visited it is gone for good. A redirect from https to http is refused.
 *
 * @throws {RegistryError} REDIRECT_REFUSED, and what {@link HttpSender.send} throws
 */
export async function sendFollowing(transport: HttpSender, request: HttpRequest): Promise<Followed> {
  let current = request;
  let crossed = false;
  for (let redirects = 0; ; redirects += 1) {
    const response = await transport.send(current);
    if (!REDIRECTS.has(response.status)) return { response, crossed };
    const location = response.header('location');
    if (location === undefined) return { response, crossed };
    await collectBeginning(response, ERROR_BODY_BYTES);
    if (redirects === MAX_REDIRECTS) throw refused(request, `redirected more than ${MAX_REDIRECTS} times`);
    const next = target(location, current);
    if (next.origin !== current.url.origin) crossed = true;
    current = {
      ...current,
      url: next,
      headers: crossed ? withoutAuthorization(current.headers) : current.headers,
    };
  }
}

function target(location: string, from: HttpRequest): URL {
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

function withoutAuthorization(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'));
}

function refused(request: HttpRequest, why: string): RegistryError {
  return new RegistryError('REDIRECT_REFUSED', `${request.url.host} ${why}`, {
    hint: 'The registry, or a proxy before it, is set up wrongly; ask who runs it.',
    details: { method: request.method, url: redactUrl(request.url) },
  });
}
