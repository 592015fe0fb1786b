import { type Client, Metadata, type MethodDefinition } from '@grpc/grpc-js';
import { type Abortable, throwIfAborted } from '../../errors.js';

export interface GrpcCallOptions extends Abortable {
  readonly metadata?: Metadata | undefined;
  /** How long the call may take, in milliseconds. Default: for ever. */
  readonly timeoutMs?: number | undefined;
}

/** Calls a method that has one answer. @throws ServiceError; ABORTED where the signal was aborted before */
export async function unaryCall<Response>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<object, object>,
  request: object,
  { signal, metadata = new Metadata(), timeoutMs }: GrpcCallOptions,
): Promise<Response> {
  throwIfAborted(signal);
  let cancel = (): void => undefined;
  try {
    return await new Promise<Response>((resolve, reject) => {
      const made = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
        (error, answer) => {
          if (error === null) resolve(answer as Response);
          else reject(error);
        },
      );
      cancel = () => made.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
    });
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/** Calls a method that answers with a stream, which is cancelled when its reader stops. The same errors. */
export async function* streamingCall<Message>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<object, object>,
  request: object,
  { signal, metadata = new Metadata() }: GrpcCallOptions,
): AsyncIterable<Message> {
  throwIfAborted(signal);
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata);
  const cancel = (): void => call.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    for await (const message of call) yield message as Message;
  } finally {
    signal?.removeEventListener('abort', cancel);
    call.cancel();
  }
}
