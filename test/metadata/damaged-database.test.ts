import { mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { DamagedDatabase, integerOf, MetadataDatabase, textOf } from '../../src/metadata/index.js';

const COUNT = 5000;

describe('DamagedDatabase', () => {
  let directory: string;
  let file: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-damaged-'));
    file = join(directory, 'metadata.db');
    await using database = await MetadataDatabase.open(file);
    await database.run(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${COUNT})
       INSERT INTO leases (id, created_at, expires_at) SELECT printf('%06d', i), i, i FROM n`,
    );
    await database.run(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${COUNT})
       INSERT INTO blobs (digest, size, created_at) SELECT printf('%06d', i), i, i FROM n`,
    );
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  /** Makes the page useless that holds a row. */
  const damage = async (text: string): Promise<void> => {
    const at = (await readFile(file)).lastIndexOf(text);
    const handle = await open(file, 'r+');
    await handle.write(Buffer.alloc(4096, 0xff), 0, 4096, Math.floor(at / 4096) * 4096);
    await handle.close();
  };
  const readBlobs = async (): Promise<{ values: readonly string[]; complete: boolean }> => {
    await using damaged = await DamagedDatabase.open(file);
    if (damaged === undefined) throw new Error('nothing of it can be read');
    return await damaged.read('blobs', 'digest', (row) => textOf(row, 'digest'));
  };

  it('reads all of a table that is whole', async () => {
    const { values, complete } = await readBlobs();
    expect({ first: values[0], last: values.at(-1), count: values.length, complete }).toEqual({
      first: '000001',
      last: '005000',
      count: COUNT,
      complete: true,
    });
  });

  it('reads a table that is damaged in its middle from both of its ends', async () => {
    await damage('002500');
    const { values, complete } = await readBlobs();
    expect(complete).toBe(false);
    expect(values).toContain('000001');
    expect(values).toContain('005000');
    expect(values).not.toContain('002500');
    expect(values.length).toBeGreaterThan(COUNT - 500);
    expect(new Set(values).size).toBe(values.length);
  });

  it('leaves out rows that make no sense', async () => {
    await using damaged = await DamagedDatabase.open(file);
    const read = await damaged?.read('blobs', 'digest', (row) => {
      return integerOf(row, 'size') % 2 === 0 ? textOf(row, 'digest') : textOf(row, 'size');
    });
    expect(read).toMatchObject({ complete: false });
    expect(read?.values).toHaveLength(COUNT / 2);
  });

  it('knows whether there is a fault, and changes nothing', async () => {
    const before = await stat(file);
    {
      await using sound = await DamagedDatabase.open(file);
      expect(await sound?.isSound()).toBe(true);
      expect(await sound?.read('nothing', 'id', String)).toEqual({ values: [], complete: false });
      expect(await sound?.lastId('snapshots')).toBe(0);
    }
    expect((await stat(file)).mtimeMs).toBe(before.mtimeMs);
    expect(await readdir(directory)).toEqual(['metadata.db']);
    await damage('002500');
    await using damaged = await DamagedDatabase.open(file);
    expect(await damaged?.isSound()).toBe(false);
  });

  it('gives nothing for a file that is missing or no database', async () => {
    expect(await DamagedDatabase.open(join(directory, 'missing'))).toBeUndefined();
    await damage('SQLite format 3');
    expect(await DamagedDatabase.open(file)).toBeUndefined();
  });
});
