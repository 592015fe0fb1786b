import { randomUUID } from 'node:crypto';

import type { MetadataDatabase, Statements } from './database.js';

/*
 * Who pulls with less than full durability records what a power cut may still take. Such a row has a *mark* in its column
 * `unsynced`: the ID of the boot in which its content was written, until something has synced that. While the machine
 * runs, the page cache has all of it. In any other boot nobody knows whether it is whole, so it counts as lost; nothing
 * shows what is *in doubt*. A row without a mark has content that is on the disk, or none.
 */

/** `pending` stands for `index.json`, which the row says is written. */
export type MarkedTable = 'blobs' | 'snapshots' | 'pending';

const TABLES: readonly MarkedTable[] = ['blobs', 'snapshots', 'pending'];

/**
 * Whether a mark was set in another boot than `?1`, as a condition in SQL. While somebody syncs, a boot's ID has IDs of
 * theirs behind it.
 */
export const IN_DOUBT = "(unsynced < ?1 OR unsynced > ?1 || '~')";

/** Whether there is content that nobody has synced, in this boot or another. Costs next to nothing where there is none. */
export function hasUnsynced(
  statements: Statements,
  tables: readonly MarkedTable[] = TABLES,
): Promise<boolean> {
  return exists(statements, tables, ['unsynced IS NOT NULL'], []);
}

/** Whether there is a blob or a snapshot that was written in another boot and never synced. */
export function hasDoubtful(statements: Statements, boot: string): Promise<boolean> {
  // In two conditions, since of one with OR SQLite does not see that the index of what is marked has all that fits.
  return exists(statements, ['blobs', 'snapshots'], ['unsynced < ?1', "unsynced > ?1 || '~'"], [boot]);
}

/**
 * Has everything synced that nobody has synced yet, and takes the marks away of what was there before that began. Several may
 * do so at the same time: each then answers for all that it found, whatever becomes of the others.
 *
 * @param sync brings the store's whole file system to the disk
 */
export async function settleUnsynced(database: MetadataDatabase, sync: () => Promise<void>): Promise<void> {
  // Behind what others put there. What is recorded again meanwhile gets its boot's bare ID again, and keeps it.
  const settling = randomUUID();
  await database.transaction(async (transaction) => {
    for (const table of TABLES) {
      await transaction.run(
        `UPDATE ${table} SET unsynced = unsynced || ' ' || ? WHERE unsynced IS NOT NULL`,
        [settling],
      );
    }
  });
  await sync();
  await database.transaction(async (transaction) => {
    const settled = "WHERE unsynced IS NOT NULL AND instr(unsynced, ' ' || ?) > 0";
    await transaction.run(`UPDATE blobs SET unsynced = NULL ${settled}`, [settling]);
    await transaction.run(`UPDATE snapshots SET unsynced = NULL ${settled}`, [settling]);
    // For a file that is written there is nothing left to be done.
    await transaction.run(`DELETE FROM pending ${settled}`, [settling]);
  });
}

async function exists(
  statements: Statements,
  tables: readonly MarkedTable[],
  conditions: readonly string[],
  parameters: readonly string[],
): Promise<boolean> {
  const any = tables.flatMap((table) =>
    conditions.map((condition) => `SELECT 1 FROM ${table} WHERE ${condition}`),
  );
  return (await statements.get(`${any.join(' UNION ALL ')} LIMIT 1`, parameters)) !== undefined;
}
