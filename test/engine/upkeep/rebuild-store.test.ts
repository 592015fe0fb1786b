import {
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { pinImage, tagImage } from '../../../src/engine/images/names.js';
import { pull } from '../../../src/engine/pull/pull.js';
import type { PullEvent, PullResult } from '../../../src/engine/pull/pull-report.js';
import {
  type RebuildReport,
  rebuildStore,
  type RebuildStep,
} from '../../../src/engine/upkeep/rebuild-store.js';
import { fsck } from '../../../src/engine/upkeep/fsck.js';
import { MetadataDatabase, type Row } from '../../../src/metadata/index.js';
import { SqliteConnection } from '../../../src/metadata/sqlite-connection.js';
import { RegistryClient } from '../../../src/registry/index.js';
import { chainIds, type Descriptor, type Digest, encodedOf, parsePlatform } from '../../../src/spec/index.js';
import { writableBlob } from '../../content/blobs.js';
import { type LyingRegistry, startLyingRegistry } from '../../support/lying-registry.js';
import { makeTinyLayout, type TinyLayout, type TinyManifest } from '../../support/tiny-image.js';

const PLATFORMS = ['linux/amd64', 'linux/arm64'] as const;
const KEPT = 'docker.io/team/kept:2';

describe('rebuildStore', () => {
  let work: string;
  let layout: TinyLayout;
  let registry: LyingRegistry;
  let client: RegistryClient;
  let root: string;
  let reference: string;
  const amd64 = parsePlatform('linux/amd64');
  const arm64 = parsePlatform('linux/arm64');

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-rebuild-'));
    layout = await makeTinyLayout(join(work, 'layout'), { platforms: PLATFORMS });
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
    root = await mkdtemp(join(work, 'root-'));
    await withStore(async (store) => {
      await pullInto(store);
      await tagImage(store, reference, KEPT);
      await pinImage(store, KEPT, true);
    });
    registry.requests.length = 0;
  });

  const withStore = async <T>(use: (store: Store) => Promise<T>): Promise<T> => {
    await using store = await openStore({ root, snapshotter: 'overlay' });
    return await use(store);
  };
  const pullInto = (store: Store, events: PullEvent[] = []): Promise<PullResult> =>
    pull({ store, registry: client, reference, platform: amd64, onEvent: (event) => events.push(event) });
  const manifest = (platform: string): TinyManifest => {
    const found = layout.manifests.find((one) => one.platform === platform);
    if (found === undefined) throw new Error(`the layout has no ${platform}`);
    return found;
  };
  const layerOf = (at: number): Descriptor => {
    const layer = manifest('linux/amd64').layers[at];
    if (layer === undefined) throw new Error(`the image has no layer ${at}`);
    return layer;
  };
  const blobFile = (digest: Digest): string => join(root, 'blobs', 'sha256', encodedOf(digest));
  const databaseFile = (): string => join(root, 'metadata.db');
  const dropDatabase = async (): Promise<void> => {
    for (const suffix of ['', '-wal', '-shm']) await rm(`${databaseFile()}${suffix}`, { force: true });
  };
  /** Overwrites bytes in the middle of a file, in place. */
  const overwrite = async (file: string, at: number, bytes: Buffer): Promise<void> => {
    const handle = await open(file, 'r+');
    await handle.write(bytes, 0, bytes.length, at);
    await handle.close();
  };
  /** Where a table begins in the database's file, with nothing left in its log. */
  const pageOf = (table: string): Promise<number> =>
    withStore(async ({ database }) => {
      await database.all('PRAGMA wal_checkpoint(TRUNCATE)');
      const row = await database.get('SELECT rootpage FROM sqlite_schema WHERE name = ?', [table]);
      return (Number(row?.['rootpage']) - 1) * 4096;
    });
  const rows = async (sql: string): Promise<readonly unknown[]> =>
    withStore((store) => store.database.all(sql));
  const chains = (platform: string): readonly Digest[] => chainIds(manifest(platform).diffIds);
  /** The directory of a layer's snapshot; layers begin in any order. */
  const snapshotOf = async (layer: 0 | 1): Promise<string> => {
    const chainId = chains('linux/amd64')[layer] ?? '';
    const [row] = (await rows(`SELECT snapshot_id FROM chains WHERE chain_id = '${chainId}'`)) as Row[];
    return join(root, 'snapshots', String(row?.['snapshot_id']));
  };
  const imageNames = async (): Promise<string[]> =>
    withStore(async (store) => (await store.images.list()).map(({ name }) => name));
  const SNAPSHOTS = 'SELECT id, snapshotter, name, kind, parent_id, labels FROM snapshots ORDER BY id';

  /** The store gives all that it had, and needs nothing for it. */
  const expectAllThere = async (): Promise<void> => {
    await withStore(async (store) => {
      const events: PullEvent[] = [];
      registry.requests.length = 0;
      const result = await pullInto(store, events);
      expect(result.bytesDownloaded).toBe(0);
      expect(result.layers.map(({ reused }) => reused)).toEqual([true, true]);
      expect(registry.requests.filter((line) => line.startsWith('GET'))).toEqual([]);
      const [top] = chains('linux/amd64').slice(-1);
      const mounts = await store.snapshotter.view('look', top);
      expect(JSON.stringify(mounts)).toMatch(/snapshots\/\d+\/fs/);
      await store.snapshotter.remove('look');
      expect(await collectGarbage(store)).toMatchObject({ blobs: [], snapshots: [] });
    });
  };

  describe.each<[string, () => Promise<unknown>]>([
    ['lost', dropDatabase],
    ['lost, with its log left', () => rm(databaseFile())],
    ['empty', () => truncate(databaseFile(), 0)],
    ['cut off', () => truncate(databaseFile(), 6000)],
    ['overwritten at its beginning', () => overwrite(databaseFile(), 0, Buffer.alloc(200, 0xff))],
    ['no database', () => writeFile(databaseFile(), 'x'.repeat(9000))],
    [
      'of an impossible version',
      () => withStore(({ database }) => database.run('PRAGMA user_version = 16777216')),
    ],
    ['a directory', () => dropDatabase().then(() => mkdir(databaseFile()))],
    ['without a schema', () => withStore(({ database }) => database.run('PRAGMA user_version = 0'))],
  ])('a database that is %s', (what, damage) => {
    it('refuses to be opened, and works again once it is rebuilt', async () => {
      const before = await rows(SNAPSHOTS);
      await damage();
      await expect(openStore({ root })).rejects.toMatchObject({
        code: expect.stringMatching(/STORE_CORRUPT|FILESYSTEM/) as string,
      });
      const report = await rebuildStore(root);
      expect(report).toMatchObject({
        root,
        blobs: 5,
        snapshots: 2,
        lostImages: [],
        damagedBlobs: [],
        quarantined: [],
      });
      expect(report.images).toEqual(
        [reference, KEPT].sort().map((name) => ({ name, digest: layout.target.digest })),
      );
      expect(report.database.kept === undefined).toBe(what.startsWith('lost'));
      expect(JSON.parse(JSON.stringify(report))).toEqual(report);
      expect(await rows(SNAPSHOTS)).toEqual(before);
      await expectAllThere();
    });
  });

  it('keeps the old database as it was, and leaves nothing else', async () => {
    await overwrite(databaseFile(), 0, Buffer.from('no SQLite'));
    const before = await readFile(databaseFile());
    const { database } = await rebuildStore(root);
    expect((await readFile(database.kept ?? '')).equals(before)).toBe(true);
    expect(await readdir(join(root, 'ingest'))).toEqual([]);
    expect((await readdir(root)).filter((name) => name.startsWith('metadata.db-'))).toEqual([]);
  });

  it('never takes the log of the old database for that of the new one', async () => {
    await withStore(async (store) => {
      await store.database.run('UPDATE images SET labels = \'{"from": "the log"}\'');
      // As a process leaves it that dies: with what it wrote last in the log alone.
      for (const suffix of ['', '-wal'])
        await copyFile(`${databaseFile()}${suffix}`, join(work, `crashed.db${suffix}`));
    });
    for (const suffix of ['', '-wal'])
      await rename(join(work, `crashed.db${suffix}`), `${databaseFile()}${suffix}`);
    await rm(databaseFile());
    await rebuildStore(root);
    expect(await rows('SELECT DISTINCT labels FROM images')).toEqual([{ labels: '{}' }]);
  });

  it('refuses a database that has no fault, unless it is told to', async () => {
    await expect(rebuildStore(root)).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    await rebuildStore(root, { force: true });
    await expectAllThere();
  });

  it('takes a row that makes no sense for a fault', async () => {
    await withStore(({ database }) =>
      database.run("UPDATE images SET digest = 'sha256:0' WHERE name = ?", [reference]),
    );
    const report = await rebuildStore(root);
    expect(report.images.map(({ name }) => name)).toContain(reference);
    await expectAllThere();
  });

  it('refuses a database of a newer program', async () => {
    await withStore(({ database }) => database.run('PRAGMA user_version = 999'));
    await expect(rebuildStore(root)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    await rebuildStore(root, { force: true });
    await expectAllThere();
  });

  it('refuses while a process has the database open, and changes nothing', async () => {
    await withStore(async () => {
      await writeFile(databaseFile(), 'x');
      const before = await readdir(root);
      await expect(rebuildStore(root)).rejects.toMatchObject({
        code: 'IN_USE',
        hint: expect.stringContaining(String(process.pid)) as string,
      });
      expect(await readdir(root)).toEqual(before);
    });
  });

  it('refuses where there is no store', async () => {
    const empty = await mkdtemp(join(work, 'empty-'));
    for (const none of [empty, join(empty, 'absent')]) {
      await expect(rebuildStore(none)).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    }
    expect(await readdir(empty)).toEqual([]);
  });

  it('says what it does, and stops when it is told to, with everything as it was', async () => {
    await rm(databaseFile());
    const before = await readdir(root);
    const steps: RebuildStep[] = [];
    const stop = new AbortController();
    const stopped = rebuildStore(root, {
      signal: stop.signal,
      onStep: (step) => {
        if (step === 'snapshots') stop.abort();
      },
    });
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await readdir(root)).toEqual(before);
    expect(await readdir(join(root, 'ingest'))).toEqual([]);
    await rebuildStore(root, { onStep: (step) => steps.push(step) });
    expect(steps).toEqual(['blobs', 'images', 'snapshots', 'manifests', 'database']);
  });

  describe('what the old database still tells', () => {
    /** Makes the first page of a table useless. */
    const spoil = async (table: string): Promise<void> => {
      await overwrite(databaseFile(), await pageOf(table), Buffer.alloc(4096, 0xff));
    };

    it('is kept: pins, labels, times, sources', async () => {
      await withStore(({ database }) =>
        database.run('UPDATE images SET labels = \'{"a":"b"}\', used_at = 5, created_at = 4, updated_at = 3'),
      );
      await withStore(({ database }) =>
        database.run('UPDATE blobs SET labels = \'{"c":"d"}\', created_at = 6'),
      );
      await withStore(async ({ daemonPins }) => {
        for (const daemon of ['/run/a', '/run/b']) await daemonPins.replace(daemon, ['x.io/*', 'y.io/z:1']);
      });
      await spoil('leases');
      const report = await rebuildStore(root);
      expect(await rows('SELECT count(*) AS pins FROM daemon_pins')).toEqual([{ pins: 4 }]);
      expect(await rows('SELECT name, labels, pinned, created_at, updated_at, used_at FROM images ORDER BY pinned')).toEqual([
        { name: reference, labels: '{"a":"b"}', pinned: 0, created_at: 4, updated_at: 3, used_at: 5 },
        { name: KEPT, labels: '{"a":"b"}', pinned: 1, created_at: 4, updated_at: 3, used_at: 5 },
      ]); // prettier-ignore
      expect(await rows('SELECT DISTINCT source, labels, created_at FROM blobs')).toEqual([
        { source: `${registry.address}/team/app`, labels: '{"c":"d"}', created_at: 6 },
      ]);
      expect(report.unknown).toEqual([expect.stringContaining('landfall fsck')]);
    });

    /** Makes of the database what a program before schema 6 had, with the labels that it wrote. */
    const asSchema5 = async (): Promise<void> => {
      const older = await SqliteConnection.open(databaseFile(), 'write');
      await older.exec(`DROP TABLE daemon_pins; DROP TRIGGER images_by_older_insert; DROP TRIGGER images_by_older_update;
        DROP TRIGGER blobs_by_older_update; DROP TABLE blob_repositories;
        ALTER TABLE images DROP COLUMN discard_layers; DROP TRIGGER snapshots_by_older_insert;
        DROP TRIGGER snapshots_by_older_update; DROP TRIGGER snapshots_by_older_delete; DROP TABLE snapshot_images;
        ALTER TABLE snapshots DROP COLUMN unpacking; ALTER TABLE snapshots DROP COLUMN retained_by;
        ALTER TABLE snapshots DROP COLUMN remapped; PRAGMA user_version = 5;
        UPDATE images SET labels = '{"a":"b","landfall/discard-layers":"true"}';
        UPDATE blobs SET labels = '{"landfall.pushed-to":"x.io/a","k":"v","landfall.deleted-from":"x.io/b"}';`);
      await older.close();
    };

    const NOTES = 'SELECT DISTINCT repository, state FROM blob_repositories ORDER BY repository';
    const notes = [
      { repository: 'x.io/a', state: 'pushed' },
      { repository: 'x.io/b', state: 'deleted' },
    ];

    it('is kept: which images go without layer blobs, and which repositories have a blob', async () => {
      await withStore(async ({ database, images }) => {
        await images.put({ name: KEPT, target: layout.target, discardLayers: true });
        await database.run(`INSERT INTO blob_repositories (digest, repository, state)
          SELECT digest, 'x.io/a', 'pushed' FROM blobs UNION ALL SELECT digest, 'x.io/b', 'deleted' FROM blobs`);
      });
      await spoil('leases');
      const report = await rebuildStore(root);
      expect(report.unknown).toEqual([expect.stringContaining('landfall fsck')]);
      expect(await rows('SELECT name FROM images WHERE discard_layers = 1')).toEqual([{ name: KEPT }]);
      expect(await rows(NOTES)).toEqual(notes);
    });

    it('is kept, without a fault, in a store of an older program that is only opened', async () => {
      await asSchema5();
      await withStore(async (store) => {
        expect((await fsck(store)).problems).toEqual([]);
      });
      expect(await rows('SELECT DISTINCT labels, discard_layers FROM images')).toEqual([
        { labels: '{"a":"b"}', discard_layers: 1 },
      ]);
      expect(await rows(NOTES)).toEqual(notes);
    });

    it('is kept where an older program kept it in labels', async () => {
      await asSchema5();
      await spoil('leases');
      const report = await rebuildStore(root);
      expect(report.unknown).toEqual([expect.stringContaining('landfall fsck')]);
      expect(await rows('SELECT DISTINCT labels, discard_layers FROM images')).toEqual([
        { labels: '{"a":"b"}', discard_layers: 1 },
      ]);
      expect(await rows('SELECT DISTINCT labels FROM blobs')).toEqual([{ labels: '{"k":"v"}' }]);
      expect(await rows(NOTES)).toEqual(notes);
    });

    it.each([
      ['images', 'pinned'],
      ['blobs', 'came from'],
      ['blob_repositories', 'repositories'],
      ['snapshots', 'active'],
      ['discarded', 'dropped'],
    ])('is missed where the table %s is damaged, and that is said', async (table, words) => {
      await spoil(table);
      const report = await rebuildStore(root);
      expect(report.unknown).toEqual([expect.stringContaining(words), expect.stringContaining('fsck')]);
      await expectAllThere();
    });

    it('is an image that index.json does not list, or lists with another target', async () => {
      await writeFile(join(root, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [
        { ...manifest('linux/amd64').manifest, annotations: { 'org.opencontainers.image.ref.name': KEPT } },
      ] })); // prettier-ignore
      await spoil('leases');
      const report = await rebuildStore(root);
      expect(report.images).toEqual(
        [reference, KEPT].sort().map((name) => ({ name, digest: layout.target.digest })),
      );
    });

    it('is what a document lists whose blob is damaged', async () => {
      const { manifest: manifestOrIndex, config, layers } = manifest('linux/amd64');
      await truncate(await writableBlob(root, manifestOrIndex.digest), 3);
      await spoil('leases');
      const report = await rebuildStore(root);
      expect(report.damagedBlobs).toMatchObject([{ digest: manifestOrIndex.digest, size: 3 }]);
      const info = await withStore((store) => store.manifests.get(manifestOrIndex.digest));
      expect(info?.children.map(({ digest }) => digest)).toEqual(
        [config, ...layers].map(({ digest }) => digest),
      );
      await withStore(async (store) => {
        const { blobs, snapshots } = await collectGarbage(store);
        expect(blobs.map(({ digest }) => digest)).toEqual([manifestOrIndex.digest]);
        expect(snapshots).toEqual([]);
      });
    });

    it('is which snapshots are active, and on what', async () => {
      const [top] = chains('linux/amd64').slice(-1);
      await withStore(async ({ snapshotter }) => {
        await snapshotter.prepare('mine', top, { labels: { of: 'me' } });
        await snapshotter.view('seen', top);
      });
      const before = await rows(SNAPSHOTS);
      await spoil('leases');
      expect(await rebuildStore(root)).toMatchObject({ snapshots: 4, quarantined: [] });
      expect(await rows(SNAPSHOTS)).toEqual(before);
    });

    it('is which directories were being filled: they are garbage, whatever they say', async () => {
      await withStore(async ({ snapshotter }) => {
        const { path } = await snapshotter.beginLayer();
        await writeFile(join(path, 'half'), 'x');
        await writeFile(join(path, '..', 'snapshot.json'), JSON.stringify({ name: 'half', parent: null }));
      });
      await spoil('leases');
      expect(await rebuildStore(root)).toMatchObject({ snapshots: 2, quarantined: [] });
      await withStore(async (store) =>
        expect((await collectGarbage(store)).snapshots).toEqual(['snapshots/3']),
      );
    });
  });

  describe('without the old database', () => {
    const rebuild = async (): Promise<RebuildReport> => {
      await dropDatabase();
      return rebuildStore(root);
    };

    it('reports an image whose target is damaged as lost, and forgets its name', async () => {
      await overwrite(await writableBlob(root, layout.target.digest), 9, Buffer.from('!'));
      const report = await rebuild();
      expect(report.lostImages.map(({ name }) => name)).toEqual([reference, KEPT].sort());
      expect(report.lostImages[0]?.digest).toBe(layout.target.digest);
      expect(report.damagedBlobs).toEqual([
        {
          digest: layout.target.digest,
          size: layout.target.size,
          actual: expect.stringMatching(/^sha256:/) as string,
        },
      ]);
      // Written anew at once, and not when the store is opened next.
      expect(JSON.parse(await readFile(join(root, 'index.json'), 'utf8'))).toMatchObject({ manifests: [] });
      expect(await imageNames()).toEqual([]);
    });

    it('keeps an image of which a layer is damaged, for a pull to repair', async () => {
      const layer = layerOf(1);
      await truncate(await writableBlob(root, layer.digest), 1);
      expect(await rebuild()).toMatchObject({
        blobs: 4,
        lostImages: [],
        damagedBlobs: [{ digest: layer.digest, size: 1 }],
      });
      expect(await imageNames()).toHaveLength(2);
    });

    it('takes a layer without a blob, but with a snapshot, for one that was dropped on purpose', async () => {
      const layer = layerOf(1);
      await rm(blobFile(layer.digest));
      const report = await rebuild();
      expect(report.unknown).toContainEqual(expect.stringContaining('1 without a blob'));
      expect(await rows('SELECT digest, size, source FROM discarded')).toEqual([
        {
          digest: layer.digest,
          size: layer.size,
          source: expect.stringMatching(/\/team\/(app|kept)$/) as string,
        },
      ]);
    });

    it.each<[string, string, () => Promise<void>]>([
      ['is missing', 'is missing', () => rm(join(root, 'index.json'))],
      ['is no JSON', 'is damaged', () => writeFile(join(root, 'index.json'), '{"manifests": [')],
      ['lists nothing', 'lists nothing', () => writeFile(join(root, 'index.json'), '{}')],
      [
        'is damaged in part',
        'is damaged in part',
        () => writeFile(join(root, 'index.json'), '{"manifests": [{"digest": "?"}]}'),
      ],
    ])('says that index.json %s, and keeps it', async (_, words, damage) => {
      await damage();
      const before = await readFile(join(root, 'index.json'), 'utf8').catch(() => undefined);
      const report = await rebuild();
      expect(report.images).toEqual([]);
      expect(report.unknown).toContainEqual(expect.stringContaining(`it ${words}`));
      const [kept] = (await readdir(root)).filter((name) => name.startsWith('index.json.damaged-'));
      expect(kept === undefined ? undefined : await readFile(join(root, kept), 'utf8')).toBe(before);
    });

    it('puts an active snapshot into quarantine, since nobody knows what it stands on', async () => {
      await withStore(async ({ snapshotter }) => {
        await snapshotter.prepare('mine', chains('linux/amd64')[1]);
        await snapshotter.view('seen', chains('linux/amd64')[1]);
        await snapshotter.prepare('idle', chains('linux/amd64')[1]);
      });
      await writeFile(join(root, 'snapshots', '3', 'fs', 'precious'), 'x');
      // As overlayfs leaves it.
      await mkdir(join(root, 'snapshots', '5', 'work', 'work'));
      const { quarantined, snapshots } = await rebuild();
      expect(snapshots).toBe(2);
      expect(quarantined).toEqual([expect.stringMatching(/\/quarantine\/snapshot-3\.\d+$/)]);
      expect(await readFile(join(quarantined[0] ?? '', 'fs', 'precious'), 'utf8')).toBe('x');
      await withStore(async (store) => {
        // The view and what nobody wrote to had nothing of their own.
        expect((await collectGarbage(store)).snapshots).toEqual(['snapshots/4', 'snapshots/5']);
      });
      expect((await stat(quarantined[0] ?? '')).isDirectory()).toBe(true);
    });

    it('keeps what another program committed, with its parent', async () => {
      await withStore(async ({ snapshotter }) => {
        await snapshotter.prepare('mine', chains('linux/amd64')[1]);
        await snapshotter.commit('mine', 'base');
        await snapshotter.prepare('next', 'base');
        await snapshotter.commit('next', 'above');
      });
      const before = await rows(SNAPSHOTS);
      expect(await rebuild()).toMatchObject({ snapshots: 4 });
      expect(await rows(SNAPSHOTS)).toEqual(before);
      expect(await rows('SELECT chain_id FROM chains ORDER BY chain_id')).toEqual(
        [...chains('linux/amd64')].sort().map((chain) => ({ chain_id: chain })),
      );
    });

    it('never gives a number again that a directory has', async () => {
      await mkdir(join(root, 'snapshots', '70'));
      await rebuild();
      await withStore(({ snapshotter }) => snapshotter.prepare('next'));
      expect(await rows("SELECT id FROM snapshots WHERE name = 'next'")).toEqual([{ id: 71 }]);
    });

    it('leaves a layer to be unpacked again whose parent is lost', async () => {
      await rm(await snapshotOf(0), { recursive: true });
      expect(await rebuild()).toMatchObject({ snapshots: 0, quarantined: [] });
      await withStore(async (store) => {
        const result = await pullInto(store);
        expect(result.layers.map(({ reused }) => reused)).toEqual([false, false]);
        expect(result.bytesDownloaded).toBe(0);
      });
    });

    it('names a snapshot whose content is missing, and a pull makes up for it', async () => {
      await rm(join(await snapshotOf(0), 'fs'), { recursive: true });
      const [bottom] = chains('linux/amd64');
      expect(await rebuild()).toMatchObject({ snapshots: 2, lostSnapshots: [bottom] });
      await withStore(async (store) => {
        expect((await pullInto(store)).layers.map(({ reused }) => reused)).toEqual([false, true]);
      });
      await expectAllThere();
    });

    it.each<[string, object]>([
      ['a chain that its layer cannot have', { chainId: `sha256:${'1'.repeat(64)}` }],
      ['another layer than its chain is made of', { diffId: `sha256:${'1'.repeat(64)}` }],
    ])('believes no snapshot that claims %s', async (_, change) => {
      const file = join(await snapshotOf(1), 'snapshot.json');
      const said = JSON.parse(await readFile(file, 'utf8')) as object;
      await writeFile(file, JSON.stringify({ ...said, ...change }));
      expect(await rebuild()).toMatchObject({ snapshots: 1, quarantined: [] });
    });

    it('takes one of two directories that hold the same layer', async () => {
      await withStore(async () => {
        await mkdir(join(root, 'snapshots', '9', 'fs'), { recursive: true });
        await copyFile(
          join(root, 'snapshots', '1', 'snapshot.json'),
          join(root, 'snapshots', '9', 'snapshot.json'),
        );
        await writeFile(join(root, 'snapshots', '9', 'fs', 'x'), 'x');
      });
      expect(await rebuild()).toMatchObject({ snapshots: 2, quarantined: [] });
      expect(await rows('SELECT snapshot_id FROM chains ORDER BY snapshot_id')).toEqual([
        { snapshot_id: 1 },
        { snapshot_id: 2 },
      ]);
    });

    it('gives no name twice, and finds children by the names that their parents had', async () => {
      const write = async (number: number, name: string, parent: string | null): Promise<void> => {
        const path = join(root, 'snapshots', String(number));
        await mkdir(join(path, 'fs'), { recursive: true });
        await writeFile(
          join(path, 'snapshot.json'),
          JSON.stringify({ name, parent, snapshotter: 'overlay' }),
        );
      };
      const [bottom = ''] = chains('linux/amd64');
      await write(5, `${bottom}+6`, null);
      await write(6, bottom, null);
      await write(7, 'child', `${bottom}+6`);
      expect(await rebuild()).toMatchObject({ snapshots: 5 });
      expect(await rows('SELECT id, name, parent_id FROM snapshots WHERE id > 2 ORDER BY id')).toEqual([
        { id: 5, name: `${bottom}+6`, parent_id: null },
        { id: 6, name: `${bottom}+6+6`, parent_id: null },
        { id: 7, name: 'child', parent_id: 5 },
      ]);
    });

    it('refuses snapshots that stand on each other', async () => {
      for (const [number, name, parent] of [
        [8, 'a', 'b'],
        [9, 'b', 'a'],
      ] as const) {
        await mkdir(join(root, 'snapshots', String(number), 'fs'), { recursive: true });
        const text = JSON.stringify({ name, parent, snapshotter: 'overlay' });
        await writeFile(join(root, 'snapshots', String(number), 'snapshot.json'), text);
        await writeFile(join(root, 'snapshots', String(number), 'fs', 'x'), 'x');
      }
      expect(await rebuild()).toMatchObject({
        snapshots: 2,
        quarantined: [{}, {}].map(() => expect.any(String) as string),
      });
    });

    it('records only files among the blobs whose names are digests', async () => {
      await mkdir(join(root, 'blobs', 'sha999'));
      await writeFile(join(root, 'blobs', 'sha999', 'abc'), 'x');
      await writeFile(join(root, 'blobs', 'sha256', 'README'), 'x');
      await mkdir(join(root, 'blobs', 'sha256', 'a'.repeat(64)));
      expect(await rebuild()).toMatchObject({ blobs: 5, damagedBlobs: [] });
    });

    it('tells the snapshotters apart, also by what older programs wrote', async () => {
      await using native = await openStore({ root, snapshotter: 'native' });
      await pull({ store: native, registry: client, reference, platform: arm64 });
      await native.close();
      const before = await rows(SNAPSHOTS);
      for (const number of [1, 2, 3, 4]) {
        const file = join(root, 'snapshots', String(number), 'snapshot.json');
        const said = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
        expect(said['snapshotter']).toBe(number < 3 ? 'overlay' : 'native');
        delete said['snapshotter'];
        await writeFile(file, JSON.stringify(said));
      }
      expect(await rebuild()).toMatchObject({ snapshots: 4 });
      expect(await rows(SNAPSHOTS)).toEqual(before);
    });
  });

  it('does not lose what is in the log of a database that is damaged elsewhere', async () => {
    const other = join(work, 'with-log.db');
    const at = await pageOf('leases');
    await withStore(async (store) => {
      await store.database.run(`UPDATE images SET labels = '{"in":"log"}'`);
      for (const suffix of ['', '-wal']) await copyFile(`${databaseFile()}${suffix}`, `${other}${suffix}`);
    });
    for (const suffix of ['', '-wal']) await rename(`${other}${suffix}`, `${databaseFile()}${suffix}`);
    await overwrite(databaseFile(), at, Buffer.alloc(4096, 0xff));
    const { database } = await rebuildStore(root);
    expect(await rows('SELECT DISTINCT labels FROM images')).toEqual([{ labels: '{"in":"log"}' }]);
    expect((await stat(`${database.kept ?? ''}-wal`)).size).toBeGreaterThan(0);
  });

  it('leaves the root with what a store has, and nothing else', async () => {
    const before = (await readdir(root)).sort();
    await dropDatabase();
    await rebuildStore(root);
    expect((await readdir(root)).sort()).toEqual(before);
    await (await MetadataDatabase.open(databaseFile(), { create: false })).close();
  });
});
