import type { Store } from '../store.js';
import { blobsStep, databaseStep, manifestsStep } from './check-manifests.js';
import { snapshotsStep } from './check-snapshots.js';
import { indexStep, layoutStep, orphansStep, partialsStep } from './check-store-files.js';
import { type FsckOptions, type FsckReport, FsckRun } from './fsck-run.js';

/**
 * Checks all that a store holds, in steps, and with `repair` mends what it can. Safe beside pulls and collections in any
 * number of processes. Nothing that an image needs is ever just removed: what cannot be repaired lies in `quarantine/`.
 *
 * @throws {@link ContentError} LOCKED, NO_SPACE, FILESYSTEM (the check itself cannot go on); {@link LandfallError} ABORTED
 */
export async function fsck(store: Store, options: FsckOptions = {}): Promise<FsckReport> {
  await using lease = await store.leases.create();
  const run = new FsckRun(store, options, lease);
  await run.step('layout', layoutStep);
  await run.step('database', databaseStep);
  // What a damaged database says proves nothing, in either direction.
  if (run.problems.every(({ kind }) => kind !== 'database-damaged')) {
    await run.step('blobs', blobsStep);
    await run.step('manifests', manifestsStep);
    await run.step('snapshots', snapshotsStep);
    await run.step('orphans', orphansStep);
    await run.step('partials', partialsStep);
    await run.step('index', indexStep);
  }
  const { root } = store;
  const { quick, repair, steps, problems } = run;
  return { root, quick, repair, sound: problems.every(({ state }) => state === 'repaired'), steps, problems };
}
