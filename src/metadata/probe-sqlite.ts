import { isLandfallError } from '../errors.js';
import { textOf } from './row.js';
import { SqliteConnection } from './sqlite-connection.js';

/** Whether there can be a database here, by asking one in memory. Never throws. */
export async function probeSqlite(): Promise<{
  readonly available: boolean;
  /** How it was found, or why not. */
  readonly detail: string;
  readonly hint?: string;
}> {
  try {
    const database = await SqliteConnection.open(':memory:', 'create');
    try {
      const row = await database.get('SELECT sqlite_version() AS version');
      return { available: true, detail: `SQLite ${row === undefined ? '' : textOf(row, 'version')} answers` };
    } finally {
      await database.close();
    }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { available: false, detail, ...(isLandfallError(error) ? { hint: error.hint } : {}) };
  }
}
