import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Lease } from '../../../src/content/index.js';
import type { BlobDownload } from '../../../src/engine/pull/blob-downloads.js';
import { EarlyLayers } from '../../../src/engine/pull/fetch-graph.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { type Descriptor, digestOf, type ImageManifest, MEDIA_TYPES } from '../../../src/spec/index.js';
import { failure } from '../../support/registry-fixture.js';

const config = Buffer.from('{"architecture":"amd64"}');
const descriptor = (mediaType: string, bytes: Buffer, size = bytes.length): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size,
});
const layers = ['bottom', 'middle', 'top'].map((text) =>
  descriptor(MEDIA_TYPES.ociLayerGzip, Buffer.from(text)),
);
const manifest: ImageManifest = {
  kind: 'manifest',
  mediaType: MEDIA_TYPES.ociManifest,
  config: descriptor(MEDIA_TYPES.ociConfig, config),
  layers,
};

describe('the layers of an image whose config is on its way', () => {
  let work: string;
  let store: Store;
  let lease: Lease;
  let begun: Descriptor[];

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-early-'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));
  beforeEach(async () => {
    begun = [];
    store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    lease = await store.leases.create();
    return async () => {
      await lease[Symbol.asyncDispose]();
      await store.close();
    };
  });

  function early(o: { unpack?: boolean; signal?: AbortSignal } = {}): EarlyLayers {
    const start = (layer: Descriptor): BlobDownload => {
      begun.push(layer);
      // Nobody here waits for it.
      const never = new Promise<never>(() => undefined);
      return { descriptor: layer, readable: never, done: never };
    };
    return new EarlyLayers({ store, lease, downloads: { start }, unpack: true, ...o });
  }

  it('are begun, all of them at once', async () => {
    const layersOf = early();
    layersOf.begin(manifest);
    expect(await layersOf.include(layers)).toBe(true);
    expect(begun).toEqual(layers);
    expect(await layersOf.include([...layers, manifest.config])).toBe(false);
  });

  it('are not begun where nobody said so', async () => {
    expect(await early().include(layers)).toBe(false);
    expect(await early().include([])).toBe(true);
  });

  it('are not begun where the config is here and there is nothing to wait for', async () => {
    await using writer = await store.content.ingest(manifest.config);
    await writer?.write(0, config);
    await writer?.commit();
    const layersOf = early();
    layersOf.begin(manifest);
    expect(await layersOf.include(layers)).toBe(false);
    expect(begun).toEqual([]);
  });

  it('are not begun of what is no image', async () => {
    const layersOf = early();
    layersOf.begin({ ...manifest, config: descriptor('application/vnd.example.chart', config) });
    expect(await layersOf.include(layers)).toBe(false);
    expect(begun).toEqual([]);
  });

  it('are leased before they are begun', async () => {
    const leased: string[] = [];
    const addBlob = lease.addBlob.bind(lease);
    lease.addBlob = async (...digests) => {
      expect(begun).toEqual([]);
      leased.push(...digests);
      await addBlob(...digests);
    };
    const layersOf = early();
    layersOf.begin(manifest);
    await layersOf.settle();
    expect(leased).toEqual(layers.map(({ digest }) => digest));
  });

  it.each<[code: string, odd: Descriptor]>([
    ['UNSUPPORTED_MEDIA_TYPE', descriptor('application/vnd.example.layer', Buffer.from('odd'))],
    ['NO_SPACE', descriptor(MEDIA_TYPES.ociLayer, Buffer.from('huge'), 2 ** 60)],
  ])('are not begun where one cannot come: %s', async (code, odd) => {
    const layersOf = early();
    layersOf.begin({ ...manifest, layers: [...layers, odd] });
    await layersOf.settle();
    expect((await failure(layersOf.include(layers))).code).toBe(code);
    expect(begun).toEqual([]);
  });

  it('that cannot be unpacked are begun where nobody unpacks them', async () => {
    const odd = descriptor('application/vnd.example.layer', Buffer.from('odd'));
    const layersOf = early({ unpack: false });
    layersOf.begin({ ...manifest, layers: [odd] });
    expect(await layersOf.include([odd])).toBe(true);
  });

  it('are not begun after an abort, which brings nothing down', async () => {
    const layersOf = early({ signal: AbortSignal.abort() });
    layersOf.begin(manifest);
    await layersOf.settle();
    expect((await failure(layersOf.include(layers))).code).toBe('ABORTED');
    expect(begun).toEqual([]);
  });
});
