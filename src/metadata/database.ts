import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { ContentError, LandfallError, systemCode } from '../errors.js';
import { migrate, newerSchema, SCHEMA_VERSION, schemaVersion } from './migrate.js';
import { openReadable } from './open-readable.js';
import type { Row } from './row.js';
import {
  configure,
  corruptDatabase,
  type RunOutcome,
  SqliteConnection,
  type SqlParameters,
  type Synced,
  synchronousPragma,
  syncLog,
  untilUnlocked,
} from './sqlite-connection.js';

export interface OpenDatabaseOptions {
  /** Whether a missing or empty file becomes a new database. Where not, it is STORE_CORRUPT. Default true. */
  readonly create?: boolean;
  /** How long a statement waits for another process before it fails with LOCKED, in ms. Default 30 s. */
  readonly busyTimeoutMs?: number;
  /** What of it survives a power cut. Default `transaction`. */
  readonly synced?: Synced;
  /** Refuses what would wait for ever; see {@link TransactionScope}. Default: nothing does. */
  readonly scope?: TransactionScope | undefined;
}

/**
 * Tells a call that comes from inside a transaction's function from a call beside it, as an
 * `AsyncLocalStorage` does. Inside of one the database, in place of the transaction, would wait for the
 * transaction, and the transaction for it. It is for tests alone, since Node 20 and 22 follow it through
 * every promise of the process.
 */
export interface TransactionScope {
  run<T>(state: { readonly open: boolean }, body: () => T): T;
  getStore(): { readonly open: boolean } | undefined;
}

/**
 * What can be asked of a database, inside a transaction or outside of one. Parameters bind to `?` in order.
 */
export interface Statements {
  /** The first row, or undefined. */
  get(sql: string, parameters?: SqlParameters): Promise<Row | undefined>;
  all(sql: string, parameters?: SqlParameters): Promise<readonly Row[]>;
  run(sql: string, parameters?: SqlParameters): Promise<RunOutcome>;
}

export interface TransactionOptions {
  /**
   * False for what need not survive a power cut, such as which process works on what: then its commit
   * waits for no disk. It is durable as soon as a later transaction is that has to be. Default true.
   */
  readonly durable?: boolean;
}

/** The statements of one open transaction. It must not be used after its function has settled. */
export type Transaction = Statements;

const BUSY_TIMEOUT_MS = 30_000;

interface OpenedDatabase {
  readonly schemaVersion: number;
  readonly busyTimeoutMs: number;
  readonly synced: Synced;
  readonly scope?: TransactionScope | undefined;
  /** False for one that no other connection may open. */
  readonly shared?: boolean;
  /** Of one that is only read: what is left to do when it was closed. */
  readonly onClose?: () => Promise<void>;
}

/**
 * The store's metadata: one SQLite file in WAL mode, shared by any number of processes.
 *
 * On one connection a statement that comes while a transaction is open would become part of it. So everything
 * is queued: a transaction has the connection to itself from BEGIN to COMMIT, and single statements wait for
 * their turn. Only reads that would wait for a write go to a second connection, which is opened by the first
 * of them, and see what was committed when they begin. Keep transactions short; never wait for the network
 * inside one.
 *
 * Errors of all methods: LOCKED (retryable), STORE_CORRUPT, NO_SPACE, FILESYSTEM; a broken constraint is
 * SQLite's own error, whose `code` is SQLITE_CONSTRAINT.
 */
export class MetadataDatabase implements Statements, AsyncDisposable {
  /** As it was asked for. */
  readonly file: string;
  /**
   * What the database has: this program's own, but where one that an older program wrote was opened to be
   * read.
   */
  readonly schemaVersion: number;
  readonly #connection: SqliteConnection;
  readonly #busyTimeoutMs: number;
  readonly #synced: Synced;
  /** As the connection is set at the moment, where that is known. */
  #current: Synced | undefined = 'transaction';
  readonly #readOnly: boolean;
  readonly #onClose: () => Promise<void>;
  readonly #scope: TransactionScope | undefined;
  /** Whether others may have the file open, so that a second connection reads beside this one. */
  readonly #shared: boolean;
  #reader: SqliteConnection | undefined;
  #readerTail: Promise<unknown> = Promise.resolve();
  /** Writes that wait or run. */
  #writes = 0;
  #tail: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;

