import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveImage, resolveOwnImage, tagImage } from '../../../src/engine/images/names.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { encodedOf } from '../../../src/spec/index.js';
import { putImage, type StoredImage } from '../../support/stored-image.js';

/**
 * `docker.io/library/*` is the store's own, `a.example/*`, which comes before it by name, an additional
 * one's.
 */
describe('an image is found', () => {
  let work: string;
  let additionalRoot: string;
  let store: Store;
  let own: StoredImage;
  let shared: StoredImage;
  let other: StoredImage;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-find-'));
    additionalRoot = join(work, 'additional');
    {
      await using additional = await openStore({ root: additionalRoot });
      other = await putImage(additional, 'a.example/other:1', { layers: ['other'] });
      shared = await putImage(additional, 'a.example/shared:1', { layers: ['shared'] });
      await putImage(additional, 'docker.io/library/own:1', { layers: ['not this one'] });
    }
    store = await openStore({ root: join(work, 'main'), additionalRoots: [additionalRoot] });
    own = await putImage(store, 'docker.io/library/own:1', { layers: ['own'] });
    await putImage(store, 'docker.io/library/shared:1', { layers: ['shared'] });
  });
  afterAll(async () => {
    await store.close();
    await rm(work, { recursive: true, force: true });
  });

  const shortId = ({ config }: StoredImage): string => encodedOf(config.digest).slice(0, 12);

  it.each<[string, () => string, () => [string, StoredImage, string?]]>([
    ['by its familiar name', () => 'own:1', () => ['docker.io/library/own:1', own]],
    ['by its name', () => 'a.example/other:1', () => ['a.example/other:1', other, additionalRoot]],
    ['by its ID', () => shortId(own), () => ['docker.io/library/own:1', own]],
    ['by the ID of another store', () => shortId(other), () => ['a.example/other:1', other, additionalRoot]],
    [
      'by an ID, under its own name first',
      () => shortId(shared),
      () => ['docker.io/library/shared:1', shared],
    ],
    [
      'by the digest of its target',
      () => other.target.digest,
      () => ['a.example/other:1', other, additionalRoot],
    ],
    [
      'by repository and digest',
      () => `a.example/other@${other.target.digest}`,
      () => ['a.example/other:1', other, additionalRoot],
    ],
  ])('%s', async (_, name, expected) => {
    const [canonical, { target }, root] = expected();
    const found = await resolveImage(store, name());
    expect(found).toMatchObject({ name: canonical, target });
    expect(found.additionalRoot).toBe(root);
    const change = resolveOwnImage(store, name());
    if (root === undefined) expect(await change).toMatchObject({ name: canonical });
    else await expect(change).rejects.toMatchObject({ code: 'UNSUPPORTED', details: { path: root } });
  });

  it('nowhere where no store has it', async () => {
    await expect(resolveImage(store, 'none:1')).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    await expect(resolveOwnImage(store, 'ffffffffffff')).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
  });

  it('to be given a name of the own store, with its documents and without its layers', async () => {
    const record = await tagImage(store, 'a.example/other:1', 'mine:1');
    expect(record).toMatchObject({ name: 'docker.io/library/mine:1', target: other.target });
    for (const { digest } of [other.target, other.config]) {
      expect(await store.localContent.info(digest)).toBeDefined();
    }
    for (const { digest } of other.layers) expect(await store.localContent.info(digest)).toBeUndefined();
    expect(await store.manifests.get(other.target.digest)).toMatchObject({ platform: 'linux/amd64' });
    expect(await store.leases.resources()).toEqual({ blobs: new Set(), snapshots: new Set() });
  });
});
