import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { openStore } from '../../../src/engine/store.js';
import { ContentError } from '../../../src/errors.js';
import { PendingImages } from '../../../src/serve/pull-through/pending-images.js';
import {
  type Descriptor,
  digestOf,
  type ImageIndex,
  type ImageManifest,
  MEDIA_TYPES,
  parseManifest,
} from '../../../src/spec/index.js';

function indexOf(
  manifests: readonly Descriptor[],
  annotations: object,
): { at: Descriptor; index: ImageIndex } {
  const mediaType = MEDIA_TYPES.ociIndex;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests, annotations }));
  const index = parseManifest(bytes, mediaType);
  if (index.kind !== 'index') throw new Error('it is none');
  return { at: { mediaType, digest: digestOf(bytes), size: bytes.length }, index };
}

it('knows each index that leads to a manifest once, however many ways lead there', async () => {
  const root = await mkdtemp(join(tmpdir(), 'landfall-pending-'));
  await using store = await openStore({ root: join(root, 'store'), sync: 'none', workers: 1 });
  const pending = new PendingImages(store);
  const manifest = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(Buffer.from('image')), size: 5 };
  let below: readonly Descriptor[] = [manifest];
  // Two on each level that list both of the level below: a million ways up.
  for (let level = 0; level < 20; level += 1) {
    const two = ['left', 'right'].map((side) => indexOf(below, { side }));
    for (const { at, index } of two) await pending.add('registry.example/team/app', at, { manifest: index });
    below = two.map(({ at }) => at);
  }
  const found = pending.indexesOf(manifest.digest);
  expect(found).toHaveLength(40);
  expect(new Set(found.slice(0, 2))).toEqual(new Set(below.map(({ digest }) => digest)));
  await pending.close();
  await rm(root, { recursive: true, force: true });
});

it.each(['index', 'manifest'] as const)(
  'lets go of the lease of an %s where what it lists cannot be leased, and takes it in the next time',
  async (kind) => {
    const root = await mkdtemp(join(tmpdir(), 'landfall-pending-'));
    await using store = await openStore({ root: join(root, 'store'), sync: 'none', workers: 1 });
    const pending = new PendingImages(store);
    const create = store.leases.create.bind(store.leases);
    vi.spyOn(store.leases, 'create').mockImplementationOnce(async () => {
      const lease = await create();
      lease.addBlob = () => Promise.reject(new ContentError('NO_SPACE', 'the disk is full'));
      return lease;
    });
    const { at, manifest } = documentOf(kind);
    const add = (): Promise<void> => pending.add('registry.example/team/app', at, { manifest });
    await expect(add()).rejects.toMatchObject({ code: 'NO_SPACE' });
    expect(await store.database.all('SELECT id FROM leases')).toEqual([]);
    expect(pending.has(at.digest)).toBe(false);
    await add();
    expect(pending.has(at.digest)).toBe(true);
    await pending.close();
    expect(await store.database.all('SELECT id FROM leases')).toEqual([]);
    await rm(root, { recursive: true, force: true });
  },
);

function documentOf(kind: 'index' | 'manifest'): { at: Descriptor; manifest: ImageIndex | ImageManifest } {
  const child = { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(Buffer.from('{}')), size: 2 };
  if (kind === 'index') {
    const { at, index } = indexOf([{ ...child, mediaType: MEDIA_TYPES.ociManifest }], {});
    return { at, manifest: index };
  }
  const mediaType = MEDIA_TYPES.ociManifest;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: child, layers: [] }));
  const manifest = parseManifest(bytes, mediaType);
  return { at: { mediaType, digest: digestOf(bytes), size: bytes.length }, manifest };
}
