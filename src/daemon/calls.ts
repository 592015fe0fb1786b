import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type ServerWritableStream,
  type ServiceError,
  type status,
} from '@grpc/grpc-js';
import { once } from 'node:events';
import { errorFromJSON, type ErrorJson, isLandfallError, type LandfallError } from '../errors.js';
import { grpcStatusOf, StatusError } from './grpc-status.js';

/** The metadata key of an error's own code, which says more than its status. */
const CODE_KEY = 'landfall-error-code';
/** The error as JSON, for clients that can make of it what it was. Its texts are any Unicode, so it is binary by its name. */
const JSON_KEY = 'landfall-error-bin';

/** What a method is told of its call. */
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
  /** Told of each error that a client gets, with the method's name. */
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
    call.on('cancelled', () => {
      ended.abort();
    });
    method(call.request, { signal: ended.signal }).then(
      (response) => {
        answer(null, response);
      },
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
    call.on('cancelled', () => {
      ended.abort();
    });
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

/** Says in a few words what a person at a cluster can do, besides what went wrong. */
export function serviceError(error: unknown, code: status = grpcStatusOf(error)): ServiceError {
  const metadata = new Metadata();
  const known = error instanceof StatusError ? error.cause : error;
  if (isLandfallError(known)) {
    metadata.set(CODE_KEY, known.code);
    metadata.set(JSON_KEY, Buffer.from(JSON.stringify(known)));
  }
  const details = detailsOf(error);
  return Object.assign(new Error(details), { code, details, metadata });
}

function detailsOf(error: unknown): string {
  if (error instanceof StatusError) return error.message;
  if (isLandfallError(error)) return `${error.message}. ${error.hint}`;
  // Nobody meant this to be read; its text may hold anything.
  return 'the daemon failed at something that it did not expect; its log says more';
}

/** The error that a call failed with, as a landfall daemon raised it; undefined where none did. */
export function errorIn(metadata: Metadata): LandfallError | undefined {
  const [json] = metadata.get(JSON_KEY);
  if (!Buffer.isBuffer(json)) return undefined;
  return errorFromJSON(JSON.parse(json.toString('utf8')) as ErrorJson);
}
