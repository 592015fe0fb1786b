import {
  Client,
  credentials,
  Metadata,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { type Abortable, abortedError, LandfallError, throwIfAborted } from '../errors.js';
import { errorIn } from './calls.js';
import { readProto, serviceOf } from './proto-files.js';
import type {
  PullRequestMessage,
  PullUpdateMessage,
  TransferMessage,
  TransfersMessage,
} from './transfers/messages.js';

/** A daemon's transfers, for a command on the same machine (landfall.v1.Transfers). */
export class DaemonClient implements Disposable {
  readonly #client: Client;
  readonly #service: ServiceDefinition;

  /** @param socket its path; nothing is connected before the first call */
  constructor(socket: string) {
    this.#service = serviceOf(readProto('transfers-v1.proto'), 'landfall.v1.Transfers');
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure());
  }

  /** What is in flight. @throws LandfallError as the daemon says; UNAVAILABLE where there is none */
  async list({ signal }: Abortable = {}): Promise<readonly TransferMessage[]> {
    throwIfAborted(signal);
    const { path, requestSerialize, responseDeserialize } = this.#method('List');
    return await new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest<object, TransfersMessage>(
        path,
        requestSerialize,
        responseDeserialize,
        {},
        (error, answer) => {
          if (error === null) resolve(answer?.transfers ?? []);
          else reject(landfallError(error, signal));
        },
      );
      signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });
  }

  /** First all that is in flight, then what has changed. The same errors. */
  watch(o: Abortable = {}): AsyncIterable<TransfersMessage> {
    return this.#stream<TransfersMessage>('Watch', {}, o);
  }

  /** Events of the pull, and its result at the end. The same errors, and those of the pull. */
  pull(request: Partial<PullRequestMessage>, o: Abortable = {}): AsyncIterable<PullUpdateMessage> {
    return this.#stream<PullUpdateMessage>('Pull', request, o);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #method(name: string): ServiceDefinition[string] {
    const method = this.#service[name];
    if (method === undefined) throw new TypeError(`the service has no method ${name}`);
    return method;
  }

  async *#stream<Message>(name: string, request: object, { signal }: Abortable): AsyncIterable<Message> {
    throwIfAborted(signal);
    const { path, requestSerialize, responseDeserialize } = this.#method(name);
    const call = this.#client.makeServerStreamRequest<object, Message>(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
    );
    const cancel = (): void => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      for await (const message of call) yield message as Message;
    } catch (error) {
      throw landfallError(error as ServiceError, signal);
    } finally {
      signal?.removeEventListener('abort', cancel);
      call.cancel();
    }
  }
}

/** What the daemon raised, as it raised it. */
function landfallError(error: ServiceError, signal: AbortSignal | undefined): LandfallError {
  if (signal?.aborted === true) return abortedError(signal);
  const raised = errorIn(error.metadata);
  if (raised !== undefined) return raised;
  return new LandfallError(
    'UNAVAILABLE',
    `the daemon does not answer (${status[error.code]}: ${error.details})`,
    {
      cause: error,
      hint: 'Check that it runs, and that this user may use its socket.',
    },
  );
}
