import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  mayHaveLost,
  hasNotDurable,
  IN_DOUBT,
  MetadataDatabase,
  makeDurable,
} from '../../src/metadata/index.js';

const BOOT = '5c1f0d4e-0000-4000-8000-000000000000';
const EARLIER = '1b7e2a90-0000-4000-8000-000000000000';
const LATER = 'e9d3c8aa-0000-4000-8000-000000000000';

describe('what nobody has synced', () => {
  let directory: string;
  let database: MetadataDatabase;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-unsynced-'));
    database = await MetadataDatabase.open(join(directory, 'metadata.db'));
  });
  afterEach(async () => {
    await database.close();
    await rm(directory, { recursive: true, force: true });
  });

  const blob = async (digest: string, notDurable: string | null): Promise<void> => {
    await database.run(
      'INSERT OR REPLACE INTO blobs (digest, size, created_at, unsynced) VALUES (?, 1, 1, ?)',
      [digest, notDurable],
    );
  };
  const snapshot = async (name: string, notDurable: string | null): Promise<void> => {
    await database.run(
      `INSERT INTO snapshots (snapshotter, name, kind, created_at, updated_at, unsynced)
       VALUES ('overlay', ?, 'committed', 1, 1, ?)`,
      [name, notDurable],
    );
  };
  const marks = async (): Promise<unknown> =>
    Object.fromEntries(
      (
        await database.all(
          'SELECT digest AS name, unsynced FROM blobs UNION ALL SELECT name, unsynced FROM snapshots',
        )
      ).map(({ name, unsynced }) => [name, unsynced]),
    );

  it.each([
    ['nothing', [null], false, false],
    ['this boot', [BOOT], true, false],
    ['this boot, while somebody syncs', [`${BOOT} 0a`], true, false],
    ['a boot whose ID sorts before', [EARLIER], true, true],
    ['a boot whose ID sorts after', [LATER], true, true],
    ['another boot, while somebody was syncing', [`${LATER} 0a`], true, true],
    ['this boot and others', [null, BOOT, LATER, EARLIER], true, true],
  ])('is told by marks of %s', async (_, found, notDurable, doubtful) => {
    for (const [at, mark] of found.entries()) {
      for (const store of [blob, snapshot]) {
        await database.run('DELETE FROM blobs');
        await database.run('DELETE FROM snapshots');
        await store(`${at}`, mark);
        if (found.length > 1) await store('last', found.at(-1) ?? null);
        const expected = found.length > 1 || notDurable;
        expect(await hasNotDurable(database)).toBe(expected);
        expect(await mayHaveLost(database, BOOT)).toBe(doubtful);
        const rows = await database.all(
          `SELECT digest FROM blobs WHERE ${IN_DOUBT} UNION ALL SELECT name FROM snapshots WHERE ${IN_DOUBT}`,
          [BOOT],
        );
        expect(rows.length > 0).toBe(doubtful);
      }
    }
  });

  it('is asked of the tables that are named', async () => {
    await snapshot('s', BOOT);
    expect(await hasNotDurable(database, ['blobs'])).toBe(false);
    expect(await hasNotDurable(database, ['blobs', 'snapshots'])).toBe(true);
  });

  it('costs no look at what is synced', async () => {
    const plan = await database.all(
      `EXPLAIN QUERY PLAN SELECT 1 FROM blobs WHERE unsynced < ?1 UNION ALL SELECT 1 FROM snapshots WHERE unsynced IS NOT NULL`,
      [BOOT],
    );
    const steps = plan.map(({ detail }) => detail).filter((detail) => /blobs|snapshots/.test(String(detail)));
    expect(steps).toEqual([
      expect.stringContaining('INDEX blobs_unsynced'),
      expect.stringContaining('INDEX snapshots_unsynced'),
    ]);
  });

  it('is settled by a sync, but for what was recorded after that had begun', async () => {
    await blob('before', BOOT);
    await blob('again', BOOT);
    await snapshot('left by who died', `${BOOT} 0a`);
    await blob('synced', null);
    await makeDurable(database, async () => {
      expect(await hasNotDurable(database)).toBe(true);
      await blob('again', BOOT);
      await snapshot('late', BOOT);
    });
    expect(await marks()).toEqual({
      before: null,
      again: BOOT,
      'left by who died': null,
      late: BOOT,
      synced: null,
    });
  });

  it('stays as it is where the sync fails, and may be settled later', async () => {
    await blob('b', BOOT);
    const failed = makeDurable(database, () => Promise.reject(new Error('EIO')));
    await expect(failed).rejects.toThrow('EIO');
    expect(await hasNotDurable(database)).toBe(true);
    expect(await mayHaveLost(database, BOOT)).toBe(false);
    expect(await mayHaveLost(database, LATER)).toBe(true);
    await makeDurable(database, () => Promise.resolve());
    expect(await marks()).toEqual({ b: null });
  });

  it('is settled by each of two at the same time, whichever ends first', async () => {
    const recorded = async (): Promise<void> => {
      await blob('b', BOOT);
      await snapshot(`s${(await database.all('SELECT id FROM snapshots')).length}`, BOOT);
    };
    await recorded();
    await makeDurable(database, async () => {
      await makeDurable(database, () => Promise.resolve());
      expect(await hasNotDurable(database), 'by the one that began last').toBe(false);
    });
    await recorded();
    let [endFirst, endLast] = [(): void => undefined, (): void => undefined];
    const first = makeDurable(database, () => new Promise((resolve) => (endFirst = resolve)));
    // Behind what the first has in the queue, so that it runs when that waits for its sync.
    await database.get('SELECT 1');
    const last = makeDurable(database, () => new Promise((resolve) => (endLast = resolve)));
    await database.get('SELECT 1');
    await snapshot('late', BOOT);
    endFirst();
    await first;
    expect(await marks(), 'by the one that began first').toEqual({ b: null, s0: null, s1: null, late: BOOT });
    endLast();
    await last;
    expect(await marks()).toEqual({ b: null, s0: null, s1: null, late: BOOT });
  });
});
