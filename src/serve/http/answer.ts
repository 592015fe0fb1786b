import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { TrustError } from '../../errors.js';

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

/** A line of JSON. */
export function jsonAnswer(
  content: object,
  headers: Answer['headers'],
  status = 200,
): Answer & { readonly body: Buffer } {
  const body = Buffer.from(`${JSON.stringify(content)}\n`);
  const common = { 'Content-Type': 'application/json', 'Content-Length': body.length };
  return { status, headers: { ...common, ...headers }, body };
}

/** An answer without a body. */
export function emptyAnswer(status: number, headers: Answer['headers'] = {}): Answer {
  return { status, headers: status === 204 ? headers : { ...headers, 'Content-Length': 0 } };
}

/** distribution-spec: Error Codes. The last two are docker-registry's, where the specification has none. */
export type FaultCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNSUPPORTED'
  | 'PAGINATION_NUMBER_INVALID'
  | 'UNKNOWN';

/** One entry of an error body. */
export interface FaultEntry {
  readonly code: FaultCode;
  readonly message: string;
  /** What a program can go on with: the digest that is missing, say. */
  readonly detail?: unknown;
}

/** A request that gets an error body instead of what it asked for. Never leaves this folder. */
export class RegistryFault extends Error {
  readonly status: number;
  readonly code: FaultCode;
  readonly headers: Readonly<Record<string, string>>;
  readonly #entries: readonly FaultEntry[];

  constructor(
    status: number,
    code: FaultCode,
    message: string,
    headers: Readonly<Record<string, string>> = {},
    entries: readonly FaultEntry[] = [{ code, message }],
  ) {
    super(message);
    this.name = 'RegistryFault';
    this.status = status;
    this.code = code;
    this.headers = headers;
    this.#entries = entries;
  }

  /** distribution-spec: Error Codes, the body of a 4xx answer. */
  answer(): Answer & { readonly body: Buffer } {
    return jsonAnswer({ errors: this.#entries }, this.headers, this.status);
  }
}

/** A refusal of the signature policy, with the reason and the hint for the client. */
export function policyFault({ code, message, hint, details }: TrustError): RegistryFault {
  // The list of all places that were tried stays here.
  const detail = { code, hint, ...details, tried: undefined };
  return new RegistryFault(403, 'DENIED', message, {}, [{ code: 'DENIED', message, detail }]);
}

/** Whether a method changes nothing (RFC 9110, 9.2.1). */
export function isReading(method: string): method is 'GET' | 'HEAD' {
  return method === 'GET' || method === 'HEAD';
}
