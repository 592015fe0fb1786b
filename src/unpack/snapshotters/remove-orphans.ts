import { throwIfAborted } from '../../errors.js';
import { integerOf, type MetadataDatabase } from '../../metadata/index.js';
import type { OrphanOptions, RemovedOrphans } from '../layer-snapshotter.js';
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
  const away = [...discarded];
  await place.database.transaction(async (tx) => {
    const rows = await tx.all('SELECT id FROM snapshots');
    const known = new Set(rows.map((row) => integerOf(row, 'id')));
    for (const number of numbers) {
      if (known.has(number) || directories.mountBelow(number) !== undefined) continue;
      orphans.push(number);
      const moved = o.dryRun === true ? directories.path(number) : directories.discard(number);
      if (moved !== undefined) away.push(moved);
    }
  });
  if (o.dryRun === true) away.push(...(await pathsOf(place, o.swept ?? [])));
  let freed = 0;
  for (const path of away) {
    throwIfAborted(o.signal);
    freed += (await measureUsage(path)).size;
    if (o.dryRun !== true) await directories.sweep(path);
  }
  return { removed: orphans.map((number) => `snapshots/${number}`), freed };
}

/** The directories of snapshots by the names that a sweep gives them. */
async function pathsOf({ database, directories }: Place, names: readonly string[]): Promise<string[]> {
  const numbers = new Set<number>();
  for (const name of names) {
    const number = /^snapshots\/([1-9]\d*)$/.exec(name)?.[1];
    if (number !== undefined) numbers.add(Number(number));
    for (const row of await database.all('SELECT id FROM snapshots WHERE name = ?', [name])) {
      numbers.add(integerOf(row, 'id'));
    }
  }
  return [...numbers].map((number) => directories.path(number));
}
