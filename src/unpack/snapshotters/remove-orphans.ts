import { join } from 'node:path';
import { throwIfAborted, type Abortable } from '../../errors.js';
import { integerOf, type MetadataDatabase } from '../../metadata/index.js';
import type { OrphanOptions, RemovedOrphans, SweptDirectory } from '../layer-snapshotter.js';
import { measureUsage } from './measure-usage.js';
import type { SnapshotDirectories } from './snapshot-directories.js';

interface Place {
  readonly database: MetadataDatabase;
  readonly directories: SnapshotDirectories;
}

/**
 * Removes the directories that no row names, and what earlier removals left. One inside which something is mounted stays.
 *
 * They are listed before the rows are read: each is made within the transaction that inserts its row, so one that was
 * listed and has no row later never gets one.
 */
export async function removeOrphans(place: Place, o: OrphanOptions): Promise<RemovedOrphans> {
  throwIfAborted(o.signal);
  const { directories } = place;
  const { numbers, discarded } = await directories.list();
  const orphans: number[] = [];
  const swept = new Map(o.swept?.map((directory) => [directory.path, directory]));
  const away: SweptDirectory[] = discarded.map((path) => ({ path }));
  await place.database.transaction(async (tx) => {
    const rows = await tx.all('SELECT id FROM snapshots');
    const known = new Set(rows.map((row) => integerOf(row, 'id')));
    for (const number of numbers) {
      if (known.has(number) || directories.mountBelow(number) !== undefined) continue;
      const path = directories.path(number);
      if (!swept.has(path)) orphans.push(number);
      const moved = o.dryRun === true ? path : directories.discard(number);
      if (moved !== undefined) away.push({ ...swept.get(path), path: moved });
    }
  });
  // Their rows are still there after a dry sweep.
  if (o.dryRun === true) away.push(...swept.values());
  const freed = await removePutAway(directories, away, o);
  return { removed: orphans.map((number) => `snapshots/${number}`), freed };
}

/** Directories are removed so many at once. */
const AT_ONCE = 8;

/** Removes directories that were put out of sight, and says how many bytes they took. */
export async function removePutAway(
  directories: SnapshotDirectories,
  swept: readonly SweptDirectory[],
  o: Abortable & { readonly dryRun?: boolean } = {},
): Promise<number> {
  let freed = 0;
  for (let at = 0; at < swept.length; at += AT_ONCE) {
    throwIfAborted(o.signal);
    const sizes = swept.slice(at, at + AT_ONCE).map(async ({ path, bytes }) => {
      const size = bytes ?? (await contentSize(path));
      if (o.dryRun !== true) await directories.sweep(path);
      return size;
    });
    for (const size of await Promise.all(sizes)) freed += size;
  }
  return freed;
}

/** Counted as the usage of a snapshot is: by its content, without the few blocks of what lies beside it. */
async function contentSize(path: string): Promise<number> {
  const [content, unmerged] = await Promise.all(CONTENTS.map((name) => measureUsage(join(path, name))));
  return (content?.size ?? 0) + (unmerged?.size ?? 0);
}

/** A layer that a native snapshot was to be merged from lies beside the snapshot's own tree. */
const CONTENTS: readonly string[] = ['fs', 'layer'];