  private constructor(connection: SqliteConnection, file: string, o: OpenedDatabase) {
    this.file = file;
    this.schemaVersion = o.schemaVersion;
    this.#connection = connection;
    this.#busyTimeoutMs = o.busyTimeoutMs;
    this.#synced = o.synced;
    this.#scope = o.scope;
    this.#shared = o.shared ?? true;
    this.#readOnly = o.onClose !== undefined;
    this.#onClose = o.onClose ?? (() => Promise.resolve());
  }

  /**
   * Opens the database and brings its schema up to date, after a backup beside it. Any number of processes
   * may do so at once.
   *
   * @throws ContentError STORE_CORRUPT (damaged; or missing or empty though `create` is false), UNSUPPORTED
   *   (written by a newer program), LOCKED, NO_SPACE, FILESYSTEM
   */
  static async open(file: string, o: OpenDatabaseOptions = {}): Promise<MetadataDatabase> {
    const { create = true, busyTimeoutMs = BUSY_TIMEOUT_MS, synced = 'transaction', scope } = o;
    if (!create) await refuseMissing(file);
    const connection = await SqliteConnection.open(file, create ? 'create' : 'write');
    try {
      await configure(connection, busyTimeoutMs);
      await untilUnlocked(busyTimeoutMs, () => migrate(connection, { create }));
    } catch (error) {
      await connection.close().catch(() => undefined);
      throw error;
    }
    return new MetadataDatabase(connection, file, {
      schemaVersion: SCHEMA_VERSION,
      busyTimeoutMs,
      synced,
      scope,
    });
  }

  /**
   * Makes a new database in a file that no other process knows yet, to be filled and then synced and given
   * its name by the caller. It writes no log and syncs nothing, so that it is one file at any moment, and
   * fast.
   *
   * @throws ContentError FILESYSTEM, NO_SPACE
   */
  static async create(file: string): Promise<MetadataDatabase> {
    const connection = await SqliteConnection.open(file, 'create');
    try {
      await connection.get('PRAGMA journal_mode = MEMORY');
      await connection.exec('PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON;');
      await migrate(connection, { create: true });
    } catch (error) {
      await connection.close().catch(() => undefined);
      throw error;
    }
    return new MetadataDatabase(connection, file, {
      schemaVersion: SCHEMA_VERSION,
      busyTimeoutMs: BUSY_TIMEOUT_MS,
      synced: 'transaction',
      shared: false,
    });
  }

  /**
   * Opens a database to be read, wherever it lies, a file system that nothing can be written to included;
   * nothing is written below its directory. One of an older program is read as it is: see {@link
   * schemaVersion}. What others write meanwhile may not be seen. This process must not have the file open in
   * any other way.
   *
   * @throws ContentError STORE_CORRUPT (damaged, missing, empty), FILESYSTEM; LandfallError UNSUPPORTED
   *   (written by a newer program). Whatever would write is refused with IN_USE.
   */
  static async openReadOnly(file: string, o: { busyTimeoutMs?: number } = {}): Promise<MetadataDatabase> {
    await refuseMissing(file);
    const busyTimeoutMs = o.busyTimeoutMs ?? BUSY_TIMEOUT_MS;
    const { connection, release } = await openReadable(file, busyTimeoutMs);
    try {
      const version = await untilUnlocked(busyTimeoutMs, () => schemaVersion(connection));
      if (version <= 0) throw corruptDatabase(file, 'has no schema');
      if (version > SCHEMA_VERSION) throw newerSchema(file, version);
      return new MetadataDatabase(connection, file, {
        schemaVersion: version,
        busyTimeoutMs,
        synced: 'transaction',
        onClose: release,
      });
    } catch (error) {
      await connection.close().catch(() => undefined);
      await release();
      throw error;
    }
  }

