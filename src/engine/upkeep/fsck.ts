import { join } from 'node:path';
import {
  checkIndex,
  checkLayout,
  LAYOUT_PARTS,
  type LayoutFault,
  listPartials,
  removeOrphanBlobs,
  repairIndex,
  repairLayout,
} from '../../content/index.js';
import type { Store } from '../store.js';
import { blobsStep, databaseStep, manifestsStep } from './check-blobs.js';
import { snapshotsStep } from './check-snapshots.js';
import { type FsckOptions, type FsckReport, FsckRun } from './fsck-run.js';

/**
 * Checks all that a store holds, in steps, and with `repair` mends what it can. Safe beside pulls and
 * collections in any number of processes. Nothing that an image needs is ever just removed: what cannot be
 * repaired lies in `quarantine/`.
 *
 * @throws {@link ContentError} LOCKED, NO_SPACE, FILESYSTEM (the check itself cannot go on);
 *   {@link LandfallError} ABORTED
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

/** `oci-layout`, the directories and their modes. */
async function layoutStep(run: FsckRun): Promise<number> {
  const { root } = run.store;
  const now = await checkLayout(root);
  const report = ({ kind, name, detail }: LayoutFault): ReturnType<FsckRun['report']> =>
    run.report({ kind, subject: name, path: join(root, name), detail: `it ${detail}`, images: [] });
  for (const fault of run.layoutBefore) {
    // What opening a store makes is mended by now.
    if (now.every(({ name }) => name !== fault.name)) run.settle(report(fault), 'repaired');
  }
  for (const fault of now) {
    const problem = report(fault);
    if (run.repair) await run.attempt(problem, () => repairLayout(root, fault));
  }
  return LAYOUT_PARTS;
}

/**
 * Files in `blobs/` and directories in `snapshots/` that the database does not name. A collection takes them.
 */
async function orphansStep(run: FsckRun): Promise<number> {
  const { root, database, snapshotter } = run.store;
  const o = { signal: run.signal, dryRun: true };
  const blobs = await removeOrphanBlobs(root, database, o);
  for (const { digest, size } of blobs) run.remark({ kind: 'orphan-blob', subject: digest, bytes: size });
  const { removed } = await snapshotter.removeOrphans(o);
  for (const subject of removed) run.remark({ kind: 'orphan-snapshot', subject });
  return blobs.length + removed.length;
}

/** Blobs that began to arrive. */
async function partialsStep(run: FsckRun): Promise<number> {
  const partials = await listPartials(run.store.root);
  for (const { digest, bytes } of partials) run.remark({ kind: 'partial', subject: digest, bytes });
  return partials.length;
}

/** Whether `index.json` is what the database says. */
async function indexStep(run: FsckRun): Promise<number> {
  const { root, database, images } = run.store;
  const detail = await checkIndex(root, database);
  if (detail !== undefined) {
    const path = join(root, 'index.json');
    const problem = run.report({ kind: 'index-differs', subject: 'index.json', path, detail, images: [] });
    if (run.repair) await run.attempt(problem, () => repairIndex(root, database));
  }
  return (await images.list()).length;
}
