import { statfsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type Sqlite3 from 'sqlite3';
import type { Database, Statement } from 'sqlite3';
import { ContentError, systemCode } from '../errors.js';
import { loadNativeModule } from '../native-module.js';
import type { Row, SqlValue } from './row.js';

export type SqlParameters = readonly SqlValue[];

export interface RunOutcome {
  /** Rows that an INSERT, UPDATE or DELETE changed. */
  readonly changes: number;
  /** The rowid of the last row that was inserted on this connection. */
  readonly lastId: number;
}

/**
 * How long SQLite itself waits for a lock. It waits in a thread of Node's pool, of which there are four: with
 * a
 * longer wait, a few waiters of one process would keep the statement that they wait for from ending. {@link
 * untilUnlocked} waits outside of the pool.
 */
const BUSY_TIMEOUT_MS = 5;

/**
 * How a file is opened. `immutable` is for a file that cannot change: SQLite then takes no locks, makes
 * no files beside it, and does not look at a write-ahead log.
 */
export type OpenMode = 'create' | 'write' | 'read' | 'immutable';

/** So many prepared statements are kept; the program has fewer texts, but for lists that are part of one. */
const STATEMENTS = 256;

type ResultCallback = (this: { changes: number; lastID: number }, error: Error | null) => void;
type Settle<T> = (error: Error | null, value: T) => void;
type RowCallback = (error: Error | null, row: unknown) => void;
type RowsCallback = (error: Error | null, rows: unknown) => void;

/**
 * One connection to a SQLite file, with promises and this program's errors. It does not order anything: that
 * is {@link MetadataDatabase}'s part.
 */
export class SqliteConnection {
  readonly file: string;
  readonly #database: Database;
  /** By their text: preparing one takes as long as running it. */
  readonly #statements = new Map<string, Promise<Statement>>();

  private constructor(file: string, database: Database) {
    this.file = file;
    this.#database = database;
  }

  /** @throws ContentError FILESYSTEM, STORE_CORRUPT; LandfallError UNSUPPORTED */
  static async open(file: string, mode: OpenMode): Promise<SqliteConnection> {
    // On first use: the native library costs some 3 ms, which `--help` need not pay.
    const sqlite3 = loadNativeModule('sqlite3') as typeof Sqlite3;
    const name = mode === 'immutable' ? `${pathToFileURL(file).href}?immutable=1` : file;
    const database = await new Promise<Database>((resolve, reject) => {
      const opening: Database = new sqlite3.Database(name, flagsOf(sqlite3, mode), (error) =>
        error === null ? resolve(opening) : reject(sqliteError(error, file)),
      );
    });
    database.configure('busyTimeout', BUSY_TIMEOUT_MS);
    return new SqliteConnection(file, database);
  }

  async get(sql: string, parameters?: SqlParameters): Promise<Row | undefined> {
    // All rows, since a statement that stops at the first keeps its read lock until it is reset.
    return (await this.all(sql, parameters))[0];
  }

  all(sql: string, parameters: SqlParameters = []): Promise<readonly Row[]> {
    return this.#step(sql, (statement, settle) => {
      const callback: RowsCallback = (error, rows) => settle(error, rows as readonly Row[]);
      statement.all(...parameters, callback);
    });
  }

  run(sql: string, parameters: SqlParameters = []): Promise<RunOutcome> {
    return this.#step(sql, (statement, settle) => {
      const callback: ResultCallback = function (error) {
        settle(error, { changes: this.changes, lastId: this.lastID });
      };
      statement.run(...parameters, callback);
    });
  }

  /** The rows up to where the file is damaged, for a query that {@link all} gives nothing for. */
  allBeforeDamage(sql: string): Promise<readonly Row[]> {
    const rows: Row[] = [];
    const keep: RowCallback = (error, row) => {
      if (error === null) rows.push(row as Row);
    };
    // An error comes to `keep`, before or after what is called last.
    return this.#promise((settle) => this.#database.each(sql, keep, () => settle(null, rows)));
  }

  /** Several statements at once, without parameters. */
  exec(sql: string): Promise<void> {
    return this.#promise((settle) => this.#database.exec(sql, (error) => settle(error, undefined)));
  }

  async close(): Promise<void> {
    for (const prepared of await Promise.allSettled(this.#statements.values())) {
      if (prepared.status === 'fulfilled') prepared.value.finalize();
    }
    this.#statements.clear();
    await this.#promise<undefined>((settle) => {
      this.#database.close((error) => settle(error, undefined));
    });
  }

  async #step<T>(sql: string, begin: (statement: Statement, settle: Settle<T>) => void): Promise<T> {
    const statement = await this.#prepare(sql);
    try {
      return await this.#promise((settle) => begin(statement, settle));
    } catch (error) {
      // A statement that failed may keep its lock until it is reset.
      this.#forget(sql);
      throw error;
    }
  }

  #forget(sql: string): void {
    void this.#statements
      .get(sql)
      ?.then((statement) => statement.finalize())
      .catch(() => undefined);
    this.#statements.delete(sql);
  }

  #prepare(sql: string): Promise<Statement> {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const preparing = this.#promise<Statement>((settle) => {
      const statement: Statement = this.#database.prepare(sql, (error: Error | null) =>
        settle(error, statement),
      );
    });
    this.#statements.set(sql, preparing);
    preparing.catch(() => this.#forget(sql));
    const [oldest] = this.#statements.keys();
    if (this.#statements.size > STATEMENTS && oldest !== undefined) this.#forget(oldest);
    return preparing;
  }

  #promise<T>(begin: (settle: Settle<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      begin((error, value) => (error === null ? resolve(value) : reject(sqliteError(error, this.file))));
    });
  }
}

