import { ContentError, LandfallError, systemCode } from '../errors.js';
import { newerSchema, SCHEMA_VERSION, schemaVersion } from './migrate.js';
import { openCopy, type ReadableDatabase } from './open-readable.js';
import { integerOf, type Row, textOf } from './row.js';

/** What could be read of a table, and whether that is all of it. */
export interface ReadRows<T> {
  readonly values: readonly T[];
  readonly complete: boolean;
}

/** It is not there, or the disk cannot read it. */
const UNREADABLE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'EIO']);

/**
 * A database that may be damaged, to be read as far as it goes. It is a copy that is opened, so the file
 * itself stays as it was found.
 */
export class DamagedDatabase implements AsyncDisposable {
  readonly #opened: ReadableDatabase;

  private constructor(opened: ReadableDatabase) {
    this.#opened = opened;
  }

  /**
   * Undefined where nothing of it can be read. The file must not be in use by this process or another.
   *
   * @throws ContentError NO_SPACE, FILESYSTEM (it cannot be copied)
   */
  static async open(file: string): Promise<DamagedDatabase | undefined> {
    let opened: ReadableDatabase;
    try {
      opened = await openCopy(file);
    } catch (error) {
      if (UNREADABLE.has(systemCode(error))) return undefined;
      throw error;
    }
    try {
      await opened.connection.get('SELECT name FROM sqlite_schema LIMIT 1');
      return new DamagedDatabase(opened);
    } catch {
      await close(opened);
      return undefined;
    }
  }

  /**
   * Whether SQLite finds no fault in it and it has this program's schema or an older one.
   *
   * @throws LandfallError UNSUPPORTED for one without a fault that a newer program wrote
   */
  async isSound(): Promise<boolean> {
    const { connection } = this.#opened;
    try {
      const rows = await connection.all('PRAGMA integrity_check(1)');
      if (rows.length !== 1 || rows[0]?.['integrity_check'] !== 'ok') return false;
      const version = await schemaVersion(connection);
      if (version > SCHEMA_VERSION) throw newerSchema(connection.file, version);
      return version > 0;
    } catch (error) {
      if (error instanceof ContentError && error.code === 'STORE_CORRUPT') return false;
      throw error;
    }
  }

  /**
   * The rows of a table, as far as they can be read and make sense. They are read from both of its ends, so
   * that a damage between costs only what lies in the middle.
   *
   * @param key the columns that tell rows apart, by which the table is stored: `id`, `name, at`
   */
  async read<T>(table: string, key: string, parse: (row: Row) => T): Promise<ReadRows<T>> {
    const found = new Map<string, T>();
    const columns = key.split(', ');
    let complete = true;
    for (const order of ['ASC', 'DESC']) {
      const read = await this.#rows(
        `SELECT * FROM ${table} ORDER BY ${columns.map((column) => `${column} ${order}`).join(', ')}`,
      );
      complete = read.complete;
      for (const row of read.rows) {
        const value = JSON.stringify(columns.map((column) => row[column]));
        const parsed = found.get(value) ?? unlessSenseless(() => parse(row));
        if (parsed === undefined) complete = false;
        else found.set(value, parsed);
      }
      if (read.complete) break;
    }
    return { values: [...found.values()], complete };
  }

  /** Whether its schema has a table: one of an older program has fewer. */
  async has(table: string): Promise<boolean> {
    const { rows } = await this.#rows("SELECT name FROM sqlite_schema WHERE type = 'table'");
    return rows.some(({ name }) => name === table);
  }

  /** The highest number that a table with AUTOINCREMENT has given; 0 where that cannot be read. */
  async lastId(table: string): Promise<number> {
    const { rows } = await this.#rows('SELECT name, seq FROM sqlite_sequence');
    const numbers = rows.flatMap(
      (row) => unlessSenseless(() => (textOf(row, 'name') === table ? [integerOf(row, 'seq')] : [])) ?? [],
    );
    return Math.max(0, ...numbers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await close(this.#opened);
  }

  async #rows(sql: string): Promise<{ rows: readonly Row[]; complete: boolean }> {
    const { connection } = this.#opened;
    try {
      return { rows: await connection.all(sql), complete: true };
    } catch {
      return { rows: await connection.allBeforeDamage(sql).catch(() => []), complete: false };
    }
  }
}

function unlessSenseless<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof LandfallError) return undefined;
    throw error;
  }
}

async function close({ connection, release }: ReadableDatabase): Promise<void> {
  await connection.close().catch(() => undefined);
  await release();
}
