import { join } from 'node:path';
import {
  checkDatabase,
  checkIndex,
  checkLayout,
  LAYOUT_PARTS,
  type LayoutFault,
  listPartials,
  removeOrphanBlobs,
  repairIndex,
  repairLayout,
} from '../../content/index.js';
import type { FsckRun } from './fsck-run.js';

/** `oci-layout`, the directories and their modes. */
export async function layoutStep(run: FsckRun): Promise<number> {
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

/** Whether SQLite finds its file sound. */
export async function checkDatabaseFile(run: FsckRun): Promise<boolean> {
  const { database } = run.store;
  const faults = await checkDatabase(database, { quick: run.quick });
  for (const detail of faults) {
    const problem = run.report({
      kind: 'database-damaged',
      subject: 'metadata.db',
      path: database.file,
      detail,
      images: [],
    });
    if (run.repair) run.settle(problem, 'unrepaired', 'rebuild it: landfall fsck --rebuild');
  }
  return faults.length === 0;
}

/** Files in `blobs/` and directories in `snapshots/` that the database does not name. A collection takes them. */
export async function orphansStep(run: FsckRun): Promise<number> {
  const { root, database, snapshotter } = run.store;
  const o = { signal: run.signal, dryRun: true };
  const blobs = await removeOrphanBlobs(root, database, o);
  for (const { digest, size } of blobs) run.remark({ kind: 'orphan-blob', subject: digest, bytes: size });
  const { removed } = await snapshotter.removeOrphans(o);
  for (const subject of removed) run.remark({ kind: 'orphan-snapshot', subject });
  return blobs.length + removed.length;
}

/** Blobs that began to arrive. */
export async function partialsStep(run: FsckRun): Promise<number> {
  const partials = await listPartials(run.store.root);
  for (const { digest, bytes } of partials) run.remark({ kind: 'partial', subject: digest, bytes });
  return partials.length;
}

/** Whether `index.json` is what the database says. */
export async function indexStep(run: FsckRun): Promise<number> {
  const { root, database, images } = run.store;
  const detail = await checkIndex(root, database);
  if (detail !== undefined) {
    const path = join(root, 'index.json');
    const problem = run.report({ kind: 'index-differs', subject: 'index.json', path, detail, images: [] });
    if (run.repair) await run.attempt(problem, () => repairIndex(root, database));
  }
  return (await images.list()).length;
}
