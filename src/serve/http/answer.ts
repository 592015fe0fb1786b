import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';

/** What a request is answered with, before it is known whether it asked for the head alone. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number | readonly string[]>>;
  readonly body?: string | Buffer | OpenBody;
}

/** Opens the body; not called for HEAD. */
export type OpenBody = () => Promise<Readable>;

/** A request for a path that is no endpoint of the registry. */
export interface PageRequest {
  readonly method: 'GET' | 'HEAD';
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

/**
 * Gives the answer to a path outside of `/v2/`, as it was sent and without its query; undefined where no such
 * page exists. The body is not sent to a HEAD.
 */
export type Page = (path: string, request: PageRequest) => Promise<Answer | undefined>;

/** The headers of a request that change its answer, in Node's lower case. */
export interface RequestHeaders {
  readonly range?: string | undefined;
  readonly 'if-range'?: string | undefined;
  readonly 'if-none-match'?: string | undefined;
}

/** A strong ETag: a digest names its bytes exactly. */
export function etagOf(digest: string): string {
  return `"${digest}"`;
}

/** Whether the client has it already (RFC 9110, 13.1.2: a weak comparison, or `*`). */
export function isNotModified(headers: RequestHeaders, etag: string): boolean {
  const wanted = headers['if-none-match'];
  if (wanted === undefined) return false;
  return wanted.split(',').some((part) => part.trim() === '*' || part.trim().replace(/^W\//, '') === etag);
}

/** An answer without a body. */
export function emptyAnswer(
  status: number,
  headers: Readonly<Record<string, string | readonly string[]>> = {},
): Answer {
  return { status, headers: { ...headers, ...(status === 204 ? {} : { 'Content-Length': 0 }) } };
}
