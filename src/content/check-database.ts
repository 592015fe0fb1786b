import { ContentError } from '../errors.js';
import { type MetadataDatabase, textOf } from '../metadata/index.js';

/** So many faults of one database are told. */
const FAULTS_TOLD = 10;

/**
 * Whether SQLite finds its own structure sound, and every row that another one refers to is there. What it says, one
 * line for each fault; nothing where all is well.
 *
 * @param o `quick`: passes over what takes long, that indexes say the same as their tables
 */
export async function checkDatabase(
  database: MetadataDatabase,
  o: { readonly quick: boolean },
): Promise<readonly string[]> {
  try {
    const pragma = o.quick ? 'quick_check' : 'integrity_check';
    const rows = await database.all(`PRAGMA ${pragma}(${FAULTS_TOLD})`);
    const faults = rows.map((row) => textOf(row, pragma)).filter((text) => text !== 'ok');
    if (faults.length > 0) return faults;
    const dangling = await database.all('PRAGMA foreign_key_check');
    return dangling
      .slice(0, FAULTS_TOLD)
      .map((row) => `a row of ${textOf(row, 'table')} refers to a missing one`);
  } catch (error) {
    if (error instanceof ContentError && error.code === 'STORE_CORRUPT') return [error.message];
    throw error;
  }
}
