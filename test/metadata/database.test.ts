import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  MetadataDatabase,
  type OpenDatabaseOptions,
  SCHEMA_VERSION,
  type Statements,
} from '../../src/metadata/index.js';

const INSERT = 'INSERT INTO leases (id, created_at, expires_at) VALUES (?, ?, ?)';

describe('MetadataDatabase', () => {
  let directory: string;
  let file: string;
  const opened: MetadataDatabase[] = [];
  const open = async (o: OpenDatabaseOptions = {}): Promise<MetadataDatabase> => {
    const database = await MetadataDatabase.open(file, o);
    opened.push(database);
    return database;
  };
  const ids = async (database: MetadataDatabase): Promise<unknown[]> =>
    (await database.all('SELECT id FROM leases ORDER BY id')).map((row) => row['id']);

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-metadata-'));
    file = join(directory, 'metadata.db');
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((database) => database.close()));
    await rm(directory, { recursive: true, force: true });
  });

  it('is durable and concurrent: WAL, full syncs, foreign keys', async () => {
    const database = await open();
    expect(await database.get('PRAGMA journal_mode')).toEqual({ journal_mode: 'wal' });
    expect(await database.get('PRAGMA synchronous')).toEqual({ synchronous: 2 });
    expect(await database.get('PRAGMA foreign_keys')).toEqual({ foreign_keys: 1 });
    expect(await database.get('PRAGMA user_version')).toEqual({ user_version: SCHEMA_VERSION });
  });

  describe('syncs', () => {
    const [NORMAL, FULL] = [1, 2];
    const setting = async (statements: Statements): Promise<unknown> =>
      (await statements.get('PRAGMA synchronous'))?.['synchronous'];

    it('its log with each transaction but those that need not be durable', async () => {
      const database = await open();
      expect(await database.transaction(setting)).toBe(FULL);
      expect(await database.transaction(setting, { durable: false })).toBe(NORMAL);
      expect(await database.transaction(setting, { durable: false })).toBe(NORMAL);
      expect(await database.transaction(setting)).toBe(FULL);
      expect(await database.transaction(setting, { durable: false })).toBe(NORMAL);
      await database.run(INSERT, ['a', 1, 2]);
      expect(await setting(database)).toBe(FULL);
    });

    it('as before after one that failed', async () => {
      const database = await open();
      const failing = database.transaction(() => Promise.reject(new Error('no')), { durable: false });
      await expect(failing).rejects.toThrow('no');
      expect(await database.transaction(setting)).toBe(FULL);
    });

    it('as before after one that found it locked', async () => {
      const database = await open({ busyTimeoutMs: 20 });
      const other = await open();
      await other.transaction(async () => {
        const waiting = database.transaction(setting, { durable: false });
        await expect(waiting).rejects.toMatchObject({ code: 'LOCKED' });
      });
      expect(await database.transaction(setting)).toBe(FULL);
    });

    it('at checkpoints only, where it was opened so, and when it is asked to', async () => {
      const database = await open({ synced: 'checkpoint' });
      expect(await setting(database), 'while it is made').toBe(FULL);
      expect(await database.transaction(setting)).toBe(NORMAL);
      await database.run(INSERT, ['a', 1, 2]);
      expect(await setting(database)).toBe(NORMAL);
      await database.sync();
      await rm(`${file}-wal`);
      await database.sync();
    });
  });

  it('keeps what was written', async () => {
    const database = await open();
    expect(await database.run(INSERT, ['a', 1, 2])).toMatchObject({ changes: 1 });
    await database.close();
    const again = await open({ create: false });
    expect(await again.get('SELECT * FROM leases')).toMatchObject({ id: 'a', created_at: 1, expires_at: 2 });
    expect(await again.get('SELECT * FROM leases WHERE id = ?', ['b'])).toBeUndefined();
  });

  it('answers beside a transaction that is open, from what was there before it', async () => {
    const database = await open();
    await database.run(INSERT, ['a', 1, 2]);
    await database.transaction(async (transaction) => {
      await transaction.run(INSERT, ['b', 1, 2]);
      expect(await database.getBeside('SELECT count(*) AS count FROM leases')).toEqual({ count: 1 });
    });
    expect(await database.getBeside('SELECT count(*) AS count FROM leases WHERE id > ?', ['a'])).toEqual({
      count: 1,
    });
    await expect(database.getBeside('DELETE FROM leases')).rejects.toMatchObject({ code: 'FILESYSTEM' });
  });

  describe('transaction', () => {
    it('leaves nothing of what it wrote when it throws', async () => {
      const database = await open();
      const failing = database.transaction(async (transaction) => {
        await transaction.run(INSERT, ['a', 1, 2]);
        throw new Error('stop');
      });
      await expect(failing).rejects.toThrow('stop');
      expect(await ids(database)).toEqual([]);
      await database.run(INSERT, ['b', 1, 2]);
      expect(await ids(database)).toEqual(['b']);
    });

    it('does not take in a statement that comes while it is open', async () => {
      const database = await open();
      let enter = (): void => undefined;
      const inside = new Promise<void>((resolve) => (enter = resolve));
      const failing = database.transaction(async (transaction) => {
        await transaction.run(INSERT, ['inside', 1, 2]);
        enter();
        await new Promise((resolve) => setTimeout(resolve, 20));
        throw new Error('stop');
      });
      await inside;
      const outside = database.run(INSERT, ['outside', 1, 2]);
      await expect(failing).rejects.toThrow('stop');
      await outside;
      expect(await ids(database)).toEqual(['outside']);
    });

    it('has the connection to itself', async () => {
      const database = await open();
      const order: string[] = [];
      const step = (name: string): Promise<void> =>
        database.transaction(async (transaction) => {
          order.push(`${name} begins`);
          await transaction.run(INSERT, [name, 1, 2]);
          order.push(`${name} ends`);
        });
      await Promise.all([step('a'), step('b'), step('c')]);
      expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
    });

    it('says so when the database is used inside it, in place of waiting for ever', async () => {
      const database = await open({ scope: new AsyncLocalStorage() });
      await expect(database.transaction(() => database.get('SELECT 1'))).rejects.toThrow(
        'use the transaction',
      );
      await expect(database.transaction(() => database.transaction(() => Promise.resolve()))).rejects.toThrow(
        'use the transaction',
      );
    });

    it('cannot be used after its end', async () => {
      const database = await open();
      const transaction = await database.transaction((open) => Promise.resolve({ open }));
      await expect(transaction.open.run(INSERT, ['late', 1, 2])).rejects.toThrow('has ended');
      expect(await ids(database)).toEqual([]);
    });

    it('reports a statement that makes no sense as SQLite does', async () => {
      const database = await open();
      for (const ask of ['run', 'get', 'all'] as const) {
        await expect(database[ask]('SELECT nothing FROM nowhere')).rejects.toMatchObject({
          code: 'SQLITE_ERROR',
        });
      }
      await database.run(INSERT, ['a', 1, 2]);
    });

    it('reports a broken constraint as SQLite does', async () => {
      const database = await open();
      await database.run(INSERT, ['a', 1, 2]);
      const code = 'SQLITE_CONSTRAINT';
      await expect(database.run(INSERT, ['a', 1, 2])).rejects.toMatchObject({ code });
      const orphan = "INSERT INTO lease_resources (lease_id, kind, key) VALUES ('none', 'blob', 'x')";
      await expect(database.run(orphan)).rejects.toMatchObject({ code });
    });
  });

  it('answers beside a transaction with what was committed, and after it with what it wrote', async () => {
    const database = await open();
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    await database.run(INSERT, ['before', 1, 2]);
    const state = await database.state();
    const writing = database.transaction(async (transaction) => {
      await transaction.run(INSERT, ['within', 1, 2]);
      expect(await transaction.all('SELECT id FROM leases')).toHaveLength(2);
      await released;
    });
    expect(await ids(database)).toEqual(['before']);
    release();
    await writing;
    expect(await ids(database)).toEqual(['before', 'within']);
    expect(await database.state()).not.toBe(state);
    // One write is done while another runs: what it wrote is seen on either connection.
    const first = database.run(INSERT, ['first', 1, 2]);
    const second = database.run(INSERT, ['second', 1, 2]);
    await first;
    expect(await ids(database)).toContain('first');
    await second;
  });

  it('closes both connections once what was asked is answered', async () => {
    const database = await open();
    const writing = database.run(INSERT, ['written', 1, 2]);
    const reading = database.all('SELECT id FROM leases');
    await database.close();
    await expect(Promise.all([writing, reading])).resolves.toHaveLength(2);
    await expect(database.get('SELECT 1')).rejects.toThrow('closed');
  });

  it('waits for another writer, and gives up with LOCKED', async () => {
    const holder = await open();
    const waiter = await open({ busyTimeoutMs: 50 });
    const patient = await open();
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    let enter = (): void => undefined;
    const entered = new Promise<void>((resolve) => (enter = resolve));
    const holding = holder.transaction(async (transaction) => {
      await transaction.run(INSERT, ['holder', 1, 2]);
      enter();
      await released;
    });
    await entered;
    await expect(waiter.run(INSERT, ['waiter', 1, 2])).rejects.toMatchObject({
      code: 'LOCKED',
      retryable: true,
    });
    expect(await ids(waiter)).toEqual([]);
    const waiting = patient.run(INSERT, ['patient', 1, 2]);
    release();
    await Promise.all([holding, waiting]);
    expect(await ids(waiter)).toEqual(['holder', 'patient']);
  });

  it('finishes what is queued before it closes, and takes nothing more', async () => {
    const database = await open();
    const writing = database.run(INSERT, ['a', 1, 2]);
    await Promise.all([database.close(), database.close()]);
    await writing;
    await expect(database.get('SELECT 1')).rejects.toThrow('closed');
    expect(await ids(await open())).toEqual(['a']);
  });

  describe('opening', () => {
    it.each<[string, string, boolean, () => Promise<unknown>]>([
      ['a missing file, where one must be', 'STORE_CORRUPT', false, () => Promise.resolve()],
      ['an empty file, where one must be', 'STORE_CORRUPT', false, () => writeFile(file, '')],
      ['a file that is no database', 'STORE_CORRUPT', true, () => writeFile(file, 'x'.repeat(5000))],
      ['a database that was cut off', 'STORE_CORRUPT', true, () => cutOff()],
      ['a directory', 'FILESYSTEM', true, () => Promise.resolve((file = directory))],
      // prettier-ignore
      ['a file in a directory that is missing', 'FILESYSTEM', true, () => Promise.resolve((file = join(directory, 'no', 'db')))],
      ['a database of a newer program', 'UNSUPPORTED', true, () => newer()],
      ['a database whose version is damaged', 'STORE_CORRUPT', true, () => newer(1 << 24)],
      ['a database whose version is negative', 'STORE_CORRUPT', true, () => newer(-5)],
    ])('refuses %s: %s', async (_, code, create, prepare) => {
      await prepare();
      await expect(open({ create })).rejects.toMatchObject({ code, hint: expect.any(String) as string });
    });

    const cutOff = async (): Promise<void> => {
      await (await MetadataDatabase.open(file)).close();
      await truncate(file, 8192);
      await writeFile(`${file}-wal`, '');
    };

    const newer = async (version = SCHEMA_VERSION + 1): Promise<void> => {
      const database = await MetadataDatabase.open(file);
      await database.run(`PRAGMA user_version = ${version}`);
      await database.close();
    };

    it('changes nothing in a database that it refuses', async () => {
      await newer();
      const before = await readFile(file);
      await expect(open()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
      expect((await readFile(file)).equals(before)).toBe(true);
    });

    it('makes one schema, when many connections open a new file at once', async () => {
      const databases = await Promise.all(Array.from({ length: 8 }, () => open()));
      await Promise.all(databases.map((database, index) => database.run(INSERT, [String(index), 1, 2])));
      expect(await ids(await open())).toHaveLength(8);
    });

    it('makes up for a process that died before the schema was there', async () => {
      await writeFile(file, '');
      expect(await ids(await open())).toEqual([]);
    });
  });
});
