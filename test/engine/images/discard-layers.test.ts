import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DISCARD_LAYERS_LABEL } from '../../../src/content/index.js';
import { removeImage, tagImage } from '../../../src/engine/images/names.js';
import type { PullResult } from '../../../src/engine/pull/pull-report.js';
import { pull, type PullOptions } from '../../../src/engine/pull/pull.js';
import { restoreBlobs } from '../../../src/engine/pull/restore-blobs.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import type { RegistryClient } from '../../../src/registry/index.js';
import { type Descriptor, encodedOf, parsePlatform } from '../../../src/spec/index.js';
import { listImages } from '../../../src/engine/images/images.js';
import { type Lie, type LyingRegistry, startLyingRegistry } from '../../support/lying-registry.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { makeTinyLayout, type TinyEntry, type TinyLayout } from '../../support/tiny-image.js';

const BASE: readonly TinyEntry[] = [{ path: 'base', content: 'shared by all\n' }];
const OWN = (name: string): readonly TinyEntry[] => [{ path: name, content: `${name} alone\n` }];

/** One image at a registry of its own. */
interface Served {
  readonly layout: TinyLayout;
  readonly registry: LyingRegistry;
  readonly reference: string;
  readonly layers: readonly Descriptor[];
  /** Its index or manifest, manifest and config. */
  readonly manifests: readonly string[];
}

