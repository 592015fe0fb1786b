import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openStore, type StoreOptions } from '../../src/engine/store.js';
import { SqliteConnection } from '../../src/metadata/sqlite-connection.js';
import { digestOf } from '../../src/spec/index.js';

const TIMES = 5;
const ANOTHER_BOOT = '00000000-0000-4000-8000-000000000000';

describe('a store that cannot be opened', () => {
  let work: string;
  let root: string;
  let additional: string;
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-store-'));
    root = join(work, 'store');
    additional = join(work, 'additional');
    for (const made of [root, additional]) await (await openStore({ root: made })).close();
  });
  afterEach(() => rm(work, { recursive: true, force: true }));

  /** What this process has open below the test's directory. */
  const openFiles = (): string[] =>
    readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        const path = readlinkSync(`/proc/self/fd/${fd}`);
        return path.startsWith(work) ? [path] : [];
      } catch {
        return [];
      }
    });
  /** A blob that was not synced before the machine stopped. */
  const loseBlob = async (): Promise<void> => {
    await using store = await openStore({ root });
    const digest = digestOf(Buffer.from('lost'));
    await store.database.run(
      'INSERT OR REPLACE INTO blobs (digest, size, created_at, unsynced) VALUES (?, 4, 1, ?)',
      [digest, ANOTHER_BOOT],
    );
  };

  it.each<[string, { readonly options: () => StoreOptions; readonly before?: () => Promise<unknown> }]>([
    ['a number of workers that cannot work', { options: () => ({ workers: 0 }) }],
    [
      'the same beside an additional store',
      { options: () => ({ workers: 0, additionalRoots: [additional] }) },
    ],
    ['an additional store that is missing', { options: () => ({ additionalRoots: [join(work, 'none')] }) }],
    [
      'one of two additional stores that is missing',
      { options: () => ({ additionalRoots: [additional, join(work, 'none')] }) },
    ],
    ['a signal that is aborted', { options: () => ({ signal: AbortSignal.abort() }) }],
    [
      'a signal that is aborted meanwhile',
      {
        options: () => {
          const stop = new AbortController();
          queueMicrotask(() => stop.abort());
          return { signal: stop.signal };
        },
      },
    ],
    [
      'a caller that throws at what is lost',
      {
        before: loseBlob,
        options: () => ({
          onLost: () => {
            throw new Error('the caller fails');
          },
        }),
      },
    ],
    [
      'a database that is damaged',
      {
        before: () => writeFile(join(root, 'metadata.db'), 'x'.repeat(8192)),
        options: () => ({}),
      },
    ],
    [
      'an additional database that is damaged',
      {
        before: () => writeFile(join(additional, 'metadata.db'), 'x'.repeat(8192)),
        options: () => ({ additionalRoots: [additional] }),
      },
    ],
    [
      'a database of a newer program',
      {
        before: async () => {
          const connection = await SqliteConnection.open(join(root, 'metadata.db'), 'write');
          await connection.run('PRAGMA user_version = 900');
          await connection.close();
        },
        options: () => ({}),
      },
    ],
  ])('because of %s leaves nothing open', async (_, { options, before }) => {
    for (let time = 0; time < TIMES; time += 1) {
      await before?.();
      await expect(openStore({ root, ...options() })).rejects.toThrow();
    }
    expect(openFiles()).toEqual([]);
  });

  it('can be opened as soon as what kept it from that is gone', async () => {
    await expect(openStore({ root, workers: 0 })).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    await using store = await openStore({ root });
    expect(await store.database.get('SELECT COUNT(*) AS blobs FROM blobs')).toEqual({ blobs: 0 });
  });
});
