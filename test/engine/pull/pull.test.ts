import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { listImages } from '../../../src/engine/images/images.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { pull } from '../../../src/engine/pull/pull.js';
import type { PullEvent } from '../../../src/engine/pull/pull-report.js';
import { removeImage, resolveImage, tagImage } from '../../../src/engine/images/names.js';
import { RegistryClient } from '../../../src/registry/index.js';
import { chainIds, type Descriptor, type Digest, digestOf, parsePlatform } from '../../../src/spec/index.js';
import { type LyingRegistry, startLyingRegistry } from '../../support/lying-registry.js';
import { failure } from '../../support/registry-fixture.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

const PLATFORMS = ['linux/amd64', 'linux/arm64'] as const;

/** The same image, of which one manifest claims a layer that no disk can hold. */
function withHugeLayer(layout: TinyLayout, manifest: Digest): TinyLayout {
  const blobs = new Map(layout.blobs);
  const change = (digest: Digest, edit: (manifestOrIndex: Document) => void): Descriptor => {
    const manifestOrIndex = JSON.parse(String(layout.blobs.get(digest))) as Document;
    edit(manifestOrIndex);
    const bytes = Buffer.from(JSON.stringify(manifestOrIndex));
    blobs.set(digestOf(bytes), bytes);
    return { mediaType: manifestOrIndex.mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const changed = change(manifest, ({ layers = [] }) => {
    for (const layer of layers) layer.size = 2 ** 52;
  });
  const target = change(layout.target.digest, (index) => {
    for (const entry of index.manifests ?? []) if (entry.digest === manifest) Object.assign(entry, changed);
  });
  return { ...layout, target, blobs };
}

interface Document {
  mediaType: string;
  layers?: { size: number }[];
  manifests?: Descriptor[];
}

describe('pull, and what is done with what it brought', () => {
  let work: string;
  let layout: TinyLayout;
  let registry: LyingRegistry;
  let client: RegistryClient;
  let store: Store;
  let reference: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-engine-'));
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
    store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    registry.requests.length = 0;
    return () => store.close();
  });

  const manifestOf = (platform: string): TinyLayout['manifests'][number] => {
    const found = layout.manifests.find((manifest) => manifest.platform === platform);
    if (found === undefined) throw new Error(`the layout has no ${platform}`);
    return found;
  };
  const amd64 = parsePlatform('linux/amd64');
  const arm64 = parsePlatform('linux/arm64');

  it('answers with the digests of the platform that was asked for', async () => {
    const result = await pull({ store, registry: client, reference, platform: arm64 });
    const { config, layers, diffIds } = manifestOf('linux/arm64');
    const chains = chainIds(diffIds);
    expect(result).toMatchObject({
      reference,
      digest: layout.target.digest,
      imageId: config.digest,
      chainId: chains.at(-1),
      layers: layers.map(({ digest, size }, i) => ({
        digest,
        size,
        diffId: diffIds[i],
        chainId: chains[i],
        reused: false,
      })),
    });
  });

  it('downloads nothing of other platforms, unless all are asked for', async () => {
    await pull({ store, registry: client, reference, platform: amd64 });
    const other = manifestOf('linux/arm64');
    const asked = (): boolean => registry.requests.some((line) => line.includes(other.manifest.digest));
    expect(asked()).toBe(false);
    expect((await listImages(store)).map(({ platforms }) => platforms)).toEqual([['linux/amd64']]);
    const all = await pull({ store, registry: client, reference, platform: amd64, allPlatforms: true });
    expect(asked()).toBe(true);
    expect(all.imageId).toBe(manifestOf('linux/amd64').config.digest);
    expect((await listImages(store)).map(({ platforms }) => platforms)).toEqual([[...PLATFORMS]]);
  });

  it('tells what happens, and the image before its layers', async () => {
    const events: PullEvent[] = [];
    await pull({
      store,
      registry: client,
      reference,
      platform: amd64,
      onEvent: (event) => events.push(event),
    });
    expect(events[0]?.type).toBe('resolving');
    expect(events.at(-1)?.type).toBe('done');
    const image = events.findIndex((event) => event.type === 'image');
    const layer = events.findIndex((event) => event.type === 'blob' && event.role === 'layer');
    expect(image).toBeGreaterThan(0);
    expect(layer).toBeGreaterThan(image);
    expect(events.every((event, i) => event.at >= (events[i - 1]?.at ?? 0))).toBe(true);
    const committed = events.filter((event) => event.type === 'layer' && event.state === 'committed');
    expect(committed).toHaveLength(manifestOf('linux/amd64').layers.length);
  });

  it('makes one HEAD the second time, and none where a digest names what is here', async () => {
    await pull({ store, registry: client, reference, platform: amd64 });
    registry.requests.length = 0;
    const again = await pull({ store, registry: client, reference, platform: amd64 });
    expect(registry.requests).toEqual(['HEAD /v2/team/app/manifests/1']);
    expect(again.layers.every((layer) => layer.reused)).toBe(true);
    const pinned = `${registry.address}/team/app@${layout.target.digest}`;
    await pull({ store, registry: client, reference: pinned, platform: amd64 });
    registry.requests.length = 0;
    await pull({ store, registry: client, reference: pinned, platform: amd64 });
    expect(registry.requests).toEqual([]);
  });

  it.each([false, true])('begins no layer of what cannot fit (all platforms: %s)', async (allPlatforms) => {
    // Only the other platform is too large: that counts where it is to be brought.
    const { manifest } = manifestOf(allPlatforms ? 'linux/arm64' : 'linux/amd64');
    const huge = withHugeLayer(layout, manifest.digest);
    await using other = await startLyingRegistry(huge);
    const error = await failure(
      pull({
        store,
        registry: client,
        reference: `${other.address}/team/huge:1`,
        platform: amd64,
        allPlatforms,
      }),
    );
    expect(error.code).toBe('NO_SPACE');
    const layers = layout.manifests.flatMap((one) => one.layers.map(({ digest }) => digest));
    expect(other.requests.filter((line) => layers.some((digest) => line.includes(digest)))).toEqual([]);
    expect(await listImages(store)).toEqual([]);
  });

  it('without unpacking makes no snapshot, and unpacks later without downloading', async () => {
    const first = await pull({ store, registry: client, reference, platform: amd64, unpack: false });
    expect(first.chainId).toBeUndefined();
    expect(await readdir(join(store.root, 'snapshots'))).toEqual([]);
    const second = await pull({ store, registry: client, reference, platform: amd64 });
    expect(second).toMatchObject({ bytesDownloaded: 0, chainId: second.layers.at(-1)?.chainId });
    expect(await readdir(join(store.root, 'snapshots'))).toHaveLength(second.layers.length);
  });

  it('aborts, and leaves neither image nor snapshot', async () => {
    const controller = new AbortController();
    const pulling = pull({
      store,
      registry: client,
      reference,
      platform: amd64,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'image') controller.abort();
      },
    });
    await expect(pulling).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await listImages(store)).toEqual([]);
    expect(await readdir(join(store.root, 'snapshots'))).toEqual([]);
    expect((await store.leases.resources()).blobs.size).toBe(0);
  });

  it.each<[string, (image: { name: string; digest: string; imageId: string }) => string]>([
    ['its canonical name', ({ name }) => name],
    ['its digest', ({ digest }) => digest],
    ['its repository and digest', ({ name, digest }) => `${name.replace(/:1$/, '')}@${digest}`],
    ['its image ID', ({ imageId }) => imageId],
    ['the beginning of its image ID', ({ imageId }) => imageId.replace('sha256:', '').slice(0, 12)],
    ['the beginning of its digest', ({ digest }) => digest.slice(0, 19)],
  ])('is found by %s', async (_form, nameOf) => {
    await pull({ store, registry: client, reference, platform: amd64 });
    const { config } = manifestOf('linux/amd64');
    // The host may be another machine than the one that was pulled for: the only platform that is here
    // counts.
    const name = nameOf({ name: reference, digest: layout.target.digest, imageId: config.digest });
    expect((await resolveImage(store, name)).name).toBe(reference);
  });

  it('is not found by what it is not', async () => {
    await expect(resolveImage(store, 'alpine')).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    await expect(resolveImage(store, 'Not A Name')).rejects.toMatchObject({ code: 'INVALID_REFERENCE' });
  });

  it('stays whole by its other name, and goes with the last', async () => {
    await pull({ store, registry: client, reference, platform: amd64 });
    await tagImage(store, reference, 'keep:me');
    expect((await removeImage(store, reference)).freed).toBe(0);
    expect((await collectGarbage(store)).blobs).toEqual([]);
    const { freed } = await removeImage(store, 'keep:me');
    expect(freed).toBeGreaterThan(0);
    expect(await readdir(join(store.root, 'blobs/sha256'))).toEqual([]);
    expect(await readdir(join(store.root, 'snapshots'))).toEqual([]);
  });

  it('is safe from a collection while it is being pulled', async () => {
    const collections: Promise<unknown>[] = [];
    await pull({
      store,
      registry: client,
      reference,
      platform: amd64,
      onEvent: () => void collections.push(collectGarbage(store)),
    });
    await Promise.all(collections);
    registry.requests.length = 0;
    const again = await pull({ store, registry: client, reference, platform: amd64 });
    expect(again.bytesDownloaded).toBe(0);
    expect(again.layers.every((layer) => layer.reused)).toBe(true);
  });

  it('leaves to a dry run of the collection what it would take', async () => {
    await pull({ store, registry: client, reference, platform: amd64 });
    await store.images.delete(reference);
    const would = await collectGarbage(store, { dryRun: true });
    expect(await readdir(join(store.root, 'snapshots'))).toHaveLength(2);
    const did = await collectGarbage(store);
    expect(new Set(did.blobs.map(({ digest }) => digest))).toEqual(
      new Set(would.blobs.map(({ digest }) => digest)),
    );
    expect([...did.snapshots].sort()).toEqual([...would.snapshots].sort());
    expect(did.blobs.length).toBeGreaterThan(0);
    expect(await readdir(join(store.root, 'snapshots'))).toEqual([]);
  });

  it('repairs a blob and a snapshot that somebody removed', async () => {
    const { layers } = await pull({ store, registry: client, reference, platform: amd64 });
    const [blob] = layers;
    const [snapshot] = await readdir(join(store.root, 'snapshots'));
    await rm(join(store.root, 'blobs', ...(blob?.digest ?? '').split(':')));
    await rm(join(store.root, 'snapshots', snapshot ?? ''), { recursive: true });
    const again = await pull({ store, registry: client, reference, platform: amd64 });
    expect(again.bytesDownloaded).toBe(blob?.size);
    expect(await readdir(join(store.root, 'snapshots'))).toHaveLength(2);
  });
});
