import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { type CallOptions, streaming, unary } from './grpc/calls.js';
import { imageService, type ImageServiceOptions } from './cri/image-service.js';
import { runtimeService, type RuntimeServiceOptions } from './cri/runtime-service.js';
import { readProto, type ServedService, serviceOf } from './grpc/grpc-server.js';
import { snapshotsService, type SnapshotsServiceOptions } from './snapshots/snapshots-service.js';
import { transfersService } from './transfers/transfers-service.js';

/** What a kubelet and landfall's own commands ask: CRI's services and landfall.v1.Transfers. */
export function nodeServices(
  options: ImageServiceOptions & RuntimeServiceOptions,
  { onError }: CallOptions,
): readonly ServedService[] {
  const image = imageService(options);
  const runtime = runtimeService(options);
  const transfers = transfersService(options.pulls);
  const cri = readProto('runtime-v1.proto');
  return [
    served(cri, 'runtime.v1.RuntimeService', {
      Version: unary('Version', runtime.version, { onError }),
      Status: unary('Status', runtime.status, { onError }),
    }),
    served(cri, 'runtime.v1.ImageService', {
      ListImages: unary('ListImages', image.listImages, { onError }),
      StreamImages: streaming('StreamImages', image.streamImages, { onError }),
      ImageStatus: unary('ImageStatus', image.imageStatus, { onError }),
      PullImage: unary('PullImage', image.pullImage, { onError }),
      RemoveImage: unary('RemoveImage', image.removeImage, { onError }),
      ImageFsInfo: unary('ImageFsInfo', image.imageFsInfo, { onError }),
    }),
    served(readProto('transfers-v1.proto'), 'landfall.v1.Transfers', {
      List: unary('List', transfers.list, { onError }),
      Watch: streaming('Watch', transfers.watch, { onError }),
      Pull: streaming('Pull', transfers.pull, { onError }),
      Cancel: unary('Cancel', transfers.cancel, { onError }),
    }),
  ];
}

/** What a containerd asks of its proxy plugin. */
export function snapshotterServices(
  options: SnapshotsServiceOptions,
  { onError }: CallOptions,
): readonly ServedService[] {
  const snapshots = snapshotsService(options);
  return [
    served(readProto('containerd-snapshots-v1.proto'), 'containerd.services.snapshots.v1.Snapshots', {
      Prepare: unary('Prepare', snapshots.prepare, { onError }),
      View: unary('View', snapshots.view, { onError }),
      Mounts: unary('Mounts', snapshots.mounts, { onError }),
      Commit: unary('Commit', snapshots.commit, { onError }),
      Remove: unary('Remove', snapshots.remove, { onError }),
      Stat: unary('Stat', snapshots.stat, { onError }),
      Update: unary('Update', snapshots.update, { onError }),
      List: streaming('List', snapshots.list, { onError }),
      Usage: unary('Usage', snapshots.usage, { onError }),
      Cleanup: unary('Cleanup', snapshots.cleanup, { onError }),
    }),
  ];
}

function served(
  proto: ServedService['proto'],
  name: string,
  implementation: UntypedServiceImplementation,
): ServedService {
  return { name, definition: serviceOf(proto, name), implementation, proto };
}
