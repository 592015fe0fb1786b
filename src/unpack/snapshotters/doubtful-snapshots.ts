import { IN_DOUBT, integerOf, type MetadataDatabase } from '../../metadata/index.js';
import { SnapshotDirectories } from './snapshot-directories.js';

/**
 * Puts the directories of snapshots away that are in doubt (src/metadata/unsynced.ts): each then counts as lost, is unpacked
 * anew in its place by the next pull, and what was put away goes with the next collection. Their rows stay as they are; the
 * caller has the store's root locked.
 *
 * @param boot this one
 * @returns how many there are
 */
export async function putAwayDoubtfulSnapshots(
  root: string,
  database: MetadataDatabase,
  boot: string,
): Promise<number> {
  const directories = new SnapshotDirectories(root);
  const rows = await database.all(`SELECT id FROM snapshots WHERE ${IN_DOUBT}`, [boot]);
  for (const row of rows) directories.discard(integerOf(row, 'id'));
  return rows.length;
}
