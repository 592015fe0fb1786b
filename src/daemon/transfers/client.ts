import {
  Client,
  credentials,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { type Abortable, abortedError, LandfallError } from '../../errors.js';
import { errorIn } from '../grpc/calls.js';
import { streamingCall, unaryCall } from '../grpc/grpc-call.js';
import { readProto, serviceOf } from '../grpc/grpc-server.js';
import type { PullRequestMessage, PullUpdateMessage, TransferMessage, TransfersMessage } from './messages.js';

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
    const method = this.#method('List');
    try {
      return (await unaryCall<TransfersMessage>(this.#client, method, {}, { signal })).transfers;
    } catch (error) {
      throw landfallError(error as ServiceError, signal);
    }
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

  #method(name: string): MethodDefinition<object, object> {
    const method = this.#service[name];
    if (method === undefined) throw new TypeError(`the service has no method ${name}`);
    return method as MethodDefinition<object, object>;
  }

  async *#stream<Message>(name: string, request: object, { signal }: Abortable): AsyncIterable<Message> {
    const method = this.#method(name);
    try {
      yield* streamingCall<Message>(this.#client, method, request, { signal });
    } catch (error) {
      throw landfallError(error as ServiceError, signal);
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
