import { ContentError, LandfallError, systemCode } from '../errors.js';
import { backUp, pruneBackups } from './back-up.js';
import { MIGRATIONS, SCHEMA_VERSION } from './migrations.js';
import { integerOf } from './row.js';
import { corruptDatabase, type SqliteConnection } from './sqlite-connection.js';

/**
 * Brings a database's schema up to date, in one transaction. One that an older program wrote is backed up before, under the
 * same write lock: so the backup is what was there at that moment, and of several processes that come at once one makes it.
 *
 * @throws ContentError STORE_CORRUPT (no schema, where none may be made; or not the schema that it says), NO_SPACE, LOCKED;
 *   LandfallError UNSUPPORTED (written by a newer program)
 */
export async function migrate(connection: SqliteConnection, o: { create: boolean }): Promise<void> {
  const found = await schemaVersion(connection);
  if (found === SCHEMA_VERSION) return;
  if ((found === 0 && !o.create) || found < 0) throw corruptDatabase(connection.file, 'has no schema');
  if (found > SCHEMA_VERSION) throw newerSchema(connection.file, found);
  await connection.run('BEGIN IMMEDIATE');
  let backup: string | undefined;
  try {
    // Another process may have been faster.
    const current = await schemaVersion(connection);
    if (current > 0 && current < SCHEMA_VERSION) backup = await backUp(connection.file, current);
    for (const { version, sql } of MIGRATIONS) {
      if (version > current) await connection.exec(`${sql}; PRAGMA user_version = ${version};`);
    }
    await connection.run('COMMIT');
  } catch (error) {
    await connection.run('ROLLBACK').catch(() => undefined);
    throw backup === undefined ? error : migrationFailed(connection.file, found, backup, error);
  }
  if (backup !== undefined) await pruneBackups(connection.file);
}

export async function schemaVersion(connection: SqliteConnection): Promise<number> {
  const row = await connection.get('PRAGMA user_version');
  return row === undefined ? 0 : integerOf(row, 'user_version');
}

/** No program will have made so many steps: a larger number is not a newer schema, but a damaged byte. */
const HIGHEST_PLAUSIBLE = 1000;

export function newerSchema(file: string, found: number): LandfallError {
  if (found > HIGHEST_PLAUSIBLE) return corruptDatabase(file, `says that it has schema ${found}`);
  return new LandfallError(
    'UNSUPPORTED',
    `the database ${file} has schema ${found}, and this program knows none beyond ${SCHEMA_VERSION}`,
    { hint: 'Use the version of landfall that wrote it, or a newer one.' },
  );
}

/** Nothing was changed; the backup is for whoever would rather go on with the older program. */
function migrationFailed(file: string, found: number, backup: string, cause: unknown): ContentError {
  const message = `the database ${file} could not be brought from schema ${found} to ${SCHEMA_VERSION}, and is as it was`;
  const details = { path: file, backup };
  if (cause instanceof ContentError) {
    return new ContentError(cause.code, `${message}: ${cause.message}`, {
      cause,
      details,
      retryable: cause.retryable,
      hint: `${cause.hint} A backup is at ${backup}.`,
    });
  }
  const reason = cause instanceof Error ? cause.message : (systemCode(cause) ?? String(cause));
  return new ContentError('STORE_CORRUPT', `${message}: ${reason}`, {
    cause,
    details,
    hint: `Rebuild it from the blobs and snapshots beside it: landfall fsck --rebuild. A backup is at ${backup}.`,
  });
}
