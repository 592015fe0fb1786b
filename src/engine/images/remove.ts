import {
  blobsAmong,
  dropBlobs,
  dropUnreachableDiscarded,
  forgetVerifications,
  heldBlobs,
  heldChains,
  onReserve,
  reachedBy,
  removeBlobFiles,
  type SweptBlob,
} from '../../content/index.js';
import { type Abortable, throwIfAborted } from '../../errors.js';
import type { Transaction } from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import type { SweptSnapshots } from '../../unpack/index.js';
import { recordDocuments } from './documents.js';
import { resolveOwnImage } from './find-image.js';
import type { Store } from '../store.js';

/** What {@link removeImage} has removed. */
export interface RemovedImage {
  /** Canonical. */
  readonly name: string;
  /** What the name stood for. */
  readonly digest: Digest;
  /** Bytes that only this image used. */
  readonly freed: number;
}

/**
 * Removes a name from the store, and with the last name of an image what only that image used; pinned or not. It looks at what
 * this image reaches and at nothing else, so it takes as long in a large store as in a small one.
 *
 * The name goes in one transaction, after which it is not aborted any more, so that what has begun to go is gone.
 *
 * @param name as a person would write it: a reference, a digest, an image ID
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image), FILESYSTEM
 * - {@link SpecError} INVALID_REFERENCE
 * - {@link LandfallError} UNSUPPORTED (only an additional store has it), ABORTED
 */
export async function removeImage(
  store: Store,
  name: string,
  { signal }: Abortable = {},
): Promise<RemovedImage> {
  throwIfAborted(signal);
  const image = await resolveOwnImage(store, name);
  const { digest } = image.target;
  // Whose process is dead holds nothing; where that cannot be written, it is left to the next collection.
  await store.leases.sweep().catch(() => undefined);
  // So is what cannot be read of a damaged image.
  await recordDocuments(store, image.target).catch(() => undefined);
  throwIfAborted(signal);
  const { blobs, snapshots } = await onReserve(store.root, () =>
    store.images.deleteWithin(async (transaction, drop) => {
      await drop(image.name);
      return await sweepTarget(store, transaction, digest);
    }),
  );
  faultPoint('rmi:committed');
  const removed = await removeBlobFiles(
    store.root,
    store.database,
    blobs.map((blob) => blob.digest),
  );
  faultPoint('rmi:blobs-removed');
  const freed = removed.reduce((sum, { size }) => sum + size, await store.snapshotter.removeSwept(snapshots));
  return { name: image.name, digest, freed };
}

/** Decides what goes with a target, and takes it out of the database. */
async function sweepTarget(
  store: Store,
  transaction: Transaction,
  target: Digest,
): Promise<{ blobs: readonly SweptBlob[]; snapshots: SweptSnapshots }> {
  const reached = await reachedBy(transaction, target);
  const held = await heldBlobs(transaction, reached.blobs);
  const unheld = [...reached.blobs].filter((digest) => !held.has(digest));
  const retained = await heldChains(transaction, reached.chains);
  const snapshots = await store.snapshotter.sweep(transaction, { retained, among: [...reached.chains] });
  const gone = new Set(unheld);
  const blobs = await blobsAmong(transaction, unheld);
  await dropBlobs(transaction, blobs);
  await dropUnreachableDiscarded(transaction, (digest) => !gone.has(digest));
  for (const digest of unheld) await store.documents.delete(digest, transaction);
  await forgetVerifications(transaction, unheld);
  faultPoint('rmi:decided');
  return { blobs, snapshots };
}

/**
 * Lets go of a snapshot that another program holds, and removes what nobody needs any more: at once, so that its space is free when
 * this resolves. A chain that an image or a lease of the store needs stays.
 *
 * @returns bytes that were freed of layers; what only that program used is not counted
 * Errors: SNAPSHOT_NOT_FOUND, IN_USE (that program holds others on top of it).
 */
export async function letGoOfSnapshot(store: Store, name: string, heldBy: string): Promise<number> {
  const { snapshotter, database, root } = store;
  const chains = await snapshotter.letGo(name, heldBy);
  if (chains.length === 0) return 0;
  const swept = await onReserve(root, () =>
    database.transaction(async (transaction) => {
      const retained = await heldChains(transaction, chains);
      return await snapshotter.sweep(transaction, { retained, among: chains });
    }),
  );
  return await snapshotter.removeSwept(swept);
}
