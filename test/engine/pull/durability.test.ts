import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { blobPath } from '../../../src/content/index.js';
import { type LostContent, openStore, type Store, type SyncMode } from '../../../src/engine/store.js';
import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { fsck } from '../../../src/engine/upkeep/fsck.js';
import { imageMounts } from '../../../src/engine/files/mount.js';
import { listImages } from '../../../src/engine/images/images.js';
import { pull } from '../../../src/engine/pull/pull.js';
import type { PullResult } from '../../../src/engine/pull/pull-report.js';
import { rebuildStore } from '../../../src/engine/upkeep/rebuild-store.js';
import { RegistryClient } from '../../../src/registry/index.js';
import { encodedOf } from '../../../src/spec/index.js';
import { bootId } from '../../../src/system/index.js';
import { writableBlob } from '../../content/blobs.js';
import { type LyingRegistry, startLyingRegistry } from '../../support/lying-registry.js';
import { failure } from '../../support/registry-fixture.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

const ANOTHER_BOOT = '00000000-0000-4000-8000-000000000000';

describe('what a pull leaves unsynced', () => {
  let work: string;
  let layout: TinyLayout;
  let registry: LyingRegistry;
  let client: RegistryClient;
  let root: string;
  let reference: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-durability-'));
    layout = await makeTinyLayout(join(work, 'layout'));
    registry = await startLyingRegistry(layout);
    client = new RegistryClient({});
    reference = `${registry.address}/team/app:1`;
  });
  afterAll(async () => {
    await client.close();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(async () => {
    root = join(await mkdtemp(join(work, 'root-')), 'store');
  });

  const withStore = async <T>(sync: SyncMode, use: (store: Store) => Promise<T>): Promise<T> => {
    await using store = await openStore({ root, sync });
    return await use(store);
  };
  const pullInto = (store: Store): Promise<PullResult> => pull({ store, registry: client, reference });
  const pulled = async (sync: SyncMode): Promise<PullResult> => {
    registry.requests.length = 0;
    return await withStore(sync, pullInto);
  };
  /** How many rows of each table have which marks, of those that have one. */
  const marks = (): Promise<Record<string, readonly string[]>> =>
    withStore('full', async ({ database }) => {
      const found: Record<string, string[]> = {};
      for (const table of ['blobs', 'snapshots', 'pending']) {
        const rows = await database.all(`SELECT unsynced FROM ${table} WHERE unsynced IS NOT NULL`);
        if (rows.length > 0) found[table] = rows.map(({ unsynced }) => String(unsynced));
      }
      return found;
    });
  /** What was written in this boot was written in another, which is what a restart makes of it. */
  const restart = (): Promise<void> =>
    withStore('full', async ({ database }) => {
      for (const table of ['blobs', 'snapshots', 'pending']) {
        await database.run(`UPDATE ${table} SET unsynced = ? WHERE unsynced IS NOT NULL`, [ANOTHER_BOOT]);
      }
    });
  const gets = (): string[] => registry.requests.filter((line) => line.startsWith('GET'));
  const digests = (): string[] => [...layout.blobs.keys()];
  /** The image is whole, and nothing of it has to come. */
  const expectWhole = async (): Promise<void> => {
    expect(await pulled('full')).toMatchObject({ bytesDownloaded: 0, layers: [{ reused: true }, {}] });
    expect(gets()).toEqual([]);
    await withStore('full', async (store) => {
      expect(await imageMounts(store, reference)).not.toEqual([]);
      expect(await fsck(store)).toMatchObject({ sound: true });
    });
  };

  it.each<[SyncMode, object]>([
    ['full', {}],
    ['blobs', { snapshots: [bootId(), bootId()], pending: [bootId()] }],
    [
      'none',
      { blobs: Array<string>(4).fill(bootId()), snapshots: [bootId(), bootId()], pending: [bootId()] },
    ],
  ])('by %s is marked with this boot, and used in it as all else', async (sync, expected) => {
    await pulled(sync);
    expect(await marks()).toEqual(expected);
    expect(await pulled(sync)).toMatchObject({ bytesDownloaded: 0 });
    expect(gets()).toEqual([]);
    await withStore(sync, async (store) => {
      expect(await imageMounts(store, reference)).not.toEqual([]);
      expect(await fsck(store)).toMatchObject({ sound: true });
    });
    expect(await marks()).toEqual(expected);
  });

  it.each<[SyncMode, LostContent]>([
    ['blobs', { blobs: 0, snapshots: 2 }],
    ['none', { blobs: 4, snapshots: 2 }],
  ])('by %s counts as lost after a restart, and comes again', async (sync, expected) => {
    await pulled(sync);
    await restart();
    registry.requests.length = 0;
    const lost: LostContent[] = [];
    const onLost = (one: LostContent): void => void lost.push(one);
    {
      await using store = await openStore({ root, onLost });
      expect(lost).toEqual([expected]);
      expect((await listImages(store)).map(({ name }) => name)).toEqual([reference]);
      const refused = await failure(imageMounts(store, reference));
      expect(refused.code).toBe(expected.blobs > 0 ? 'BLOB_NOT_FOUND' : 'SNAPSHOT_NOT_FOUND');
      const { problems } = await fsck(store);
      const kinds = new Set(problems.map(({ kind }) => kind));
      expect(kinds.has('snapshot-missing')).toBe(true);
      expect(kinds.has('blob-missing')).toBe(expected.blobs > 0);
    }
    {
      await using store = await openStore({ root, onLost });
      expect(lost, 'told once').toEqual([expected]);
      // Each blob is what its digest says, so it need not come from the registry.
      expect(await pullInto(store)).toMatchObject({ bytesDownloaded: 0 });
    }
    expect(gets()).toEqual([]);
    expect(await marks()).toEqual({});
    await expectWhole();
  });

  it('hides what is whole and stands on it, until that is there again', async () => {
    await pulled('blobs');
    const before = (await readdir(join(root, 'snapshots'))).sort();
    await withStore('full', async ({ database }) => {
      await database.run('UPDATE snapshots SET unsynced = ? WHERE parent_id IS NULL', [ANOTHER_BOOT]);
      await database.run('UPDATE snapshots SET unsynced = NULL WHERE parent_id IS NOT NULL');
    });
    await withStore('full', async (store) => {
      expect((await failure(imageMounts(store, reference))).code).toBe('SNAPSHOT_NOT_FOUND');
      const { problems } = await fsck(store);
      expect(problems.map(({ kind }) => kind)).toEqual(['snapshot-missing']);
      const { layers } = await pullInto(store);
      expect(layers.map(({ reused }) => reused)).toEqual([false, true]);
      await collectGarbage(store);
    });
    expect((await readdir(join(root, 'snapshots'))).sort()).toEqual(before);
    await expectWhole();
  });

  it('is on the disk when the first of two pulls at once says so', async () => {
    await pulled('none');
    await withStore('full', async (store) => {
      const ends: (() => void)[] = [];
      const sync = vi
        .spyOn(store.pool, 'run')
        .mockImplementation(() => new Promise((resolve) => ends.push(() => resolve(undefined as never))));
      const pulls = [pullInto(store), pullInto(store)];
      await vi.waitFor(() => expect(ends).toHaveLength(2), { timeout: 30_000 });
      ends[0]?.();
      await Promise.race(pulls);
      const left = await store.database.all('SELECT digest FROM blobs WHERE unsynced IS NOT NULL');
      ends[1]?.();
      await Promise.all(pulls);
      sync.mockRestore();
      expect(left).toEqual([]);
    });
  });

  it('is fetched anew where a restart left something else', async () => {
    const [manifest] = layout.manifests;
    const [lower, upper] = manifest.layers;
    if (lower === undefined || upper === undefined) throw new Error('two layers were made');
    await pulled('none');
    await writeFile(await writableBlob(root, lower.digest), Buffer.alloc(lower.size));
    await rm(blobPath(root, upper.digest));
    await restart();
    const { bytesDownloaded } = await pulled('blobs');
    expect(bytesDownloaded).toBe(lower.size + upper.size);
    await expectWhole();
  });

  it('is given up by one of several processes that come at once', async () => {
    await pulled('none');
    await restart();
    const lost: LostContent[] = [];
    const opened = await Promise.all(
      Array.from({ length: 4 }, () => openStore({ root, onLost: (one) => lost.push(one) })),
    );
    await Promise.all(opened.map((store) => store.close()));
    expect(lost).toEqual([{ blobs: 4, snapshots: 2 }]);
  });

  it.each<[SyncMode, SyncMode, readonly string[]]>([
    ['none', 'full', []],
    ['blobs', 'full', []],
    ['none', 'blobs', []],
    ['blobs', 'blobs', ['snapshots', 'pending']],
    ['blobs', 'none', ['snapshots', 'pending']],
    ['full', 'none', []],
  ])('by %s is synced by a later pull as far as %s promises it', async (first, second, left) => {
    await pulled(first);
    expect(await pulled(second)).toMatchObject({ bytesDownloaded: 0 });
    expect(Object.keys(await marks())).toEqual(left);
  });

  it('is synced by a collection, but not by a dry one', async () => {
    await pulled('none');
    await withStore('full', (store) => collectGarbage(store, { dryRun: true }));
    expect(Object.keys(await marks())).toHaveLength(3);
    await withStore('full', (store) => collectGarbage(store));
    expect(await marks()).toEqual({});
  });

  it('is not what takes the place of something lost that was on the disk', async () => {
    await pulled('full');
    const [first] = (await readdir(join(root, 'snapshots'))).sort();
    await rm(join(root, 'snapshots', first ?? ''), { recursive: true });
    const [manifest] = layout.manifests;
    await rm(blobPath(root, manifest.config.digest));
    expect(await pulled('none')).toMatchObject({ bytesDownloaded: manifest.config.size });
    // A cut would leave the rows as they were, and they have no marks.
    expect(Object.keys(await marks())).toEqual(['pending']);
    const file = await readFile(join(root, 'snapshots', first ?? '', 'snapshot.json'), 'utf8');
    expect(JSON.parse(file)).not.toHaveProperty('unsynced');
    await expectWhole();
  });

  it('includes index.json, which is written again after a restart', async () => {
    await pulled('blobs');
    const before = await readFile(join(root, 'index.json'), 'utf8');
    await writeFile(join(root, 'index.json'), '{"an":"older one"}');
    await withStore('full', () => Promise.resolve());
    expect(await readFile(join(root, 'index.json'), 'utf8'), 'in this boot').toBe('{"an":"older one"}');
    await restart();
    await withStore('full', () => Promise.resolve());
    expect(await readFile(join(root, 'index.json'), 'utf8')).toBe(before);
    expect(Object.keys(await marks())).toEqual(['snapshots']);
  });

  it('leaves its space to the next collection when it is given up', async () => {
    await pulled('blobs');
    await restart();
    await pulled('full');
    const names = async (): Promise<string[]> => await readdir(join(root, 'snapshots'));
    expect(await names()).toHaveLength(4);
    expect((await withStore('full', (store) => collectGarbage(store))).freed).toBeGreaterThan(0);
    expect(await names()).toHaveLength(2);
    await expectWhole();
  });

  it.each([
    ['another boot', ANOTHER_BOOT, 2],
    ['this boot', bootId(), 0],
  ])('in %s is known to who rebuilds the database from the disk alone', async (_, boot, expected) => {
    await pulled('none');
    for (const name of await readdir(join(root, 'snapshots'))) {
      const path = join(root, 'snapshots', name, 'snapshot.json');
      const file = JSON.parse(await readFile(path, 'utf8')) as object;
      expect(file).toMatchObject({ unsynced: bootId() });
      await writeFile(path, JSON.stringify({ ...file, unsynced: boot }));
    }
    for (const suffix of ['', '-wal', '-shm']) await rm(join(root, `metadata.db${suffix}`), { force: true });
    expect(await rebuildStore(root)).toMatchObject({ blobs: 4, snapshots: 2 });
    const lost: LostContent[] = [];
    await (await openStore({ root, onLost: (one) => lost.push(one) })).close();
    // Blobs were digested, and all of it was synced before the new database was put in place.
    expect(lost).toEqual(expected === 0 ? [] : [{ blobs: 0, snapshots: expected }]);
    expect(await pulled('full')).toMatchObject({ bytesDownloaded: 0 });
    await expectWhole();
  });

  it('keeps its marks when the database is rebuilt from a damaged one', async () => {
    await pulled('blobs');
    await restart();
    await rebuildStore(root, { force: true });
    const lost: LostContent[] = [];
    await (await openStore({ root, onLost: (one) => lost.push(one) })).close();
    expect(lost).toEqual([{ blobs: 0, snapshots: 2 }]);
  });

  it('makes no additional store of a store that has any of another boot', async () => {
    await pulled('blobs');
    const main = join(root, '../main');
    const open = (): Promise<Store> => openStore({ root: main, additionalRoots: [root] });
    await (await open()).close();
    await restart();
    expect(await failure(open())).toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining('synced') as string,
    });
    await pulled('full');
    await (await open()).close();
  });

  it('takes no more space as a partial than it did as a blob', async () => {
    await pulled('none');
    await restart();
    await withStore('full', () => Promise.resolve());
    expect(await readdir(join(root, 'blobs/sha256'))).toEqual([]);
    const partials = await readdir(join(root, 'ingest'));
    // prettier-ignore
    expect(partials.sort()).toEqual(digests().map((digest) => digest.replace(':', '-')).sort());
    for (const [digest, bytes] of layout.blobs) {
      const { size } = await stat(join(root, 'ingest', `sha256-${encodedOf(digest)}`, 'data'));
      expect(size).toBe(bytes.length);
    }
  });
});
