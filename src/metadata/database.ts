import { AsyncLocalStorage } from 'node:async_hooks';
import { stat } from 'node:fs/promises';

import { ContentError, LandfallError, systemCode } from '../errors.js';
import { MIGRATIONS, SCHEMA_VERSION } from './migrations.js';
import { integerOf, type Row } from './row.js';
import {
  corruptDatabase,
  type RunOutcome,
  SqliteConnection,
  type SqlParameters,
  untilUnlocked,
} from './sqlite-connection.js';

export interface OpenDatabaseOptions {
  /** Whether a missing or empty file becomes a new database. Where not, it is STORE_CORRUPT. Default true. */
  readonly create?: boolean;
  /** How long a statement waits for another process before it fails with LOCKED, in ms. Default 30 s. */
  readonly busyTimeoutMs?: number;
}

/** What can be asked of a database, inside a transaction or outside of one. Parameters bind to `?` in order. */
export interface Statements {
  /** The first row, or undefined. */
  get(sql: string, parameters?: SqlParameters): Promise<Row | undefined>;
  all(sql: string, parameters?: SqlParameters): Promise<readonly Row[]>;
  run(sql: string, parameters?: SqlParameters): Promise<RunOutcome>;
}

/** The statements of one open transaction. It must not be used after its function has settled. */
export type Transaction = Statements;

const BUSY_TIMEOUT_MS = 30_000;

/**
 * The store's metadata: one SQLite file in WAL mode, shared by any number of processes.
 *
 * A process has one connection, and on one connection a statement that comes while a transaction is open would
 * become part of it. So everything is queued: a transaction has the connection to itself from BEGIN to COMMIT, and
 * single statements wait for their turn. Keep transactions short; never wait for the network inside one.
 *
 * Errors of all methods: LOCKED (retryable), STORE_CORRUPT, NO_SPACE, FILESYSTEM; a broken constraint is SQLite's
 * own error, whose `code` is SQLITE_CONSTRAINT.
 */
export class MetadataDatabase implements Statements, AsyncDisposable {
  readonly #connection: SqliteConnection;
  readonly #busyTimeoutMs: number;
  readonly #inside = new AsyncLocalStorage<{ open: boolean }>();
  #tail: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;

  private constructor(connection: SqliteConnection, busyTimeoutMs: number) {
    this.#connection = connection;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  /**
   * Opens the database and brings its schema up to date. Any number of processes may do so at once.
   *
   * @throws ContentError STORE_CORRUPT (damaged; or missing or empty though `create` is false), UNSUPPORTED (written
   *   by a newer program), LOCKED, NO_SPACE, FILESYSTEM
   */
  static async open(file: string, o: OpenDatabaseOptions = {}): Promise<MetadataDatabase> {
    const create = o.create ?? true;
    const busyTimeoutMs = o.busyTimeoutMs ?? BUSY_TIMEOUT_MS;
    if (!create) await refuseMissing(file);
    const connection = await SqliteConnection.open(file, { create });
    try {
      await configure(connection, busyTimeoutMs);
      await untilUnlocked(busyTimeoutMs, () => migrate(connection, create));
    } catch (error) {
      await connection.close().catch(() => undefined);
      throw error;
    }
    return new MetadataDatabase(connection, busyTimeoutMs);
  }

  get file(): string {
    return this.#connection.file;
  }

  get(sql: string, parameters?: SqlParameters): Promise<Row | undefined> {
    return this.#queue(() => this.#patiently(() => this.#connection.get(sql, parameters)));
  }

  all(sql: string, parameters?: SqlParameters): Promise<readonly Row[]> {
    return this.#queue(() => this.#patiently(() => this.#connection.all(sql, parameters)));
  }

  run(sql: string, parameters?: SqlParameters): Promise<RunOutcome> {
    return this.#queue(() => this.#patiently(() => this.#connection.run(sql, parameters)));
  }

  /**
   * Runs a function in a transaction: all that it wrote is durable when this resolves, and nothing of it is left when
   * the function throws. It takes the write lock at once (BEGIN IMMEDIATE), so what it reads cannot be outdated by
   * the time it writes.
   */
  transaction<T>(body: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#queue(async () => {
      const connection = this.#connection;
      await this.#patiently(() => connection.run('BEGIN IMMEDIATE'));
      const scope = { open: true };
      try {
        const result = await this.#inside.run(scope, () => body(statementsWithin(connection, scope)));
        scope.open = false;
        await this.#patiently(() => connection.run('COMMIT'));
        return result;
      } catch (error) {
        scope.open = false;
        // SQLite has rolled back by itself after some failures, and then says that there is nothing to roll back.
        await connection.run('ROLLBACK').catch(() => undefined);
        throw error;
      }
    });
  }

  /** Waits for what is queued, then closes. More calls do nothing. */
  close(): Promise<void> {
    this.#closed ??= this.#append(() => this.#connection.close());
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #queue<T>(step: () => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(new Error('the database is closed'));
    // It would wait for the transaction, and the transaction for it.
    if (this.#inside.getStore()?.open === true) {
      return Promise.reject(new Error('inside a transaction, use the transaction and not the database'));
    }
    return this.#append(step);
  }

  /** A statement that found the database locked has done nothing, so it may be tried again. */
  #patiently<T>(step: () => Promise<T>): Promise<T> {
    return untilUnlocked(this.#busyTimeoutMs, step);
  }

  #append<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(step);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}

