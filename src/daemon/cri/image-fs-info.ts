import type { Store } from '../../engine/index.js';
import { integerOf } from '../../metadata/index.js';
import type { FilesystemUsage, ImageFsInfoResponse } from './messages.js';

/** Blobs, and layers that are unpacked and were measured. */
const USED = `
SELECT
  (SELECT coalesce(sum(size), 0) FROM blobs) + (SELECT coalesce(sum(bytes), 0) FROM snapshots) AS bytes,
  (SELECT count(*) FROM blobs) + (SELECT coalesce(sum(inodes), 0) FROM snapshots) AS inodes`;

const NANOSECONDS = 1_000_000n;

/**
 * What images take on the disk (CRI: ImageFsInfo): the content store and the unpacked layers. It asks the database alone; a
 * layer is measured once, soon after its pull. Images and containers share a file system.
 */
export async function imageFsInfo(store: Store): Promise<ImageFsInfoResponse> {
  const row = await store.database.get(USED);
  const usage: FilesystemUsage = {
    timestamp: String(BigInt(Date.now()) * NANOSECONDS),
    fsId: { mountpoint: store.root },
    usedBytes: { value: String(row === undefined ? 0 : integerOf(row, 'bytes')) },
    inodesUsed: { value: String(row === undefined ? 0 : integerOf(row, 'inodes')) },
  };
  return { imageFilesystems: [usage], containerFilesystems: [usage] };
}
