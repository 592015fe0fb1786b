import { fileURLToPath } from 'node:url';
import { type GrpcObject, loadPackageDefinition, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';

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

/** What a file defines, as reflection tells it too. Fields are in lowerCamelCase, 64-bit numbers are decimal text, enums are names. */
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