function statementsWithin(connection: SqliteConnection, scope: { readonly open: boolean }): Transaction {
  const check = <T>(step: () => Promise<T>): Promise<T> =>
    scope.open ? step() : Promise.reject(new Error('the transaction has ended'));
  return {
    get: (sql, parameters) => check(() => connection.get(sql, parameters)),
    all: (sql, parameters) => check(() => connection.all(sql, parameters)),
    run: (sql, parameters) => check(() => connection.run(sql, parameters)),
  };
}

/** Looked at from outside: SQLite itself would begin to make a database of an empty file. */
async function refuseMissing(file: string): Promise<void> {
  try {
    const { size } = await stat(file);
    if (size === 0) throw corruptDatabase(file, 'is empty');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') throw corruptDatabase(file, 'is missing', error);
    if (error instanceof ContentError) throw error;
    // Whatever else keeps it from being looked at keeps it from being opened, which says more.
  }
}

async function configure(connection: SqliteConnection, busyTimeoutMs: number): Promise<void> {
  await untilUnlocked(busyTimeoutMs, () => connection.get('PRAGMA journal_mode = WAL'));
  // FULL: a transaction that was reported done survives a power cut. WAL's default, NORMAL, does not promise that.
  await connection.exec('PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
}

async function migrate(connection: SqliteConnection, create: boolean): Promise<void> {
  const found = await schemaVersion(connection);
  if (found === 0 && !create) throw corruptDatabase(connection.file, 'has no schema');
  if (found > SCHEMA_VERSION) {
    throw new LandfallError(
      'UNSUPPORTED',
      `the database ${connection.file} has schema ${found}, and this program knows none beyond ${SCHEMA_VERSION}`,
      { hint: 'Use the version of landfall that wrote it, or a newer one.' },
    );
  }
  if (found === SCHEMA_VERSION) return;
  await connection.run('BEGIN IMMEDIATE');
  try {
    // Another process may have been faster.
    const current = await schemaVersion(connection);
    for (const { version, sql } of MIGRATIONS) {
      if (version > current) await connection.exec(`${sql}; PRAGMA user_version = ${version};`);
    }
    await connection.run('COMMIT');
  } catch (error) {
    await connection.run('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function schemaVersion(connection: SqliteConnection): Promise<number> {
  const row = await connection.get('PRAGMA user_version');
  return row === undefined ? 0 : integerOf(row, 'user_version');
}
