import { setTimeout as sleep } from 'node:timers/promises';
import type Sqlite3 from 'sqlite3';
import type { Database, Statement } from 'sqlite3';

import { ContentError, LandfallError, systemCode } from '../errors.js';
import type { Row, SqlValue } from './row.js';

export type SqlParameters = readonly SqlValue[];

export interface RunOutcome {
  /** Rows that an INSERT, UPDATE or DELETE changed. */
  readonly changes: number;
  /** The rowid of the last row that was inserted on this connection. */
  readonly lastId: number;
}

/**
 * How long SQLite itself waits for a lock. It waits in a thread of Node's pool, of which there are four: were it for
 * longer, a few waiters in one process would keep the one whom they wait for from ever ending. {@link untilUnlocked} waits
 * outside of the pool.
 */
const BUSY_TIMEOUT_MS = 5;

type ResultCallback = (this: { changes: number; lastID: number }, error: Error | null) => void;
type RowCallback = (error: Error | null, row: unknown) => void;
type RowsCallback = (error: Error | null, rows: unknown) => void;

/** Loaded on first use: the native library costs some 10 ms, which `--help` need not pay. */
async function loadSqlite(): Promise<typeof Sqlite3> {
  try {
    return (await import('sqlite3')).default;
  } catch (cause) {
    throw new LandfallError('UNSUPPORTED', 'the SQLite library cannot be loaded', {
      cause,
      hint: 'Install the dependencies again on this machine: npm ci, or npm rebuild sqlite3.',
    });
  }
}

/**
 * One connection to a SQLite file, with promises and this program's errors. It does not order anything: that is
 * {@link MetadataDatabase}'s part.
 */
export class SqliteConnection {
  readonly file: string;
  readonly #database: Database;

  private constructor(file: string, database: Database) {
    this.file = file;
    this.#database = database;
  }

  /** @throws ContentError FILESYSTEM, STORE_CORRUPT; LandfallError UNSUPPORTED */
  static async open(file: string, o: { create: boolean }): Promise<SqliteConnection> {
    const sqlite3 = await loadSqlite();
    const flags = sqlite3.OPEN_READWRITE | sqlite3.OPEN_FULLMUTEX | (o.create ? sqlite3.OPEN_CREATE : 0);
    const database = await new Promise<Database>((resolve, reject) => {
      const opening: Database = new sqlite3.Database(file, flags, (error) =>
        error === null ? resolve(opening) : reject(sqliteError(error, file)),
      );
    });
    database.configure('busyTimeout', BUSY_TIMEOUT_MS);
    return new SqliteConnection(file, database);
  }

  get(sql: string, parameters: SqlParameters = []): Promise<Row | undefined> {
    return this.#promise((settle) => {
      const callback: RowCallback = (error, row) => settle(error, row as Row | undefined);
      return this.#database.get(sql, ...parameters, callback);
    });
  }

  all(sql: string, parameters: SqlParameters = []): Promise<readonly Row[]> {
    return this.#promise((settle) => {
      const callback: RowsCallback = (error, rows) => settle(error, rows as readonly Row[]);
      return this.#database.all(sql, ...parameters, callback);
    });
  }

  run(sql: string, parameters: SqlParameters = []): Promise<RunOutcome> {
    return this.#promise((settle) => {
      const callback: ResultCallback = function (error) {
        settle(error, { changes: this.changes, lastId: this.lastID });
      };
      return this.#database.run(sql, ...parameters, callback);
    });
  }

  /** Several statements at once, without parameters. */
  exec(sql: string): Promise<void> {
    return this.#promise((settle) => this.#database.exec(sql, (error) => settle(error, undefined)));
  }

  close(): Promise<void> {
    return this.#promise((settle) => {
      this.#database.close((error) => settle(error, undefined));
    });
  }

  #promise<T>(
    begin: (settle: (error: Error | null, value: T) => void) => Database | Statement | undefined,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      begin((error, value) => (error === null ? resolve(value) : reject(sqliteError(error, this.file))));
    });
  }
}

/**
 * What SQLite's failures mean to a caller. A broken constraint or a wrong statement stays SQLite's own error, with
 * `code` SQLITE_CONSTRAINT and so on: only who wrote the statement knows what it means.
 */
function sqliteError(cause: Error, file: string): Error {
  const details = { path: file };
  switch (systemCode(cause)) {
    case 'SQLITE_BUSY':
    case 'SQLITE_LOCKED':
    case 'SQLITE_PROTOCOL':
      return new ContentError('LOCKED', `another process keeps the database ${file} locked`, {
        cause,
        details,
        retryable: true,
        hint: 'Try again; if it goes on, look for a landfall process that hangs.',
      });
    case 'SQLITE_CORRUPT':
    case 'SQLITE_NOTADB':
      return corruptDatabase(file, 'is damaged', cause);
    case 'SQLITE_FULL':
      return new ContentError('NO_SPACE', `no space left to write the database ${file}`, {
        cause,
        details,
        hint: 'Free some space on that file system, then try again.',
      });
    case 'SQLITE_READONLY':
    case 'SQLITE_CANTOPEN':
    case 'SQLITE_PERM':
    case 'SQLITE_AUTH':
    case 'SQLITE_IOERR':
      return new ContentError('FILESYSTEM', `the database ${file} cannot be used: ${cause.message}`, {
        cause,
        details,
        hint: 'Check that the directory and the files in it can be written, and the disk is sound.',
      });
    default:
      return cause;
  }
}

/** The error for a database that cannot be what this store wrote. */
export function corruptDatabase(file: string, fault: string, cause?: unknown): ContentError {
  return new ContentError('STORE_CORRUPT', `the database ${file} ${fault}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { path: file },
    hint: 'Rebuild it from the blobs and snapshots beside it: landfall fsck --rebuild.',
  });
}

/** The longest pause between two attempts, in ms. */
const LONGEST_PAUSE_MS = 25;

/** Tries a step anew while another connection keeps the database locked, for at most so long. */
export async function untilUnlocked<T>(timeoutMs: number, step: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (let pause = 1; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await step();
    } catch (error) {
      if (!isLocked(error) || performance.now() > deadline) throw error;
    }
    // At random, so that those who wait do not come back all at once.
    await sleep(pause * (0.5 + Math.random()));
  }
}

function isLocked(error: unknown): boolean {
  return error instanceof ContentError && error.code === 'LOCKED';
}
