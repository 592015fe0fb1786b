import { unlink } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import {
  type GrpcObject,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { deferred } from '../../concurrency/index.js';
import { prepareSocket } from './unix-socket.js';

/** A service with what answers its calls. What it lacks is answered with UNIMPLEMENTED. */
export interface ServedService {
  /** `runtime.v1.ImageService` */
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** What its file defines, for reflection. */
  readonly proto: PackageDefinition;
}

/** The longest message that is taken, in bytes: a kubelet sends credentials and names. */
const MOST_RECEIVED = 4 * 1024 * 1024;

/** gRPC services at a socket, with health (grpc.health.v1) and reflection (grpc.reflection.v1). */
export class GrpcServer {
  readonly path: string;
  readonly #server: Server;
  readonly #health: HealthImplementation;
  readonly #names: readonly string[];

  private constructor(path: string, server: Server, health: HealthImplementation, names: readonly string[]) {
    this.path = path;
    this.#server = server;
    this.#health = health;
    this.#names = names;
  }

  /**
   * Listens at a path; calls are answered from then on.
   *
   * @throws LandfallError IN_USE, FILESYSTEM
   */
  static async listen(path: string, services: readonly ServedService[]): Promise<GrpcServer> {
    const server = new Server({ 'grpc.max_receive_message_length': MOST_RECEIVED });
    for (const { definition, implementation } of services) server.addService(definition, implementation);
    const names = ['', ...services.map(({ name }) => name)];
    const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, 'SERVING'])));
    health.addToServer(server);
    const protos = Object.fromEntries(services.flatMap(({ proto }) => Object.entries(proto)));
    new ReflectionService(protos).addToServer(server);
    const socket = await prepareSocket(path);
    const bound = deferred<number>();
    server.bindAsync(`unix:${socket.temporary}`, ServerCredentials.createInsecure(), (error, port) =>
      error === null ? bound.resolve(port) : bound.reject(error),
    );
    await bound.promise;
    try {
      await socket.publish();
    } catch (error) {
      server.forceShutdown();
      throw error;
    }
    return new GrpcServer(path, server, health, names);
  }

  /**
   * Takes no further calls, and waits for those under way.
   *
   * @param patienceMs then they are broken off
   */
  async stop(patienceMs: number): Promise<void> {
    for (const name of this.#names) this.#health.setStatus(name, 'NOT_SERVING');
    await unlink(this.path).catch(() => undefined);
    const stopped = deferred<undefined>();
    const timer = setTimeout(() => {
      this.#server.forceShutdown();
      stopped.resolve(undefined);
    }, patienceMs);
    this.#server.tryShutdown(() => stopped.resolve(undefined));
    await stopped.promise;
    clearTimeout(timer);
  }
}

/** Beside this file, or beside the part of the bundled command that it became a part of. */
const PROTOS = fileURLToPath(new URL('./protos', import.meta.url));

export type ProtoFile =
  | 'runtime-v1.proto'
  | 'transfers-v1.proto'
  | 'containerd-content-v1.proto'
  | 'containerd-events-v1.proto'
  | 'containerd-images-v1.proto'
  | 'containerd-leases-v1.proto'
  | 'containerd-snapshots-v1.proto';

/**
 * The definitions of a file, also for reflection. Fields are in lowerCamelCase, 64-bit numbers decimal text,
 * enums names.
 */
export function readProto(file: ProtoFile): PackageDefinition {
  return loadSync(file, {
    includeDirs: [PROTOS],
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
}

/** @param name `runtime.v1.ImageService` */
export function serviceOf(definition: PackageDefinition, name: string): ServiceDefinition {
  let found: GrpcObject[string] | undefined = loadPackageDefinition(definition);
  for (const part of name.split('.')) found = (found as GrpcObject | undefined)?.[part];
  if (found === undefined || !('service' in found)) throw new TypeError(`no proto file defines ${name}`);
  return found.service as ServiceDefinition;
}