  get(sql: string, parameters?: SqlParameters): Promise<Row | undefined> {
    return this.#read((connection) => connection.get(sql, parameters));
  }

  all(sql: string, parameters?: SqlParameters): Promise<readonly Row[]> {
    return this.#read((connection) => connection.all(sql, parameters));
  }

  /**
   * Another text whenever something was written since the last, by this process or by another; it means
   * nothing else. For caches of what was read.
   */
  async state(): Promise<string> {
    // Each connection counts by itself.
    return await this.#read(async (connection) => {
      const row = await connection.get(
        'SELECT total_changes() AS own, (SELECT data_version FROM pragma_data_version) AS others',
      );
      const reader = connection === this.#connection ? '' : 'reader ';
      return `${reader}${String(row?.['own'])} ${String(row?.['others'])}`;
    });
  }

  /**
   * Like {@link get}, on a connection of its own: for a question that takes long, while others are asked
   * here. What is written at the same time may be seen or not.
   */
  async getBeside(sql: string, parameters?: SqlParameters): Promise<Row | undefined> {
    if (this.#readOnly) return await this.get(sql, parameters);
    const connection = await SqliteConnection.open(this.file, 'read');
    try {
      return await this.#patiently(() => connection.get(sql, parameters));
    } finally {
      await connection.close();
    }
  }

  run(sql: string, parameters?: SqlParameters): Promise<RunOutcome> {
    if (this.#readOnly) return Promise.reject(this.#refused());
    return this.#write(async () => {
      await this.#prepare(this.#synced);
      await this.#patiently(() => this.#refuseNewer());
      return await this.#patiently(() => this.#connection.run(sql, parameters));
    });
  }

  /**
   * Runs a function in a transaction: all that it wrote is durable when this resolves, where it is to be, and
   * nothing of it is left when the function throws. It takes the write lock at once (BEGIN IMMEDIATE), so
   * what it reads cannot be outdated by the time it writes.
   */
  transaction<T>(body: (transaction: Transaction) => Promise<T>, o: TransactionOptions = {}): Promise<T> {
    if (this.#readOnly) return Promise.reject(this.#refused());
    return this.#write(async () => {
      const connection = this.#connection;
      await this.#prepare(o.durable === false ? 'checkpoint' : this.#synced, 'BEGIN IMMEDIATE');
      const scope = { open: true };
      try {
        await this.#refuseNewer();
        const statements = statementsWithin(connection, scope);
        const result = await (this.#scope?.run(scope, () => body(statements)) ?? body(statements));
        scope.open = false;
        await this.#patiently(() => connection.run('COMMIT'));
        return result;
      } catch (error) {
        scope.open = false;
        // SQLite has rolled back by itself after some failures, and then says that there is nothing to roll
        // back.
        await connection.run('ROLLBACK').catch(() => undefined);
        throw error;
      }
    });
  }

  /**
   * Makes durable what was committed, where the transactions themselves do not: before a step outside of
   * the database that would be wrong if one of them were lost.
   *
   * @throws as the system does
   */
  async sync(): Promise<void> {
    if (this.#synced === 'checkpoint') await syncLog(this.file);
  }

  /** Waits for what is queued, then closes. More calls do nothing. */
  close(): Promise<void> {
    this.#closed ??= this.#append(async () => {
      await this.#readerTail;
      // The reader first: the last connection to close brings the log into the database.
      await this.#reader?.close();
      await this.#connection.close();
      await this.#onClose();
    });
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A newer program may have changed the schema since the database was opened. */
  async #refuseNewer(): Promise<void> {
    const found = await schemaVersion(this.#connection);
    if (found > this.schemaVersion) throw newerSchema(this.file, found);
  }

  #refused(): ContentError {
    return new ContentError('IN_USE', `the database ${this.file} is only read here, and never written`, {
      details: { path: this.file },
      hint: 'Change that store by naming it with --root, where it can be written.',
    });
  }

  #read<T>(step: (connection: SqliteConnection) => Promise<T>): Promise<T> {
    const refused = this.#refusal();
    if (refused !== undefined) return Promise.reject(refused);
    if (this.#writes === 0 || !this.#shared) {
      return this.#append(() => this.#patiently(() => step(this.#connection)));
    }
    const result = this.#readerTail.then(async () => {
      this.#reader ??= await SqliteConnection.open(this.file, 'read');
      const reader = this.#reader;
      return await this.#patiently(() => step(reader));
    });
    this.#readerTail = result.catch(() => undefined);
    return result;
  }

  #write<T>(step: () => Promise<T>): Promise<T> {
    const refused = this.#refusal();
    if (refused !== undefined) return Promise.reject(refused);
    this.#writes += 1;
    return this.#append(step).finally(() => (this.#writes -= 1));
  }

  #refusal(): Error | undefined {
    if (this.#closed !== undefined) return closedError();
    return this.#scope?.getStore()?.open === true
      ? new Error('inside a transaction, use the transaction and not the database')
      : undefined;
  }

  /**
   * Lets the commit that comes next be synced so, and begins with it; what is as it should be already costs
   * no call.
   */
  async #prepare(synced: Synced, begin = ''): Promise<void> {
    const change = synced === this.#current ? '' : synchronousPragma(synced);
    if (change + begin === '') return;
    this.#current = undefined;
    await this.#patiently(() => this.#connection.exec(change + begin));
    this.#current = synced;
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

