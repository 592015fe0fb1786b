import { once } from 'node:events';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type ServerWritableStream,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import {
  type ErrorCode,
  errorFromJSON,
  type ErrorJson,
  isLandfallError,
  type LandfallError,
} from '../../errors.js';

/** The metadata key of an error's own code, which says more than its status. */
const CODE_KEY = 'landfall-error-code';
/**
 * The error as JSON, from which clients restore it. It holds any Unicode, so the key ends in `-bin`, for
 * binary.
 */
const JSON_KEY = 'landfall-error-bin';

/** The context of a call. */
export interface CallContext {
  /** Aborted when the client hangs up, or its deadline has passed. */
  readonly signal: AbortSignal;
}

export type UnaryMethod<Request, Response> = (request: Request, call: CallContext) => Promise<Response>;
/** Messages in their order; the next is asked for once the client takes more. */
export type StreamingMethod<Request, Response> = (
  request: Request,
  call: CallContext,
) => AsyncIterable<Response>;

export interface CallOptions {
  /** Called for each error that a client gets, with the method's name. */
  readonly onError: (method: string, error: unknown) => void;
}

/** A method as the gRPC server calls it. */
export function unary<Request, Response>(
  name: string,
  method: UnaryMethod<Request, Response>,
  { onError }: CallOptions,
): handleUnaryCall<Request, Response> {
  return (call, answer) => {
    const ended = new AbortController();
    call.on('cancelled', () => ended.abort());
    method(call.request, { signal: ended.signal }).then(
      (response) => answer(null, response),
      (error: unknown) => {
        onError(name, error);
        answer(serviceError(error));
      },
    );
  };
}

/** A method that answers with a stream. A client that does not read holds it back. */
export function streaming<Request, Response>(
  name: string,
  method: StreamingMethod<Request, Response>,
  { onError }: CallOptions,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const ended = new AbortController();
    call.on('cancelled', () => ended.abort());
    send(call, method(call.request, { signal: ended.signal }), ended.signal).catch((error: unknown) => {
      onError(name, error);
      call.emit('error', serviceError(error));
    });
  };
}

async function send<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  messages: AsyncIterable<Response>,
  signal: AbortSignal,
): Promise<void> {
  for await (const message of messages) {
    if (signal.aborted) return;
    // Until the client takes more, or has gone, which aborts the signal.
    if (!call.write(message)) await once(call, 'drain', { signal }).catch(() => undefined);
  }
  call.end();
}

/** Puts the hint beside the message, for a person at a cluster. */
export function serviceError(error: unknown): ServiceError {
  const metadata = new Metadata();
  const known = error instanceof StatusError ? error.cause : error;
  if (isLandfallError(known)) {
    metadata.set(CODE_KEY, known.code);
    metadata.set(JSON_KEY, Buffer.from(JSON.stringify(known)));
  }
  const details = detailsOf(error);
  return Object.assign(new Error(details), { code: grpcStatusOf(error), details, metadata });
}

function detailsOf(error: unknown): string {
  if (error instanceof StatusError) return error.message;
  if (isLandfallError(error)) return `${error.message}. ${error.hint}`;
  // The text of an unexpected error may hold anything.
  return 'the daemon failed at something that it did not expect; its log says more';
}

/** The error that a call failed with, as a landfall daemon raised it; undefined where none did. */
export function errorIn(metadata: Metadata): LandfallError | undefined {
  const [json] = metadata.get(JSON_KEY);
  if (!Buffer.isBuffer(json)) return undefined;
  return errorFromJSON(JSON.parse(json.toString('utf8')) as ErrorJson);
}

/** The gRPC status of each error code; a code added without a row here does not compile. */
export const GRPC_STATUS: Readonly<Record<ErrorCode, status>> = {
  INVALID_REFERENCE: status.INVALID_ARGUMENT,
  INVALID_CONFIG: status.INVALID_ARGUMENT,

  NOT_FOUND: status.NOT_FOUND,
  NO_MATCHING_PLATFORM: status.NOT_FOUND,
  BLOB_NOT_FOUND: status.NOT_FOUND,
  SNAPSHOT_NOT_FOUND: status.NOT_FOUND,

  UNAUTHORIZED: status.UNAUTHENTICATED,
  DENIED: status.PERMISSION_DENIED,

  UNAVAILABLE: status.UNAVAILABLE,
  PROTOCOL: status.UNAVAILABLE,
  LOCKED: status.UNAVAILABLE,
  RATE_LIMITED: status.RESOURCE_EXHAUSTED,
  NO_SPACE: status.RESOURCE_EXHAUSTED,

  DIGEST_MISMATCH: status.DATA_LOSS,
  SIZE_MISMATCH: status.DATA_LOSS,
  DIFF_ID_MISMATCH: status.DATA_LOSS,
  STORE_CORRUPT: status.DATA_LOSS,

  REDIRECT_REFUSED: status.FAILED_PRECONDITION,
  CERTIFICATE_INVALID: status.FAILED_PRECONDITION,
  SIGNATURE_MISSING: status.FAILED_PRECONDITION,
  SIGNATURE_INVALID: status.FAILED_PRECONDITION,
  POLICY_REJECTED: status.FAILED_PRECONDITION,
  INVALID_DIGEST: status.FAILED_PRECONDITION,
  INVALID_MANIFEST: status.FAILED_PRECONDITION,
  UNSUPPORTED_MEDIA_TYPE: status.FAILED_PRECONDITION,
  LIMIT_EXCEEDED: status.FAILED_PRECONDITION,
  UNSAFE_PATH: status.FAILED_PRECONDITION,
  BAD_ARCHIVE: status.FAILED_PRECONDITION,
  UNSUPPORTED_ENTRY: status.FAILED_PRECONDITION,
  UNSUPPORTED: status.FAILED_PRECONDITION,
  IN_USE: status.FAILED_PRECONDITION,
  ALREADY_EXISTS: status.ALREADY_EXISTS,

  FILESYSTEM: status.INTERNAL,
  ABORTED: status.CANCELLED,
};

/** An error with a status or a message that a specification asks for, in place of those of its code. */
export class StatusError extends Error {
  readonly status: status;

  constructor(code: status, message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'StatusError';
    this.status = code;
  }
}

/** The status of whatever was thrown; INTERNAL for what landfall did not raise on purpose. */
export function grpcStatusOf(error: unknown): status {
  if (error instanceof StatusError) return error.status;
  return isLandfallError(error) ? GRPC_STATUS[error.code] : status.INTERNAL;
}
