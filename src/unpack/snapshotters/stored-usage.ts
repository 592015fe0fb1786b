import { type Abortable, throwIfAborted } from '../../errors.js';
import { integerOf, type MetadataDatabase } from '../../metadata/index.js';
import type { Usage } from '../snapshotter.js';
import { measureUsage } from './measure-usage.js';
import type { SnapshotDirectories } from './snapshot-directories.js';

/** What all snapshots take, those that are written to as they are at this moment. */
export async function snapshotsUsage(
  database: MetadataDatabase,
  directories: SnapshotDirectories,
): Promise<{ count: number; bytes: number }> {
  await measureCommitted(database, directories);
  const row = await database.get(
    `SELECT count(*) AS count, coalesce(sum(bytes), 0) AS bytes FROM snapshots WHERE kind = 'committed'`,
  );
  let count = row === undefined ? 0 : integerOf(row, 'count');
  let bytes = row === undefined ? 0 : integerOf(row, 'bytes');
  for (const other of await database.all(`SELECT id FROM snapshots WHERE kind <> 'committed'`)) {
    count += 1;
    bytes += (await measureUsage(directories.path(integerOf(other, 'id')))).size;
  }
  return { count, bytes };
}

/**
 * Measures what was committed since the last time. It is not done at the commit: a walk over thousands of files would make
 * every pull slower.
 */
export async function measureCommitted(
  database: MetadataDatabase,
  directories: SnapshotDirectories,
  o: Abortable = {},
): Promise<void> {
  // A snapshot has at least its root, so no inodes mean that nobody has counted them.
  const rows = await database.all(`SELECT id FROM snapshots WHERE kind = 'committed' AND inodes = 0`);
  if (rows.length === 0) return;
  const measured: (readonly [number: number, usage: Usage])[] = [];
  for (const number of rows.map((row) => integerOf(row, 'id'))) {
    throwIfAborted(o.signal);
    const usage = await measureUsage(directories.content(number));
    if (usage.inodes > 0) measured.push([number, usage]);
  }
  await database.transaction(async (transaction) => {
    for (const [number, { inodes, size }] of measured) {
      await transaction.run('UPDATE snapshots SET bytes = ?, inodes = ? WHERE id = ?', [
        size,
        inodes,
        number,
      ]);
    }
  });
}
