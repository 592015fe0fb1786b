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
  body(): string {
    return `${JSON.stringify({ errors: this.#entries })}\n`;
  }
}

/** Whether a method changes nothing (RFC 9110, 9.2.1). */
export function isReading(method: string): method is 'GET' | 'HEAD' {
  return method === 'GET' || method === 'HEAD';
}
