/** distribution-spec: Error Codes. The last two are docker-registry's, where the specification has none. */
export type FaultCode =
  | 'BLOB_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'UNSUPPORTED'
  | 'PAGINATION_NUMBER_INVALID'
  | 'UNKNOWN';

/** A request that gets an error body instead of what it asked for. Never leaves this folder. */
export class RegistryFault extends Error {
  readonly status: number;
  readonly code: FaultCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: FaultCode,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'RegistryFault';
    this.status = status;
    this.code = code;
    this.headers = headers;
  }

  /** distribution-spec: Error Codes, the body of a 4xx answer. */
  body(): string {
    return `${JSON.stringify({ errors: [{ code: this.code, message: this.message }] })}\n`;
  }
}
