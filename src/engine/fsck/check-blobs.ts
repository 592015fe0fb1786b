import {
  type BlobFault,
  blobPath,
  checkBlobs,
  findMissingBlobs,
  imagesWithBlob,
  imagesWithChain,
} from '../../content/index.js';
import { integerOf } from '../../metadata/index.js';
import type { Descriptor } from '../../spec/index.js';
import { recordMissingDocuments } from '../documents.js';
import { checkDatabaseFile } from './check-store-files.js';
import { describeBlob } from './describe-blob.js';
import type { FsckRun } from './fsck-run.js';
import { repairBlob } from './repair-blob.js';

/** The database itself, and its rows against the disk. What the disk has and no row names, `orphans` tells. */
export async function databaseStep(run: FsckRun): Promise<number> {
  const { store, signal } = run;
  if (!(await checkDatabaseFile(run))) return 1;
  // An older program recorded nothing of what its images consist of.
  await recordMissingDocuments(store, { signal });
  const { checked, faults } = await findMissingBlobs(store.root, store.database, { signal });
  for (const fault of faults) await takeBlobFault(run, fault);
  return checked + (await findLostSnapshots(run));
}

/** Each blob's size, and its digest. */
export async function blobsStep(run: FsckRun): Promise<number> {
  const { store, signal, quick } = run;
  const { checked, faults } = await checkBlobs(store.root, store.database, { signal, quick });
  for (const fault of faults) await takeBlobFault(run, fault);
  return checked;
}

/**
 * Reports a damaged blob, and repairs it if it is to be.
 *
 * @param known - its descriptor, where that is known
 */
export async function takeBlobFault(run: FsckRun, fault: BlobFault, known?: Descriptor): Promise<void> {
  const { store } = run;
  const { kind, digest, detail } = fault;
  const images = await imagesWithBlob(store.database, digest);
  const path = blobPath(store.root, digest);
  const problem = run.report({ kind, subject: digest, path, detail, images });
  run.blobProblems.set(digest, problem);
  if (!run.repair) return;
  const row = await store.database.get('SELECT size FROM blobs WHERE digest = ?', [digest]);
  const size = row === undefined ? 0 : integerOf(row, 'size');
  await repairBlob(run, problem, known ?? (await describeBlob(store, digest, size)));
}

/** Snapshots without a directory are repaired in their own step: parents first, when the blobs are. */
async function findLostSnapshots(run: FsckRun): Promise<number> {
  const { snapshotter, database } = run.store;
  await using check = await snapshotter.check();
  const snapshots = check.generations.flat();
  for (const snapshot of snapshots) {
    if (check.exists(snapshot) || !(await check.isKnown(snapshot))) continue;
    const { number, name, chain } = snapshot;
    const problem = run.report({
      kind: 'snapshot-missing',
      subject: name,
      path: check.pathOf(snapshot),
      detail: 'its directory is missing',
      images: chain === undefined ? [] : await imagesWithChain(database, chain.chainId),
    });
    run.lostSnapshots.set(number, problem);
  }
  return snapshots.length;
}
