import { recordedUsage, type Store } from '../../engine/index.js';
import type { FilesystemUsage, ImageFsInfoResponse } from './messages.js';

const NANOSECONDS = 1_000_000n;

/**
 * What images take on the disk (CRI: ImageFsInfo): the content store and the unpacked layers. It asks the database alone; a
 * layer is measured once, soon after its pull. Images and containers share a file system.
 */
export async function imageFsInfo(store: Store): Promise<ImageFsInfoResponse> {
  const { blobs, snapshots } = await recordedUsage(store);
  const usage: FilesystemUsage = {
    timestamp: String(BigInt(Date.now()) * NANOSECONDS),
    fsId: { mountpoint: store.root },
    usedBytes: { value: String(blobs.bytes + snapshots.bytes) },
    inodesUsed: { value: String(blobs.count + snapshots.inodes) },
  };
  return { imageFilesystems: [usage], containerFilesystems: [usage] };
}
