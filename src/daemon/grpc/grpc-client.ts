import { once } from 'node:events';
import {
  type CallOptions,
  Client,
  type ClientOptions,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { deferred } from '../../concurrency/index.js';
import { type Abortable, abortedError, throwIfAborted } from '../../errors.js';
import { type ProtoFile, readProto, serviceOf } from './grpc-server.js';

export interface GrpcCallOptions extends Abortable {
  readonly metadata?: Metadata | undefined;
  /** How long the call may take, in milliseconds. Default: for ever. */
  readonly timeoutMs?: number | undefined;
}

export interface GrpcClientOptions {
  /** The path of the socket. */
  readonly socket: string;
  /** Each service with a short name, by which calls name it. */
  readonly services: Readonly<Record<string, readonly [file: ProtoFile, service: string]>>;
  /** The error that a failed call throws. */
  readonly errorOf: (error: ServiceError, call: string) => Error;
  readonly channel?: ClientOptions | undefined;
}

/**
 * Calls of services at a socket, each `service/Method`. Nothing is connected before the first. Errors of all:
 * ABORTED; those of the options.
 */
export class GrpcClient implements Disposable {
  readonly #client: Client;
  readonly #services: ReadonlyMap<string, ServiceDefinition>;
  readonly #errorOf: GrpcClientOptions['errorOf'];

  constructor({ socket, services, errorOf, channel = {} }: GrpcClientOptions) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), channel);
    this.#services = new Map(
      Object.entries(services).map(([name, [file, service]]) => [name, serviceOf(readProto(file), service)]),
    );
    this.#errorOf = errorOf;
  }

  /** Calls a method that has one answer. */
  async unary<Response>(call: string, request: object, o: GrpcCallOptions = {}): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = this.#method(call);
    let cancel = (): void => undefined;
    try {
      throwIfAborted(o.signal);
      const answered = deferred<Response>();
      const made = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        o.metadata ?? new Metadata(),
        optionsOf(o),
        (error, answer) => (error === null ? answered.resolve(answer as Response) : answered.reject(error)),
      );
      cancel = () => made.cancel();
      o.signal?.addEventListener('abort', cancel, { once: true });
      return await answered.promise;
    } catch (error) {
      throw this.#raised(error, call, o);
    } finally {
      o.signal?.removeEventListener('abort', cancel);
    }
  }

  /** Calls a method that answers with a stream, which is cancelled when its reader stops. */
  async *stream<Message>(
    call: string,
    request: object,
    o: GrpcCallOptions = {},
  ): AsyncGenerator<Message, void, undefined> {
    const { path, requestSerialize, responseDeserialize } = this.#method(call);
    let cancel = (): void => undefined;
    try {
      throwIfAborted(o.signal);
      const metadata = o.metadata ?? new Metadata();
      const made = this.#client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        optionsOf(o),
      );
      cancel = () => made.cancel();
      o.signal?.addEventListener('abort', cancel, { once: true });
      for await (const message of made) yield message as Message;
    } catch (error) {
      throw this.#raised(error, call, o);
    } finally {
      o.signal?.removeEventListener('abort', cancel);
      cancel();
    }
  }

  /** Calls a method with a stream of requests, and drops what it answers. */
  async send(call: string, messages: Iterable<object>, o: GrpcCallOptions = {}): Promise<void> {
    const { path, requestSerialize, responseDeserialize } = this.#method(call);
    throwIfAborted(o.signal);
    const stream = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      o.metadata ?? new Metadata(),
      optionsOf(o),
    );
    const cancel = (): void => stream.cancel();
    o.signal?.addEventListener('abort', cancel, { once: true });
    // `once` rejects with an error before the end; without this listener a later one would end the process.
    stream.on('error', () => undefined);
    const ended = once(stream.resume(), 'end');
    try {
      for (const message of messages) stream.write(message);
      stream.end();
      await ended;
    } catch (error) {
      throw this.#raised(error, call, o);
    } finally {
      o.signal?.removeEventListener('abort', cancel);
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #method(call: string): MethodDefinition<object, object> {
    const [service = '', name = ''] = call.split('/');
    const method = this.#services.get(service)?.[name];
    if (method === undefined) throw new TypeError(`no service has ${call}`);
    return method as MethodDefinition<object, object>;
  }

  #raised(error: unknown, call: string, { signal }: Abortable): Error {
    return signal?.aborted === true ? abortedError(signal) : this.#errorOf(error as ServiceError, call);
  }
}

function optionsOf({ timeoutMs }: GrpcCallOptions): CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}