/*
 * A pull with less than full durability records what a power cut may still take. Such a row has a *mark* in its column
 * `unsynced`: the ID of the boot in which its content was written, until something has synced that. While the machine
 * runs, the page cache has all of it. In any other boot it may not be whole, so it counts as lost; nothing
 * shows what is *in doubt*. A row without a mark has content that is on the disk, or none.
 */

/** `pending` stands for `index.json`, which the row says is written. */
export type MarkedTable = 'blobs' | 'snapshots' | 'pending';

const TABLES: readonly MarkedTable[] = ['blobs', 'snapshots', 'pending'];

/**
 * Whether a mark was set in another boot than `?1`, as a condition in SQL. During a sync, a boot's ID has
 * the ID of the sync behind it.
 */
export const IN_DOUBT = "(unsynced < ?1 OR unsynced > ?1 || '~')";

/**
 * Whether there is content that is not synced, from this boot or another. Costs next to nothing where there
 * is none.
 */
export function hasNotDurable(
  statements: Statements,
  tables: readonly MarkedTable[] = TABLES,
): Promise<boolean> {
  return exists(statements, tables, ['unsynced IS NOT NULL'], []);
}

/** Whether there is a blob or a snapshot that was written in another boot and never synced. */
export function mayHaveLost(statements: Statements, boot: string): Promise<boolean> {
  // In two conditions, since of one with OR SQLite does not see that the index of what is marked has all that
  // fits.
  return exists(statements, ['blobs', 'snapshots'], ['unsynced < ?1', "unsynced > ?1 || '~'"], [boot]);
}

/**
 * Syncs everything that is not synced yet, and takes the marks away of what was there before the sync began.
 * Several may do so at the same time: each then answers for all that it found, whatever becomes of the
 * others.
 *
 * @param sync brings the store's whole file system to the disk
 */
export async function makeDurable(database: MetadataDatabase, sync: () => Promise<void>): Promise<void> {
  // Behind what others put there. What is recorded again meanwhile gets its boot's bare ID again, and keeps
  // it.
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

/** A fault of the program: nothing uses a store that is closed. */
function closedError(): LandfallError {
  return new LandfallError('INVALID_CONFIG', 'the store is closed', {
    hint: 'Open it again, or close it when nothing uses it any more.',
  });
}