describe('pulls that drop the blobs of what they unpack', () => {
  let work: string;
  let client: RegistryClient;
  let store: Store;
  let a: Served;
  let b: Served;
  /** The shared layer lies on another one, so it is another snapshot. */
  let onTop: Served;
  /** The same layers in other bytes. */
  let zstd: Served;
  let two: Served;
  let lies: Map<string, Lie>;

  const serve = async (name: string, o: Parameters<typeof makeTinyLayout>[1]): Promise<Served> => {
    const layout = await makeTinyLayout(join(work, name), { platforms: ['linux/amd64'], ...o });
    const registry = await startLyingRegistry(layout, (what) => lies.get(what));
    const { manifest, config, layers } = layout.manifests[0];
    return {
      layout,
      registry,
      reference: `${registry.address}/team/${name}:1`,
      layers,
      manifests: [layout.target, manifest, config].map(({ digest }) => encodedOf(digest)),
    };
  };
  const run = async (image: Served, o: Partial<PullOptions> = {}): Promise<PullResult> => {
    const platform = parsePlatform('linux/amd64');
    return await pull({ store, registry: client, reference: image.reference, platform, ...o });
  };
  const isWithoutLayers = (image: Served): Promise<PullResult> => run(image, { discardLayers: true });
  /** Digests in `blobs/`, sorted. */
  const blobs = async (): Promise<string[]> => (await readdir(join(store.root, 'blobs/sha256'))).sort();
  const expectBlobs = async (...expected: readonly (string | Descriptor | undefined)[]): Promise<void> => {
    const names = expected.map((one) => (typeof one === 'object' ? encodedOf(one.digest) : one));
    expect(await blobs()).toEqual([...new Set(names)].sort());
  };
  const fetched = (image: Served): string[] =>
    image.registry.requests.filter((line) => line.startsWith('GET ') && line.includes('/blobs/'));
  const discarded = async (layer: Descriptor | undefined): Promise<boolean> =>
    layer !== undefined && (await store.discarded.get(layer.digest)) !== undefined;
  const marked = async (reference: string): Promise<boolean> =>
    (await store.images.get(reference))?.discardLayers ?? false;
  const losesSnapshots = async (): Promise<void> => {
    for (const number of await readdir(join(store.root, 'snapshots'))) {
      await rm(join(store.root, 'snapshots', number), { recursive: true });
    }
  };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-lean-'));
    lies = new Map();
    client = fastClient();
    a = await serve('a', { layers: [BASE, OWN('a')] });
    b = await serve('b', { layers: [BASE, OWN('b')] });
    onTop = await serve('on-top', { layers: [OWN('below'), BASE] });
    zstd = await serve('zstd', { layers: [BASE, OWN('a')], compression: 'zstd' });
    two = await serve('two', { platforms: ['linux/amd64', 'linux/arm64'] });
  });
  afterAll(async () => {
    await client.close();
    for (const served of [a, b, onTop, zstd, two]) await served.registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(async () => {
    lies.clear();
    for (const served of [a, b, onTop, zstd, two]) served.registry.requests.length = 0;
    store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    return () => store.close();
  });

  it('leave documents and snapshots, and say what they gave back', async () => {
    const result = await isWithoutLayers(a);
    await expectBlobs(...a.manifests);
    expect(result.layers.map((layer) => layer.discarded)).toEqual([true, true]);
    expect(result.layers.map((layer) => layer.reused)).toEqual([false, false]);
    expect(result.bytesDiscarded).toBe(a.layers.reduce((sum, { size }) => sum + size, 0));
    expect(await readdir(join(store.root, 'snapshots'))).toHaveLength(2);
    expect(await marked(a.reference)).toBe(true);
    const sources = await store.discarded.sources();
    expect(sources).toEqual([`${a.registry.address}/team/a`]);
    expect(await readdir(join(store.root, 'ingest'))).toEqual([]);
  });

  it('drop nothing unless they are asked to', async () => {
    const result = await run(a);
    expect(result).toMatchObject({ bytesDiscarded: 0, layers: [{ discarded: false }, { discarded: false }] });
    await expectBlobs(...a.manifests, ...a.layers);
    expect(await marked(a.reference)).toBe(false);
  });

  it('drop what an earlier, plain pull brought', async () => {
    await run(a);
    const result = await isWithoutLayers(a);
    expect(result).toMatchObject({ bytesDownloaded: 0, layers: [{ reused: true, discarded: true }, {}] });
    expect(result.bytesDiscarded).toBeGreaterThan(0);
    await expectBlobs(...a.manifests);
  });

  it.each([
    ['a plain pull', false],
    ['a lean one', true],
  ])('are up to date for %s that follows', async (_what, discardLayers) => {
    await isWithoutLayers(a);
    a.registry.requests.length = 0;
    const again = await run(a, { discardLayers });
    expect(a.registry.requests).toEqual(['HEAD /v2/team/a/manifests/1']);
    expect(again).toMatchObject({ bytesDownloaded: 0, bytesDiscarded: 0 });
    expect(again.layers).toMatchObject([
      { reused: true, discarded: true },
      { reused: true, discarded: true },
    ]);
    await expectBlobs(...a.manifests);
    expect(await marked(a.reference)).toBe(true);
  });

  it('give everything back to a pull that does not unpack', async () => {
    await isWithoutLayers(a);
    const whole = await run(a, { unpack: false });
    expect(whole.layers.map((layer) => layer.discarded)).toEqual([false, false]);
    await expectBlobs(...a.manifests, ...a.layers);
    expect(await marked(a.reference)).toBe(false);
  });

  it('are no lean image any more once the name has other content', async () => {
    await isWithoutLayers(a);
    await store.images.put({
      name: b.reference,
      target: a.layout.target,
      discardLayers: true,
    });
    await run(b);
    expect(await marked(b.reference)).toBe(false);
    expect(await marked(a.reference)).toBe(true);
  });

  it('keep what another image needs, until that is pulled lean too', async () => {
    await run(b);
    const first = await isWithoutLayers(a);
    expect(first.layers.map((layer) => layer.discarded)).toEqual([false, true]);
    await expectBlobs(...a.manifests, ...b.manifests, ...b.layers);
    await isWithoutLayers(b);
    await expectBlobs(...a.manifests, ...b.manifests);
  });

  it('let an image that shares an unpacked layer go without its blob', async () => {
    await isWithoutLayers(a);
    const result = await run(b);
    expect(fetched(b).filter((line) => line.includes(a.layers[0]?.digest ?? ''))).toEqual([]);
    expect(result.layers).toMatchObject([
      { reused: true, discarded: true },
      { reused: false, discarded: false },
    ]);
    await expectBlobs(...a.manifests, ...b.manifests, b.layers[1]);
  });

  it('fetch a blob again for an image that has its layer somewhere else', async () => {
    await isWithoutLayers(a);
    await run(onTop);
    await expectBlobs(...a.manifests, ...onTop.manifests, ...onTop.layers);
    expect(await discarded(a.layers[0])).toBe(false);
    // It is needed now, so a lean pull of the first leaves it.
    await isWithoutLayers(a);
    await expectBlobs(...a.manifests, ...onTop.manifests, ...onTop.layers);
    await isWithoutLayers(onTop);
    await expectBlobs(...a.manifests, ...onTop.manifests);
  });

  it('bring no blob of a layer that is a snapshot already, though it never was here', async () => {
    await run(a);
    const result = await isWithoutLayers(zstd);
    expect(fetched(zstd)).toEqual([]);
    expect(result.layers).toMatchObject([
      { reused: true, discarded: true },
      { reused: true, discarded: true },
    ]);
    await expectBlobs(...a.manifests, ...a.layers, ...zstd.manifests);
    const gone = await collectGarbage(store);
    expect(gone.blobs).toEqual([]);
    expect(await discarded(zstd.layers[0])).toBe(true);
    await restoreBlobs(store, client, zstd.layers);
    await expectBlobs(...a.manifests, ...a.layers, ...zstd.manifests, ...zstd.layers);
  });

  it('bring it where they are not lean', async () => {
    await run(a);
    await run(zstd);
    await expectBlobs(...a.manifests, ...a.layers, ...zstd.manifests, ...zstd.layers);
  });

  it.each([
    ['a plain pull', false],
    ['a lean one', true],
  ])('fetch a layer again whose snapshot is lost, by %s', async (_what, discardLayers) => {
    await isWithoutLayers(a);
    await losesSnapshots();
    const again = await run(a, { discardLayers });
    expect(again.layers.map((layer) => layer.reused)).toEqual([false, false]);
    expect(again.layers.map((layer) => layer.discarded)).toEqual([discardLayers, discardLayers]);
    expect(await readdir(join(store.root, 'snapshots'))).toHaveLength(2);
    await expectBlobs(...a.manifests, ...(discardLayers ? [] : a.layers));
  });

  it('leave what somebody else is using just now', async () => {
    await using lease = await store.leases.create();
    await lease.addBlob(...a.layers.slice(0, 1).map(({ digest }) => digest));
    const result = await isWithoutLayers(a);
    expect(result.layers.map((layer) => layer.discarded)).toEqual([false, true]);
    await expectBlobs(...a.manifests, a.layers[0]);
  });

  it('cannot be asked for without unpacking', async () => {
    const error = await failure(run(a, { unpack: false, discardLayers: true }));
    expect(error.code).toBe('INVALID_CONFIG');
    expect(a.registry.requests).toEqual([]);
  });

  it('that fail take nothing for dropped that was not unpacked', async () => {
    const [first, second] = a.layers;
    if (first === undefined || second === undefined) throw new Error('the image has too few layers');
    lies.set(second.digest, { status: 404 });
    expect((await failure(isWithoutLayers(a))).code).toBe('NOT_FOUND');
    expect([await discarded(first), await discarded(second)]).toEqual([false, false]);
    lies.clear();
    expect((await isWithoutLayers(a)).layers.map((layer) => layer.discarded)).toEqual([true, true]);
  });

  it('of several platforms drop what is unpacked of one of them', async () => {
    const result = await run(two, { discardLayers: true, allPlatforms: true });
    // Both platforms have the same layers, so both are unpacked.
    expect(result.layers.map((layer) => layer.discarded)).toEqual([true, true]);
    const manifests = two.layout.manifests.flatMap(({ manifest, config }) => [manifest, config]);
    await expectBlobs(two.layout.target, ...manifests);
  });

  it('are marked under every name, and by none that leads elsewhere', async () => {
    await isWithoutLayers(a);
    await run(b);
    await tagImage(store, a.reference, 'other:1');
    expect(await marked('docker.io/library/other:1')).toBe(true);
    await restoreBlobs(store, client, a.layers);
    await isWithoutLayers(a);
    await expectBlobs(...a.manifests, ...b.manifests, ...b.layers);
    await tagImage(store, b.reference, 'other:1');
    expect(await marked('docker.io/library/other:1')).toBe(false);
  });

  it('leave nothing behind when the image is removed', async () => {
    await isWithoutLayers(a);
    await removeImage(store, a.reference);
    expect(await blobs()).toEqual([]);
    expect(await readdir(join(store.root, 'snapshots'))).toEqual([]);
    expect(await store.discarded.sources()).toEqual([]);
  });

  it('survive a collection', async () => {
    await isWithoutLayers(a);
    const { blobs: gone, snapshots } = await collectGarbage(store);
    expect([gone, snapshots]).toEqual([[], []]);
    expect(await discarded(a.layers[0])).toBe(true);
  });

  describe('restored', () => {
    it('are fetched from where they came, verified and no longer discarded; the others are left', async () => {
      await isWithoutLayers(a);
      a.registry.requests.length = 0;
      const [first, second] = a.layers;
      if (first === undefined || second === undefined) throw new Error('the image has too few layers');
      await restoreBlobs(store, client, [first, ...b.layers.slice(1)]);
      expect(fetched(a)).toEqual([`GET /v2/team/a/blobs/${first.digest}`]);
      expect(b.registry.requests).toEqual([]);
      await expectBlobs(...a.manifests, first);
      expect([await discarded(first), await discarded(second)]).toEqual([false, true]);
      await restoreBlobs(store, client, a.layers);
      expect(fetched(a)).toHaveLength(2);
    });

    it.each<[string, Lie, string]>([
      ['has it no more', { status: 404 }, 'NOT_FOUND'],
      ['fails', { status: 500 }, 'UNAVAILABLE'],
      ['sends something else', { body: Buffer.from('something else') }, 'SIZE_MISMATCH'],
    ])('say why they are not here when their registry %s', async (_what, lie, code) => {
      await isWithoutLayers(a);
      const [first] = a.layers;
      if (first === undefined) throw new Error('the image has no layers');
      lies.set(first.digest, lie);
      const error = await failure(restoreBlobs(store, client, a.layers));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(
        `the blob ${first.digest} was dropped once it was unpacked, and cannot be fetched again from ${a.registry.address}/team/a: `,
      );
      expect(error.cause).toMatchObject({ code });
      expect(await discarded(first)).toBe(true);
    });

    it('are sought in the repositories of their images when nobody knows where they came from', async () => {
      await isWithoutLayers(a);
      const [layer] = a.layers;
      if (layer === undefined) throw new Error('the image has no layers');
      await store.database.run('UPDATE discarded SET source = NULL');
      // One of the two does not have it.
      const { target } = a.layout;
      await store.images.put({ name: `${b.registry.address}/team/b:2`, target, discardLayers: true });
      await restoreBlobs(store, client, a.layers);
      await expectBlobs(...a.manifests, ...a.layers);
      // The layer that both have comes from the one that is asked first, by the order of their names.
      expect(fetched(a).length).toBe(`${a.registry.address}/` < `${b.registry.address}/` ? 5 : 4);
      await isWithoutLayers(a);
      await store.images.delete(a.reference);
      await store.database.run('UPDATE discarded SET source = NULL');
      const error = await failure(restoreBlobs(store, client, a.layers.slice(1)));
      expect(error).toMatchObject({
        code: 'NOT_FOUND',
        message: expect.stringContaining('/team/b: ') as string,
      });
    });

    it('say so when nobody knows where they came from', async () => {
      await isWithoutLayers(a);
      await store.database.run('UPDATE discarded SET source = NULL');
      await store.images.delete(a.reference);
      const error = await failure(restoreBlobs(store, client, a.layers));
      expect(error).toMatchObject({
        code: 'BLOB_NOT_FOUND',
        hint: expect.stringContaining('--no-unpack') as string,
      });
    });

    it('stop when they are told to', async () => {
      await isWithoutLayers(a);
      const error = await failure(restoreBlobs(store, client, a.layers, { signal: AbortSignal.abort() }));
      expect(error.code).toBe('ABORTED');
      await expectBlobs(...a.manifests);
    });
  });

  it('keep the other labels of a name', async () => {
    const other = { 'org.example/other': 'value' };
    const both = { ...other, [DISCARD_LAYERS_LABEL]: 'true' };
    const { target } = a.layout;
    const labelsAfter = async (discardLayers?: boolean): Promise<unknown> => {
      await store.images.put({ name: a.reference, target, discardLayers });
      return (await listImages(store)).find(({ name }) => name === a.reference)?.labels;
    };
    await store.images.put({ name: a.reference, target, labels: other });
    expect(await labelsAfter(true)).toEqual(both);
    expect(await labelsAfter(false)).toEqual(other);
    await labelsAfter(true);
    expect(await labelsAfter()).toEqual(both);
    await store.images.delete(a.reference);
    expect(await labelsAfter(false)).toEqual({});
  });
});
