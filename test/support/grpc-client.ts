import { credentials, loadPackageDefinition, Metadata, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { resolve } from 'node:path';

const PROTOS = resolve(import.meta.dirname, '../../src/daemon/grpc/protos');

/** A client with all methods of a service. */
export interface GrpcClient {
  close(): void;
  [method: string]: (...args: unknown[]) => unknown;
}

/**
 * A client that is made of the proto file of a service, as anybody would make one.
 *
 * @param file below src/daemon/grpc/protos, or an absolute path
 * @param socket its path
 */
export function grpcClient(file: string, service: string, socket: string): GrpcClient {
  const definition = loadSync(resolve(PROTOS, file), {
    includeDirs: [PROTOS],
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  let found: unknown = loadPackageDefinition(definition);
  for (const part of service.split('.')) found = (found as Record<string, unknown>)[part];
  const Constructor = found as new (address: string, credentials: unknown) => GrpcClient;
  return new Constructor(`unix:${socket}`, credentials.createInsecure());
}

/** The answer of a unary call. @throws ServiceError */
export function call<T>(client: GrpcClient, method: string, request: object = {}): Promise<T> {
  return new Promise((onAnswer, onError) => {
    client[method]?.(request, new Metadata(), (error: ServiceError | null, answer: T) => {
      if (error === null) onAnswer(answer);
      else onError(error);
    });
  });
}

/** The messages of a streaming call. @throws ServiceError */
export function stream<T>(
  client: GrpcClient,
  method: string,
  request: object = {},
): AsyncIterable<T> & { cancel(): void } {
  return client[method]?.(request) as AsyncIterable<T> & { cancel(): void };
}

export async function all<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const message of messages) found.push(message);
  return found;
}
