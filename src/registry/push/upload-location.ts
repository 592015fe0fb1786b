import { RegistryError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import type { HttpResponse } from '../http/http.js';
import { parseUrl, redactUrl } from '../http/urls.js';

/**
 * Where an upload goes on: the `Location` of an answer, absolute or relative (distribution-spec: Pushing a blob
 * monolithically). Undefined where there is none.
 *
 * A registry behind a proxy that ends TLS often gives its own address as `http:`; it is taken for the one that was asked.
 * To go from TLS to another host without TLS is refused.
 *
 * @throws {RegistryError} PROTOCOL, REDIRECT_REFUSED
 */
export function uploadLocation(response: HttpResponse, method: string): URL | undefined {
  const text = response.header('location')?.trim() ?? '';
  if (text === '') return undefined;
  const from = response.url;
  const details = { method, url: redactUrl(from), status: response.status };
  const url = parseUrl(text, from);
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new RegistryError(
      'PROTOCOL',
      `${from.host} gave something as the address of an upload that is none`,
      {
        details,
      },
    );
  }
  if (from.protocol === 'https:' && url.protocol === 'http:') {
    if (url.hostname !== from.hostname) {
      throw new RegistryError(
        'REDIRECT_REFUSED',
        `${from.host} sent an upload from https to plain http at ${url.host}`,
        {
          hint: 'The registry, or a proxy before it, is set up wrongly; ask who runs it.',
          details,
        },
      );
    }
    url.protocol = 'https:';
    url.port = from.port;
  }
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}

/** The address that closes an upload. The query that is there stays as it is, since it may be signed. */
export function closingLocation(location: URL, digest: Digest): URL {
  const closing = new URL(location);
  closing.search = `${location.search === '' ? '?' : `${location.search}&`}digest=${encodeURIComponent(digest)}`;
  return closing;
}

/**
 * How many bytes of an upload the registry holds, by the `Range` of its answer; undefined where it does not say. `0-0`
 * is nothing: distribution writes so for an upload that has not begun, and hardly anybody sends a single byte.
 */
export function heldBytes(response: HttpResponse): number | undefined {
  const last = /^\s*(?:bytes[= ])?0-(\d{1,15})\s*$/i.exec(response.header('range') ?? '')?.[1];
  if (last === undefined) return undefined;
  return last === '0' ? 0 : Number(last) + 1;
}
