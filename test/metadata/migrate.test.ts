import { mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { hasNotDurable, MetadataDatabase, MIGRATIONS, SCHEMA_VERSION } from '../../src/metadata/index.js';
import { SqliteConnection } from '../../src/metadata/sqlite-connection.js';

describe('a database that an older program wrote', () => {
  let directory: string;
  let file: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-migrate-'));
    file = join(directory, 'metadata.db');
    await writeOld();
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  /** As version 1 of the schema was made, with something in it. */
  const writeOld = async (more = ''): Promise<void> => {
    const [first] = MIGRATIONS;
    const connection = await SqliteConnection.open(file, 'create');
    await connection.get('PRAGMA journal_mode = WAL');
    await connection.exec(`${first?.sql ?? ''}; PRAGMA user_version = 1;
      INSERT INTO blobs (digest, size, created_at, source) VALUES ('sha256:a', 7, 1, 'docker.io/library/a');
      INSERT INTO images VALUES ('docker.io/library/a:1', 'sha256:a', 'm', 7, '{}', 1, 2, 3, '{"x":"y"}', 1);
      INSERT INTO snapshots (id, snapshotter, name, kind, created_at, updated_at) VALUES (40, 'overlay', 's', 'committed', 1, 1);
      DELETE FROM snapshots;
      INSERT INTO leases VALUES ('l', 1, 2);
      ${more}`);
    await connection.close();
  };
  const backups = async (): Promise<string[]> =>
    (await readdir(directory)).filter((name) => name.startsWith('metadata.db.')).sort();
  const contentOf = async (path: string): Promise<unknown> => {
    const connection = await SqliteConnection.open(path, 'read');
    const content = [];
    // Leases have one column more in version 2, blobs in version 3, and images in version 6.
    const leases = '(SELECT id, created_at, expires_at FROM leases)';
    const blobs = '(SELECT digest, size, created_at, source, labels FROM blobs)';
    const images = `(SELECT name, digest, media_type, size, target, created_at, updated_at, used_at, labels, pinned
      FROM images)`;
    for (const table of [blobs, images, leases, 'sqlite_sequence']) {
      content.push(await connection.all(`SELECT * FROM ${table}`));
    }
    content.push(await connection.get('PRAGMA user_version'));
    await connection.close();
    return content;
  };

  it('is brought up to date with all that it has, after a backup', async () => {
    const before = (await contentOf(file)) as unknown[];
    const database = await MetadataDatabase.open(file, { create: false });
    expect(database.schemaVersion).toBe(SCHEMA_VERSION);
    expect(await database.get('SELECT count(*) AS count FROM documents')).toEqual({ count: 0 });
    await database.close();
    expect(await contentOf(file)).toEqual([...before.slice(0, -1), { user_version: SCHEMA_VERSION }]);
    const made = await backups();
    expect(made).toEqual([expect.stringMatching(/^metadata\.db\.backup-v1-\d{8}T\d{6}\.\d{3}Z$/)]);
    expect(await contentOf(join(directory, made[0] ?? ''))).toEqual(before);
  });

  it('has nothing that counts as unsynced, since older programs synced all, and no microseconds', async () => {
    await rm(file);
    const connection = await SqliteConnection.open(file, 'create');
    for (const { version, sql } of MIGRATIONS.filter((step) => step.version <= 2)) {
      await connection.exec(`${sql}; PRAGMA user_version = ${version};`);
    }
    await connection.exec(`INSERT INTO blobs (digest, size, created_at) VALUES ('sha256:a', 7, 1);
      INSERT INTO snapshots (snapshotter, name, kind, created_at, updated_at) VALUES ('overlay', 's', 'committed', 1, 1);
      INSERT INTO pending VALUES ('index.json', 4);`);
    await connection.close();
    const database = await MetadataDatabase.open(file, { create: false });
    expect(await hasNotDurable(database)).toBe(false);
    expect(await database.all('SELECT digest FROM blobs')).toEqual([{ digest: 'sha256:a' }]);
    const times = 'SELECT name, created_at, created_us, updated_at, updated_us FROM snapshots';
    expect(await database.all(times)).toEqual([
      { name: 's', created_at: 1, created_us: 0, updated_at: 1, updated_us: 0 },
    ]);
    expect(await database.all('SELECT * FROM pending')).toMatchObject([{ task: 'index.json', token: 4 }]);
    await database.close();
    expect(await backups()).toEqual([expect.stringMatching(/^metadata\.db\.backup-v2-/)]);
  });

  it('has in columns and rows what labels of snapshots said, and refuses a program that still runs', async () => {
    await rm(file);
    const older = await SqliteConnection.open(file, 'create');
    await older.get('PRAGMA journal_mode = WAL');
    for (const { version, sql } of MIGRATIONS.filter((step) => step.version <= 5)) {
      await older.exec(`${sql}; PRAGMA user_version = ${version};`);
    }
    const insert = `INSERT INTO snapshots (snapshotter, name, kind, labels, created_at, updated_at)
      VALUES ('overlay', ?, ?, ?, 1, 1)`;
    await older.run(insert, ['unpacking-1', 'active', '{"landfall/unpacking":"true"}']);
    const held = {
      'a.b/c': 'd',
      'landfall/held-by': 'containerd',
      'landfall/remapped': '',
      'landfall/image/x.io/b:2': 'sha256:1 sha256:2',
      'landfall/image/x.io/a:1': 'sha256:3',
    };
    await older.run(insert, ['held', 'committed', JSON.stringify(held)]);
    await older.run(insert, ['plain', 'committed', '{"k":"v"}']);
    await older.run(insert, ['odd', 'committed', 'no JSON']);
    const database = await MetadataDatabase.open(file);
    const read = 'SELECT name, labels, unpacking, retained_by, remapped FROM snapshots ORDER BY id';
    expect(await database.all(read)).toEqual([
      { name: 'unpacking-1', labels: '{}', unpacking: 1, retained_by: null, remapped: 0 },
      { name: 'held', labels: '{"a.b/c":"d"}', unpacking: 0, retained_by: 'containerd', remapped: 1 },
      { name: 'plain', labels: '{"k":"v"}', unpacking: 0, retained_by: null, remapped: 0 },
      { name: 'odd', labels: 'no JSON', unpacking: 0, retained_by: null, remapped: 0 },
    ]);
    const images = 'SELECT snapshot_id, name, path FROM snapshot_images ORDER BY id';
    expect(await database.all(images)).toEqual([
      { snapshot_id: 2, name: 'x.io/b:2', path: 'sha256:1 sha256:2' },
      { snapshot_id: 2, name: 'x.io/a:1', path: 'sha256:3' },
    ]);
    const restart = /newer landfall has changed the schema of this store: restart this process/;
    for (const [sql, ...values] of [
      [insert, 'unpacking-2', 'active', '{"landfall/unpacking":"true"}'],
      ['UPDATE snapshots SET labels = ? WHERE id = 3', '{"landfall/held-by":"containerd"}'],
      ["UPDATE snapshots SET name = 'chain', kind = 'committed', labels = ? WHERE id = 1", '{}'],
      ['DELETE FROM snapshots WHERE id = ?', 2],
    ] as const) {
      await expect(older.run(sql, values)).rejects.toThrow(restart);
    }
    await older.close();
    await database.run('UPDATE snapshots SET retained_by = NULL WHERE id = 2');
    await database.run('DELETE FROM snapshots WHERE id = 2');
    expect(await database.all(images)).toEqual([]);
    await database.close();
  });

  it('has in columns and rows what labels said, and refuses labels of a program that still runs', async () => {
    await rm(file);
    const older = await SqliteConnection.open(file, 'create');
    await older.get('PRAGMA journal_mode = WAL');
    for (const { version, sql } of MIGRATIONS.filter((step) => step.version <= 5)) {
      await older.exec(`${sql}; PRAGMA user_version = ${version};`);
    }
    const lean = '{"a":"b","landfall/discard-layers":"true"}';
    await older.exec(`
      INSERT INTO blobs (digest, size, created_at, labels) VALUES
        ('sha256:a', 1, 1, '{"landfall.pushed-to":"x.io/a x.io/b","k":"v","landfall.deleted-from":"x.io/c"}'),
        ('sha256:b', 1, 1, '{"k":"v"}'), ('sha256:c', 1, 1, 'no JSON'), ('sha256:d', 1, 1, '{"landfall.deleted-from":"x.io/a"}');
      INSERT INTO images (name, digest, media_type, size, target, created_at, updated_at, used_at, labels, pinned) VALUES
        ('lean', 'sha256:a', 'm', 1, '{}', 1, 2, 3, '${lean}', 1), ('whole', 'sha256:a', 'm', 1, '{}', 1, 2, 3, '{"a":"b"}', 0);`);
    const database = await MetadataDatabase.open(file);
    expect(
      await database.all('SELECT name, labels, discard_layers, pinned FROM images ORDER BY name'),
    ).toEqual([
      { name: 'lean', labels: '{"a":"b"}', discard_layers: 1, pinned: 1 },
      { name: 'whole', labels: '{"a":"b"}', discard_layers: 0, pinned: 0 },
    ]);
    const noted = 'SELECT digest, repository, state FROM blob_repositories ORDER BY digest, repository';
    expect(await database.all(noted)).toEqual([
      { digest: 'sha256:a', repository: 'x.io/a', state: 'pushed' },
      { digest: 'sha256:a', repository: 'x.io/b', state: 'pushed' },
      { digest: 'sha256:a', repository: 'x.io/c', state: 'deleted' },
      { digest: 'sha256:d', repository: 'x.io/a', state: 'deleted' },
    ]);
    expect(
      (await database.all('SELECT labels FROM blobs ORDER BY digest')).map(({ labels }) => labels),
    ).toEqual(['{"k":"v"}', '{"k":"v"}', 'no JSON', '{}']);
    const restart = /newer landfall has changed the schema of this store: restart this process/;
    await expect(older.run('UPDATE images SET labels = ?', [lean])).rejects.toThrow(restart);
    const insert = `INSERT INTO images (name, digest, media_type, size, target, created_at, updated_at, used_at, labels)
      VALUES ('new', 'sha256:a', 'm', 1, '{}', 1, 2, 3, ?)`;
    await expect(older.run(insert, [lean])).rejects.toThrow(restart);
    for (const label of ['landfall.pushed-to', 'landfall.deleted-from']) {
      const labels = JSON.stringify({ [label]: 'x.io/a' });
      await expect(older.run('UPDATE blobs SET labels = ?', [labels])).rejects.toThrow(restart);
    }
    await older.close();
    await database.run("DELETE FROM blobs WHERE digest = 'sha256:a'");
    expect(await database.all(noted)).toHaveLength(1);
    await database.close();
  });

  it('is not written any more by a process that opened it before a newer program changed its schema', async () => {
    const database = await MetadataDatabase.open(file);
    const newer = await SqliteConnection.open(file, 'write');
    await newer.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    const refused = {
      code: 'UNSUPPORTED',
      message: expect.stringContaining(`has schema ${SCHEMA_VERSION + 1}`) as string,
    };
    await expect(database.transaction(() => Promise.resolve())).rejects.toMatchObject(refused);
    await expect(database.run('DELETE FROM leases')).rejects.toMatchObject(refused);
    expect(await database.all('SELECT id FROM leases')).toEqual([{ id: 'l' }]);
    // Nothing of the refusal stays: the write lock is free, and the process can go on where the schema is its
    // own.
    await newer.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    await database.run('DELETE FROM leases');
    await newer.close();
    await database.close();
  });

  it('is backed up once, however many open it at once', async () => {
    const opened = await Promise.all(Array.from({ length: 8 }, () => MetadataDatabase.open(file)));
    await Promise.all(opened.map((database) => database.close()));
    expect(await backups()).toHaveLength(1);
  });

  it('is backed up with what its log holds', async () => {
    const writer = await SqliteConnection.open(file, 'write');
    await writer.run("INSERT INTO leases VALUES ('late', 1, 2)");
    await (await MetadataDatabase.open(file)).close();
    await writer.close();
    const [backup] = await backups();
    expect(await contentOf(join(directory, backup ?? ''))).toContainEqual([
      { id: 'l', created_at: 1, expires_at: 2 },
      { id: 'late', created_at: 1, expires_at: 2 },
    ]);
  });

  it('is as it was when it cannot be brought up to date, and the backup is named', async () => {
    await rm(file);
    await writeOld('CREATE TABLE links (nonsense TEXT);');
    const before = await contentOf(file);
    const failure = await MetadataDatabase.open(file).catch((error: unknown) => error);
    const [backup] = await backups();
    expect(failure).toMatchObject({
      code: 'STORE_CORRUPT',
      hint: expect.stringContaining(join(directory, backup ?? 'none')) as string,
      details: { backup: join(directory, backup ?? 'none') },
    });
    expect(await contentOf(file)).toEqual(before);
    const connection = await SqliteConnection.open(file, 'read');
    expect(await connection.get("SELECT 1 FROM sqlite_schema WHERE name = 'documents'")).toBeUndefined();
    await connection.close();
  });

  it('is not touched when there can be no backup', async () => {
    const before = await contentOf(file);
    // A name that is too long for what is appended to it.
    const long = join(directory, `${'m'.repeat(225)}.db`);
    await rename(file, long);
    await expect(MetadataDatabase.open(long)).rejects.toMatchObject({
      code: 'FILESYSTEM',
      message: expect.stringContaining('backed up') as string,
    });
    expect(await contentOf(long)).toEqual(before);
    expect((await readdir(directory)).filter((name) => name.includes('backup'))).toEqual([]);
  });

  it('keeps the newest two backups, and what is left of none', async () => {
    const old = ['v1-20200101T000000.000Z', 'v2-20190101T000000.000Z', 'v1-20210101T000000.000Z'];
    for (const name of [...old, 'v1-20260101T000000.000Z.tmp']) {
      await writeFile(join(directory, `metadata.db.backup-${name}`), 'x');
    }
    await writeFile(join(directory, 'other.backup-v1-1'), 'x');
    await (await MetadataDatabase.open(file)).close();
    expect(await backups()).toEqual([
      'metadata.db.backup-v1-20210101T000000.000Z',
      expect.stringMatching(/backup-v1-20[2-9]/),
    ]);
    expect(await readdir(directory)).toContain('other.backup-v1-1');
  });

  it('needs no backup when it is new or of this version', async () => {
    await (await MetadataDatabase.open(join(directory, 'new.db'))).close();
    await (await MetadataDatabase.open(join(directory, 'new.db'))).close();
    expect((await readdir(directory)).filter((name) => name.includes('backup'))).toEqual([]);
  });

  it('can be read as it is', async () => {
    const before = await readdir(directory);
    const database = await MetadataDatabase.openReadOnly(file);
    expect(database.schemaVersion).toBe(1);
    expect(await database.all('SELECT name FROM images')).toEqual([{ name: 'docker.io/library/a:1' }]);
    await database.close();
    expect(await readdir(directory)).toEqual(before);
  });
});
