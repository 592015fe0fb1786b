import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  blobPath,
  discardAgain,
  DiscardedBlobs,
  type ManifestInfo,
  ManifestStore,
  dropUnreachableDiscarded,
  ImageStore,
  LeaseStore,
} from '../../src/content/index.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { describing, put } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';

const LEAN = { discardLayers: true };
const SOURCE = 'registry.test/team/app';

describe('blobs that are dropped because their layers are unpacked', () => {
  let scratch: ScratchRoot;
  let manifests: ManifestStore;
  let images: ImageStore;
  let leases: LeaseStore;
  let discarded: DiscardedBlobs;
  let layer: Descriptor;

  beforeEach(async () => {
    scratch = await scratchRoot();
    const { root, database } = scratch;
    manifests = new ManifestStore(database);
    images = new ImageStore(root, database);
    leases = new LeaseStore(database);
    discarded = new DiscardedBlobs({ root, database, manifests });
    layer = await putFrom(SOURCE, 'the layer');
  });
  afterEach(() => scratch[Symbol.asyncDispose]());

  const putFrom = async (source: string, text: string): Promise<Descriptor> => {
    const bytes = Buffer.from(text);
    const descriptor = describing(bytes);
    await using writer = await scratch.store.ingest(descriptor, { source });
    await writer?.write(0, bytes);
    await writer?.commit();
    return descriptor;
  };
  const digest = (text: string): Digest => digestOf(Buffer.from(text));
  /** Records that a chain is a snapshot. */
  const unpack = async (chainId: Digest): Promise<void> => {
    const { lastId } = await scratch.database.transaction(async (transaction) => {
      await transaction.run(
        `INSERT INTO snapshots (snapshotter, name, kind, created_at, updated_at) VALUES ('overlay', ?, 'committed', 0, 0)`,
        [chainId],
      );
      const row = await transaction.get('SELECT id FROM snapshots WHERE name = ?', [chainId]);
      return { lastId: Number(row?.['id']) };
    });
    await scratch.database.run(
      `INSERT INTO chains (snapshotter, chain_id, diff_id, snapshot_id) VALUES ('overlay', ?, ?, ?)`,
      [chainId, chainId, lastId],
    );
  };
  /** The facts of an image manifest with one config and these layers. */
  const manifest = (
    name: string,
    layers: readonly Descriptor[],
    chains: readonly Digest[],
  ): ManifestInfo => ({
    digest: digest(name),
    mediaType: MEDIA_TYPES.ociManifest,
    children: [{ digest: digest(`${name} config`), size: 1 }, ...layers],
    chainIds: chains,
  });
  const name = async (
    reference: string,
    target: Digest,
    o: { labels?: Record<string, string>; discardLayers?: boolean } = {},
  ): Promise<void> => {
    await images.put({
      name: reference,
      target: { mediaType: MEDIA_TYPES.ociManifest, digest: target, size: 1 },
      ...o,
    });
  };
  const discard = async (...blobs: Descriptor[]): Promise<number> => {
    await using lease = await leases.create();
    const digests = (blobs.length === 0 ? [layer] : blobs).map((blob) => blob.digest);
    await lease.addBlob(...digests);
    return await discarded.discard(digests, { leaseId: lease.id });
  };
  /** Whether the blob stays, file and all; anything in between is none of the two. */
  const stays = async (blob: Descriptor = layer): Promise<boolean> => {
    const states = [
      (await scratch.store.info(blob.digest)) !== undefined,
      existsSync(blobPath(scratch.root, blob.digest)),
      (await discarded.get(blob.digest)) === undefined,
    ];
    expect(new Set(states).size).toBe(1);
    return states[0] ?? false;
  };
  const discardedImage = async (): Promise<ManifestInfo> => {
    const info = manifest('lean', [layer], [digest('chain')]);
    await manifests.put([info]);
    await unpack(digest('chain'));
    await name('registry.test/team/app:lean', info.digest, LEAN);
    return info;
  };

  it('leave file and row, and are remembered with size and source', async () => {
    await discardedImage();
    const before = Date.now();
    expect(await discard()).toBe(layer.size);
    expect(await stays()).toBe(false);
    const known = await discarded.get(layer.digest);
    expect(known).toMatchObject({ digest: layer.digest, size: layer.size, source: SOURCE });
    expect(known?.discardedAt.getTime()).toBeGreaterThanOrEqual(before);
    expect([...(await discarded.among([layer.digest, digest('other')])).values()]).toEqual([known]);
    expect(await discarded.sources()).toEqual([SOURCE]);
    expect(await readdir(join(scratch.root, 'ingest'))).toEqual([]);
    expect(await discard()).toBe(0);
  });

  it('are no longer discarded once they come back, and keep where they came from', async () => {
    await discardedImage();
    await discard();
    await put(scratch.store, Buffer.from('the layer'));
    expect(await stays()).toBe(true);
    await discard();
    expect(await discarded.get(layer.digest)).toMatchObject({ source: SOURCE });
  });

  it('stay while an image that is not lean lists them', async () => {
    await discardedImage();
    const other = manifest('plain', [layer], [digest('chain')]);
    await manifests.put([other]);
    await name('registry.test/team/app:plain', other.digest);
    expect(await discard()).toBe(0);
    expect(await stays()).toBe(true);
    await name('registry.test/team/app:plain', other.digest, LEAN);
    await discard();
    expect(await stays()).toBe(false);
  });

  it('stay while the same image has a name that is not lean', async () => {
    const { digest: target } = await discardedImage();
    await name('registry.test/team/app:again', target, { labels: { other: 'label' } });
    await discard();
    expect(await stays()).toBe(true);
    await images.delete('registry.test/team/app:again');
    await discard();
    expect(await stays()).toBe(false);
  });

  it('stay while an index that is not lean leads to them', async () => {
    const info = await discardedImage();
    const index = {
      digest: digest('index'),
      mediaType: MEDIA_TYPES.ociIndex,
      children: [{ digest: info.digest, size: 1 }],
      chainIds: [],
    };
    await manifests.put([index]);
    await name('registry.test/team/app:index', index.digest);
    await discard();
    expect(await stays()).toBe(true);
    await name('registry.test/team/app:index', index.digest, LEAN);
    await discard();
    expect(await stays()).toBe(false);
  });

  it('stay while a referrer of an image that is not lean lists them', async () => {
    await discardedImage();
    const subject = manifest('subject', [], []);
    const referrer = { ...manifest('referrer', [layer], [digest('chain')]), subject: subject.digest };
    await manifests.put([subject, referrer]);
    await name('registry.test/team/app:subject', subject.digest);
    await discard();
    expect(await stays()).toBe(true);
    await images.delete('registry.test/team/app:subject');
    await discard();
    expect(await stays()).toBe(false);
  });

  it('stay while a lean image has them in a layer that is not unpacked', async () => {
    await discardedImage();
    const other = manifest(
      'other',
      [describing(Buffer.from('below')), layer],
      [digest('below'), digest('above')],
    );
    await manifests.put([other]);
    await unpack(digest('below'));
    await name('registry.test/team/app:other', other.digest, LEAN);
    await discard();
    expect(await stays()).toBe(true);
    await unpack(digest('above'));
    await discard();
    expect(await stays()).toBe(false);
  });

  it.each([
    ['an artifact, which is never unpacked', (): ManifestInfo => manifest('artifact', [layer], [])],
    [
      'an image whose config they are',
      (): ManifestInfo => ({
        ...manifest('odd', [], [digest('chain')]),
        children: [layer, { digest: digest('else'), size: 1 }],
      }),
    ],
  ])('stay while a lean image lists them in %s', async (_what, info) => {
    await discardedImage();
    await manifests.put([info()]);
    await name('registry.test/team/app:other', info().digest, LEAN);
    await discard();
    expect(await stays()).toBe(true);
  });

  it('stay while somebody else leases them, until that lease ends or expires', async () => {
    await discardedImage();
    const other = await leases.create();
    await other.addBlob(layer.digest);
    await discard();
    expect(await stays()).toBe(true);
    // Made before the other expires: whoever makes one sweeps those that have.
    await using own = await leases.create();
    await scratch.database.run('UPDATE leases SET expires_at = 1 WHERE id = ?', [other.id]);
    await discarded.discard([layer.digest], { leaseId: own.id });
    expect(await stays()).toBe(false);
    await other[Symbol.asyncDispose]();
  });

  it('are dropped by the last of several who let go of them', async () => {
    await discardedImage();
    const [one, other] = [await leases.create(), await leases.create()];
    for (const lease of [one, other]) await lease.addBlob(layer.digest, digest('else'));
    expect(await discarded.discard([layer.digest], { leaseId: one.id })).toBe(0);
    expect(await stays()).toBe(true);
    expect(await discarded.discard([layer.digest], { leaseId: other.id })).toBe(layer.size);
    expect((await leases.resources()).blobs).toEqual(new Set([digest('else')]));
    for (const lease of [one, other]) await lease[Symbol.asyncDispose]();
  });

  it('are dropped each for itself', async () => {
    const other = await putFrom('registry.test/elsewhere', 'another layer');
    const info = manifest('two', [layer, other], [digest('chain'), digest('chain 2')]);
    const plain = manifest('plain', [layer], [digest('chain')]);
    await manifests.put([info, plain]);
    await unpack(digest('chain'));
    await unpack(digest('chain 2'));
    await name('registry.test/team/app:two', info.digest, LEAN);
    await name('registry.test/team/app:plain', plain.digest);
    expect(await discard(layer, other)).toBe(other.size);
    expect([await stays(layer), await stays(other)]).toEqual([true, false]);
    expect(await discarded.sources()).toEqual(['registry.test/elsewhere']);
  });

  it('whose file cannot be removed now are discarded all the same, and their files are nobody’s', async () => {
    await discardedImage();
    const path = blobPath(scratch.root, layer.digest);
    const { rm } = await import('node:fs/promises');
    await rm(path, { force: true });
    await mkdir(path);
    expect(await discard()).toBe(0);
    expect(await discarded.get(layer.digest)).toBeDefined();
    expect(await scratch.store.info(layer.digest)).toBeUndefined();
  });

  it('that never came are noted, unless they are here', async () => {
    const absent = describing(Buffer.from('absent'));
    await discarded.note([layer, absent], SOURCE);
    expect(await discarded.get(layer.digest)).toBeUndefined();
    expect(await discarded.get(absent.digest)).toMatchObject({ size: absent.size, source: SOURCE });
    await discarded.note([absent], 'registry.test/later');
    expect(await discarded.get(absent.digest)).toMatchObject({ source: SOURCE });
  });

  describe('and came back', () => {
    const collect = (o: { dryRun?: boolean } = {}): Promise<readonly { digest: Digest; size: number }[]> =>
      scratch.database.transaction((transaction) => discardAgain(transaction, manifests, o));

    it('are dropped again by a collection, which leaves their files to be found', async () => {
      const info = await discardedImage();
      const index = {
        digest: digest('index'),
        mediaType: MEDIA_TYPES.ociIndex,
        children: [{ digest: info.digest, size: 1 }],
        chainIds: [],
      };
      await manifests.put([index]);
      await images.delete('registry.test/team/app:lean');
      await name('registry.test/team/app:index', index.digest, LEAN);
      // What an image is described by is never dropped.
      await putFrom(SOURCE, 'lean');
      await putFrom(SOURCE, 'lean config');
      await putFrom(SOURCE, 'index');
      const { size } = layer;
      expect(await collect({ dryRun: true })).toEqual([{ digest: layer.digest, size }]);
      expect(await stays()).toBe(true);
      expect(await collect()).toEqual([{ digest: layer.digest, size }]);
      expect(await discarded.get(layer.digest)).toMatchObject({ size, source: SOURCE });
      expect(await scratch.store.info(layer.digest)).toBeUndefined();
      expect(existsSync(blobPath(scratch.root, layer.digest))).toBe(true);
      expect(await collect()).toEqual([]);
    });

    it('stay while they are leased, or needed, or the image is not lean', async () => {
      const { digest: target } = await discardedImage();
      await using lease = await leases.create();
      await lease.addBlob(layer.digest);
      expect(await collect()).toEqual([]);
      await lease[Symbol.asyncDispose]();
      await name('registry.test/team/app:plain', target);
      expect(await collect()).toEqual([]);
      await images.delete('registry.test/team/app:lean');
      expect(await collect()).toEqual([]);
      expect(await stays()).toBe(true);
    });
  });

  it('are forgotten by a collection once nothing reaches them', async () => {
    const [kept, gone] = [describing(Buffer.from('kept')), describing(Buffer.from('gone'))];
    await discarded.note([kept, gone], SOURCE);
    const forgotten = await scratch.database.transaction((transaction) =>
      dropUnreachableDiscarded(transaction, (found) => found === kept.digest),
    );
    expect(forgotten).toEqual([gone.digest]);
    expect([...(await discarded.among([kept.digest, gone.digest])).keys()]).toEqual([kept.digest]);
  });
});