function flagsOf(sqlite3: typeof Sqlite3, mode: OpenMode): number {
  switch (mode) {
    case 'create':
      return sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE | sqlite3.OPEN_FULLMUTEX;
    case 'write':
      return sqlite3.OPEN_READWRITE | sqlite3.OPEN_FULLMUTEX;
    case 'read':
      return sqlite3.OPEN_READONLY | sqlite3.OPEN_FULLMUTEX;
    case 'immutable':
      return sqlite3.OPEN_READONLY | sqlite3.OPEN_URI | sqlite3.OPEN_FULLMUTEX;
  }
}

/**
 * What SQLite's failures mean to a caller. A broken constraint or a wrong statement stays SQLite's own error,
 * with `code` SQLITE_CONSTRAINT and so on: only the caller knows what it means.
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
      return noSpace(file, cause);
    case 'SQLITE_IOERR':
    case 'SQLITE_CANTOPEN':
      return isFull(file) ? noSpace(file, cause) : unusable(file, cause);
    case 'SQLITE_READONLY':
    case 'SQLITE_PERM':
    case 'SQLITE_AUTH':
      return unusable(file, cause);
    default:
      return cause;
  }
}

function noSpace(path: string, cause: Error): ContentError {
  return new ContentError('NO_SPACE', `no space left to write the database ${path}`, {
    cause,
    details: { path },
    hint: 'Free some space on that file system, then try again.',
  });
}

function unusable(path: string, cause: Error): ContentError {
  return new ContentError('FILESYSTEM', `the database ${path} cannot be used: ${cause.message}`, {
    cause,
    details: { path },
    hint: 'Check that the directory and the files in it can be written, and the disk is sound.',
  });
}

/** What SQLite writes at the least to open a database: its shared memory. */
const LEAST_BYTES = 64 * 1024;

/** Whether no space is why a file could not be written: of some files SQLite says only that it failed. */
function isFull(file: string): boolean {
  try {
    const { blocks, bavail, bsize } = statfsSync(dirname(file));
    return blocks > 0 && bavail * bsize < LEAST_BYTES;
  } catch {
    return false;
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
    // At random, so that waiters do not all come back at once.
    await sleep(pause * (0.5 + Math.random()));
  }
}

function isLocked(error: unknown): boolean {
  return error instanceof ContentError && error.code === 'LOCKED';
}

/**
 * When a database's log is synced. `transaction`: whatever was committed survives a power cut. `checkpoint`:
 * the last transactions may be lost by one, as if they had never been; what is left is whole.
 */
export type Synced = 'transaction' | 'checkpoint';

/*
 * FULL syncs the log with every transaction, so that one that was reported done survives a power cut. NORMAL, WAL's default,
 * syncs it when it is brought into the database, which is what keeps that whole; OFF would not even do that.
 */
const SYNCHRONOUS: Readonly<Record<Synced, string>> = { transaction: 'FULL', checkpoint: 'NORMAL' };

/*
 * The cache, in KiB, holds the inner pages of a store with 100,000 blobs. A collection may make the log long; it is cut when
 * it is written anew.
 */
const SETTINGS = `
PRAGMA foreign_keys = ON;
PRAGMA cache_size = -8192;
PRAGMA journal_size_limit = 16777216;
`;

/**
 * Makes a connection what all connections of a store are that write. It begins with `transaction`, whatever
 * comes later: a database that is just being made, or brought up to date, is to be whole after a power cut
 * too.
 */
export async function configure(connection: SqliteConnection, busyTimeoutMs: number): Promise<void> {
  await untilUnlocked(busyTimeoutMs, () => connection.get('PRAGMA journal_mode = WAL'));
  await connection.exec(synchronousPragma('transaction') + SETTINGS);
}

/** Not within a transaction, where SQLite ignores it. */
export function synchronousPragma(synced: Synced): string {
  return `PRAGMA synchronous = ${SYNCHRONOUS[synced]};`;
}

/** Makes durable what was committed of a database whose log is synced at checkpoints. */
export async function syncLog(file: string): Promise<void> {
  let log;
  try {
    log = await open(`${file}-wal`);
  } catch (error) {
    // It was brought into the database, and that synced.
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  try {
    await log.sync();
  } finally {
    await log.close();
  }
}
