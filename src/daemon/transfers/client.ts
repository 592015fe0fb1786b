import { type ServiceError, status } from '@grpc/grpc-js';
import { type Abortable, LandfallError } from '../../errors.js';
import { errorIn } from '../grpc/calls.js';
import { GrpcClient } from '../grpc/grpc-client.js';
import type { PullRequestMessage, PullUpdateMessage, TransferMessage, TransfersMessage } from './messages.js';

/** A daemon's transfers, for a command on the same machine (landfall.v1.Transfers). */
export class DaemonClient implements Disposable {
  readonly #client: GrpcClient;

  /** @param socket its path; nothing is connected before the first call */
  constructor(socket: string) {
    const services = { transfers: ['transfers-v1.proto', 'landfall.v1.Transfers'] } as const;
    this.#client = new GrpcClient({ socket, services, errorOf });
  }

  /** What is in flight. @throws LandfallError as the daemon says; UNAVAILABLE where there is none */
  async list(o: Abortable = {}): Promise<readonly TransferMessage[]> {
    return (await this.#client.unary<TransfersMessage>('transfers/List', {}, o)).transfers;
  }

  /** First all that is in flight, then what has changed. The same errors. */
  watch(o: Abortable = {}): AsyncIterable<TransfersMessage> {
    return this.#client.stream<TransfersMessage>('transfers/Watch', {}, o);
  }

  /** Events of the pull, and its result at the end. The same errors, and those of the pull. */
  pull(request: Partial<PullRequestMessage>, o: Abortable = {}): AsyncIterable<PullUpdateMessage> {
    return this.#client.stream<PullUpdateMessage>('transfers/Pull', request, o);
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

/** What the daemon raised, as it raised it. */
function errorOf(error: ServiceError): LandfallError {
  const hint = 'Check that it runs, and that this user may use its socket.';
  const message = `the daemon does not answer (${status[error.code]}: ${error.details})`;
  return errorIn(error.metadata) ?? new LandfallError('UNAVAILABLE', message, { cause: error, hint });
}
