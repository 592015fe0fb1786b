import type { ServiceDefinition } from '@grpc/grpc-js';
import { imageService, type ImageServiceOptions } from './cri/image-service.js';
import { runtimeService, type RuntimeServiceOptions } from './cri/runtime-service.js';
import { type CallOptions, streaming, type StreamingMethod, unary, type UnaryMethod } from './grpc/calls.js';
import { type ProtoFile, readProto, type ServedService, serviceOf } from './grpc/grpc-server.js';
import { snapshotsService, type SnapshotsServiceOptions } from './snapshots/snapshots-service.js';
import { transfersService } from './transfers/transfers-service.js';

/** The services for a kubelet and for landfall's own commands: CRI's and landfall.v1.Transfers. */
export function nodeServices(
  options: ImageServiceOptions & RuntimeServiceOptions,
  calls: CallOptions,
): readonly ServedService[] {
  return [
    served('runtime-v1.proto', 'runtime.v1.RuntimeService', { ...runtimeService(options) }, calls),
    served('runtime-v1.proto', 'runtime.v1.ImageService', { ...imageService(options) }, calls),
    served('transfers-v1.proto', 'landfall.v1.Transfers', { ...transfersService(options.pulls) }, calls),
  ];
}

/** The services of a proxy plugin of containerd. */
export function snapshotterServices(
  options: SnapshotsServiceOptions,
  calls: CallOptions,
): readonly ServedService[] {
  const file = 'containerd-snapshots-v1.proto';
  const name = 'containerd.services.snapshots.v1.Snapshots';
  return [served(file, name, { ...snapshotsService(options) }, calls)];
}

/** The methods of a service by their names in lowerCamelCase, each of the kind that the proto file says. */
type Methods = Readonly<Record<string, UnaryMethod<never, object> | StreamingMethod<never, object>>>;

function served(file: ProtoFile, name: string, methods: Methods, calls: CallOptions): ServedService {
  const proto = readProto(file);
  const definition = serviceOf(proto, name);
  const implementation: ServedService['implementation'] = {};
  for (const [called, { responseStream }] of Object.entries<ServiceDefinition[string]>(definition)) {
    const method = methods[`${called.charAt(0).toLowerCase()}${called.slice(1)}`];
    // The server answers UNIMPLEMENTED.
    if (method === undefined) continue;
    implementation[called] = responseStream
      ? streaming(called, method as StreamingMethod<unknown, object>, calls)
      : unary(called, method as UnaryMethod<unknown, object>, calls);
  }
  return { name, definition, implementation, proto };
}
