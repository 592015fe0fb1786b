import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openStore, type Store } from '../../../src/engine/store.js';
import { pull, type PullOptions } from '../../../src/engine/pull/pull.js';
import type { PullEvent, PullResult } from '../../../src/engine/pull/pull-report.js';
import { removeImage } from '../../../src/engine/images/names.js';
import type { RegistryClient } from '../../../src/registry/index.js';
import { chainIds, type Digest, parsePlatform } from '../../../src/spec/index.js';
import { type LyingRegistry, startLyingRegistry } from '../../support/lying-registry.js';
import { fastClient } from '../../support/registry-fixture.js';
import { makeTinyLayout, type TinyLayout, type TinyManifest } from '../../support/tiny-image.js';

describe('a pull of what is here', () => {
  let work: string;
  let layout: TinyLayout;
  let registry: LyingRegistry;
  let client: RegistryClient;
  let store: Store;
  let reference: string;
  let amd64: TinyManifest;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-present-'));
    layout = await makeTinyLayout(join(work, 'layout'), { platforms: ['linux/amd64', 'linux/arm64'] });
    amd64 = layout.manifests[0];
    registry = await startLyingRegistry(layout);
    client = fastClient();
    reference = `${registry.address}/team/app:1`;
  });
  afterAll(async () => {
    await client.close();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(async () => {
    store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    return async () => {
      vi.restoreAllMocks();
      await store.close();
    };
  });

  const run = async (o: Partial<PullOptions> = {}): Promise<PullResult> => {
    registry.requests.length = 0;
    const platform = parsePlatform('linux/amd64');
    return await pull({ store, registry: client, reference, platform, ...o });
  };
  /** Whether a pull had to do more than look: then it takes a lease. */
  const worked = async (o: Partial<PullOptions> = {}): Promise<boolean> => {
    const leases = vi.spyOn(store.leases, 'create').mockClear();
    await run(o);
    return leases.mock.calls.length > 0;
  };
  const fileOf = (digest: Digest | undefined): string =>
    join(store.root, 'blobs', ...(digest ?? '').split(':'));

  it('asks the registry once, and writes nothing but that the image was used', async () => {
    await run();
    await store.database.run('UPDATE images SET used_at = 1, updated_at = 2');
    const index = await stat(join(store.root, 'index.json'));
    const transactions = vi.spyOn(store.database, 'transaction');
    const statements = vi.spyOn(store.database, 'run');
    await run();
    expect(registry.requests).toEqual(['HEAD /v2/team/app/manifests/1']);
    expect(transactions).not.toHaveBeenCalled();
    expect(statements.mock.calls.map(([sql]) => sql)).toEqual([
      expect.stringMatching(/^UPDATE images SET used_at/),
    ]);
    expect((await stat(join(store.root, 'index.json'))).ino).toBe(index.ino);
    const image = await store.images.get(reference);
    expect(image?.usedAt.getTime()).toBeGreaterThan(1);
    expect(image?.updatedAt).toEqual(new Date(2));
  });

  it('answers as one that found everything, and tells so of each part', async () => {
    const first = await run();
    const events: PullEvent[] = [];
    const again = await run({ onEvent: (event) => events.push(event) });
    expect({ ...again, resolveMs: 0 }).toEqual({
      ...first,
      // Nothing had to be inflated this time.
      layers: first.layers.map((layer) => ({ ...layer, reused: true, decompressor: undefined })),
      bytesDownloaded: 0,
      resolveMs: 0,
      fetchMs: 0,
      unpackMs: 0,
    });
    const { manifest, config, layers, diffIds } = amd64;
    const chains = chainIds(diffIds);
    const blobs = (role: string, ...found: TinyManifest['layers']): object[] =>
      found.map(({ digest, size }) => ({ type: 'blob', role, digest, size, state: 'present', bytes: size }));
    expect(events).toMatchObject([
      { type: 'resolving' },
      { type: 'resolved', digest: layout.target.digest },
      ...blobs('index', layout.target),
      ...blobs('manifest', manifest),
      ...blobs('config', config),
      { type: 'image', digest: manifest.digest, layers: layers.map(({ digest }) => ({ digest })) },
      ...blobs('layer', ...layers),
      ...layers.map(({ digest }, at) => ({ type: 'layer', digest, chainId: chains[at], state: 'present' })),
      { type: 'done', bytesDownloaded: 0 },
    ]);
  });

  const changes: readonly [what: string, change: () => Promise<void>, again?: Partial<PullOptions>][] = [
    ['the blob of a layer is gone', () => rm(fileOf(amd64.layers[0]?.digest))],
    ['the blob of a layer is too short', () => writeFile(fileOf(amd64.layers[1]?.digest), 'x')],
    ['the config is damaged', () => writeFile(fileOf(amd64.config.digest), 'x'.repeat(amd64.config.size))],
    ['the manifest is gone', () => rm(fileOf(amd64.manifest.digest))],
    [
      'a snapshot is gone',
      async () => {
        const [first = ''] = await readdir(join(store.root, 'snapshots'));
        await rm(join(store.root, 'snapshots', first), { recursive: true });
      },
    ],
    [
      'nobody remembers what the manifest says',
      async () => {
        await store.database.run('UPDATE documents SET platform = NULL WHERE platform IS NOT NULL');
      },
    ],
    [
      'nobody remembers what the index lists',
      () =>
        store.database.transaction((transaction) =>
          store.manifests.delete(layout.target.digest, transaction),
        ),
    ],
    [
      'the name has led elsewhere',
      async () => {
        const { target } = (await store.images.get(reference)) ?? layout;
        await store.images.put({ name: reference, target: { ...target, digest: amd64.manifest.digest } });
      },
    ],
    ['another platform is wanted', () => Promise.resolve(), { platform: parsePlatform('linux/arm64') }],
    ['all platforms are wanted', () => Promise.resolve(), { allPlatforms: true }],
    ['its layers are to be dropped', () => Promise.resolve(), { discardLayers: true }],
  ];
  it.each(changes)('does the work where %s', async (_what, change, again = {}) => {
    await run();
    await change();
    expect(await worked(again)).toBe(true);
    const { platform = parsePlatform('linux/amd64') } = again;
    // The dropping of layers is not undone by a plain pull, and needs no work either.
    expect(await worked({ platform })).toBe(false);
  });

  it('unpacks what was not unpacked, and does not miss what is not wanted', async () => {
    await run({ unpack: false });
    expect(await worked({ unpack: false })).toBe(false);
    expect(await worked()).toBe(true);
    expect(await worked({ unpack: false })).toBe(false);
  });

  it('needs no blobs of layers that were dropped on purpose', async () => {
    await run({ discardLayers: true });
    expect(await worked()).toBe(false);
    expect(await worked({ discardLayers: true })).toBe(false);
    const events: PullEvent[] = [];
    const { layers } = await run({ onEvent: (event) => events.push(event) });
    expect(layers).toMatchObject([
      { reused: true, discarded: true },
      { reused: true, discarded: true },
    ]);
    expect(events.filter((event) => event.type === 'blob' && event.role === 'layer')).toEqual([]);
  });

  it('brings them where the image is to be whole again', async () => {
    await run({ discardLayers: true });
    expect(await worked({ unpack: false })).toBe(true);
    expect((await readdir(join(store.root, 'blobs/sha256'))).sort()).toEqual(
      [layout.target, amd64.manifest, amd64.config, ...amd64.layers]
        .map(({ digest }) => digest.slice(7))
        .sort(),
    );
  });

  it('refuses what is beyond the limits now, as ever', async () => {
    await run();
    await store.close();
    store = await openStore({ root: store.root, limits: { layers: 1 } });
    await expect(run()).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  describe('that goes while it is looked at', () => {
    /** Does something in the midst of the look. */
    const meanwhile = (act: () => Promise<unknown>): void => {
      const find = store.snapshotter.findChain.bind(store.snapshotter);
      vi.spyOn(store.snapshotter, 'findChain').mockImplementationOnce(async (chainId) => {
        const found = await find(chainId);
        await act();
        return found;
      });
    };

    it.each<[string, () => Promise<unknown>]>([
      ['its name', () => removeImage(store, reference)],
      [
        'its name, which comes back as another',
        async () => {
          const target = (await store.images.get(reference))?.target ?? layout.target;
          await removeImage(store, reference);
          await store.images.put({ name: reference, target });
        },
      ],
      [
        'its target, which comes back with nothing below it',
        async () => {
          await store.images.put({ name: reference, target: amd64.manifest });
          await store.images.put({ name: reference, target: layout.target });
        },
      ],
    ])('%s: brings it again', async (_what, act) => {
      await run();
      // So that it shows, however fast it goes.
      await store.database.run('UPDATE images SET created_at = 1, updated_at = 1');
      meanwhile(act);
      expect(await worked()).toBe(true);
      expect(await store.images.get(reference)).toBeDefined();
      expect(await worked()).toBe(false);
    });
  });

  it('ends with its signal', async () => {
    await run();
    const controller = new AbortController();
    vi.spyOn(store.images, 'touchUnchanged').mockImplementationOnce(() => {
      controller.abort();
      return Promise.resolve(true);
    });
    await expect(run({ signal: controller.signal })).rejects.toMatchObject({ code: 'ABORTED' });
  });
});
