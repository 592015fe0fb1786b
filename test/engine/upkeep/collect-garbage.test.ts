import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { diskUsage } from '../../../src/engine/upkeep/disk-usage.js';
import { listImages } from '../../../src/engine/images/images.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { pinImage, removeImage } from '../../../src/engine/images/names.js';
import { chainIds, type Digest, digestOf } from '../../../src/spec/index.js';
import { putBlob, putImage, putIndex, type StoredImage } from '../../support/stored-image.js';

describe('what a collection takes, and what it leaves', () => {
  let work: string;
  let store: Store;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-garbage-'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));
  beforeEach(async () => {
    store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    return () => store.close();
  });

  const blobs = async (): Promise<Digest[]> => {
    const found: Digest[] = [];
    for await (const { digest } of store.localContent.list()) found.push(digest);
    return found.sort();
  };
  const files = async (): Promise<Digest[]> =>
    (await readdir(join(store.root, 'blobs/sha256'))).map((hex) => `sha256:${hex}` as Digest).sort();
  const snapshots = async (): Promise<string[]> => {
    const found: string[] = [];
    for await (const { name } of store.snapshotter.list()) found.push(name);
    return found.sort();
  };
  const digestsOf = ({ target, config, layers }: StoredImage): Digest[] =>
    [target, config, ...layers].map(({ digest }) => digest);
  const name = (tag: string): string => `registry.test/team/app:${tag}`;

  it('is what no image reaches: blobs, their files, snapshots and what was recorded of documents', async () => {
    const kept = await putImage(store, name('kept'), { layers: ['base', 'mine'], unpack: true });
    const lost = await putImage(store, undefined, { layers: ['base', 'other'], unpack: true });
    const stray = await putBlob(store, 'text/plain', Buffer.from('nobody knows me'));
    const report = await collectGarbage(store);
    const [, other] = chainIds(lost.diffIds);
    expect(report.blobs.map(({ digest }) => digest).sort()).toEqual(
      [...digestsOf(lost).filter((digest) => !digestsOf(kept).includes(digest)), stray.digest].sort(),
    );
    expect(report).toMatchObject({
      dryRun: false,
      images: [],
      snapshots: [other],
      partials: [],
      warnings: [],
    });
    expect(await blobs()).toEqual(digestsOf(kept).sort());
    expect(await files()).toEqual(digestsOf(kept).sort());
    expect(await snapshots()).toEqual(chainIds(kept.diffIds).sort());
    expect([...(await store.manifests.all()).keys()]).toEqual([kept.target.digest]);
    expect(await readdir(join(store.root, 'snapshots'))).toHaveLength(2);
    expect(await collectGarbage(store)).toMatchObject({ blobs: [], snapshots: [], freed: 0 });
  });

  it('keeps what refers to an image, and what that lists, for as long as the image is here', async () => {
    const image = await putImage(store, name('1'));
    const signature = await putImage(store, undefined, {
      layers: ['signature'],
      configType: 'application/vnd.dev.cosign.simplesigning.v1+json',
      subject: image.target,
    });
    const ofSignature = await putImage(store, undefined, {
      layers: ['countersigned'],
      configType: 'application/vnd.oci.empty.v1+json',
      subject: signature.target,
    });
    const all = [image, signature, ofSignature].flatMap(digestsOf);
    await collectGarbage(store);
    expect(await blobs()).toEqual([...new Set(all)].sort());
    expect((await removeImage(store, name('1'))).freed).toBeGreaterThan(0);
    expect(await blobs()).toEqual([]);
  });

  it('keeps of an index the platforms that were pulled, and drops what a pull of another left half-done', async () => {
    const mine = await putImage(store, undefined, { layers: ['mine'] });
    const half = await putImage(store, undefined, { layers: ['half', 'missing'], record: false });
    await store.localContent.delete(half.layers[1]?.digest ?? digestOf(Buffer.from('')));
    const index = await putIndex(store, name('1'), [mine.target, half.target]);
    await collectGarbage(store);
    expect(await blobs()).toEqual([index.digest, ...digestsOf(mine), half.target.digest].sort());
  });

  it('keeps what is leased, and what that lists', async () => {
    const { target, ...image } = await putImage(store, undefined, { unpack: true });
    const [chain = target.digest] = chainIds(image.diffIds);
    {
      await using lease = await store.leases.create();
      await lease.addBlob(target.digest);
      await lease.addSnapshot(chain);
      expect(await collectGarbage(store)).toMatchObject({ blobs: [], snapshots: [] });
    }
    await using expired = await store.leases.create();
    await expired.addBlob(target.digest);
    await store.database.run('UPDATE leases SET expires_at = 1');
    const report = await collectGarbage(store);
    expect(report.blobs).toHaveLength(3);
    expect(report.snapshots).toEqual([chain]);
  });

  it('keeps a snapshot that is leased by itself, with those below it', async () => {
    const { diffIds } = await putImage(store, undefined, { layers: ['a', 'b', 'c'], unpack: true });
    const [bottom = '', middle = ''] = chainIds(diffIds);
    await using lease = await store.leases.create();
    await lease.addSnapshot(middle);
    expect((await collectGarbage(store)).blobs).toHaveLength(5);
    expect(await snapshots()).toEqual([bottom, middle].sort());
  });

  it('keeps the snapshots on which something stands', async () => {
    const image = await putImage(store, name('1'), { layers: ['a', 'b'], unpack: true });
    const [, top = ''] = chainIds(image.diffIds);
    await store.snapshotter.prepare('running', top);
    await removeImage(store, name('1'));
    await collectGarbage(store);
    expect(await snapshots()).toEqual([...chainIds(image.diffIds), 'running'].sort());
    await store.snapshotter.remove('running');
    await collectGarbage(store);
    expect(await snapshots()).toEqual([]);
  });

  it('says on a dry run what it would take, and takes nothing', async () => {
    await putImage(store, undefined, { unpack: true });
    await putImage(store, name('old'));
    const before = [await files(), await snapshots(), await readdir(join(store.root, 'snapshots'))];
    const dry = await collectGarbage(store, { dryRun: true, unusedForMs: 0 });
    expect(dry.images).toEqual([name('old')]);
    expect([await files(), await snapshots(), await readdir(join(store.root, 'snapshots'))]).toEqual(before);
    expect(await collectGarbage(store, { unusedForMs: 0 })).toEqual({ ...dry, dryRun: false });
  });

  it('takes images that nobody used for so long, but for pinned and mounted ones', async () => {
    const day = 24 * 60 * 60 * 1000;
    for (const tag of ['new', 'old', 'pinned', 'mounted']) {
      await putImage(store, name(tag), { layers: [tag], unpack: true });
    }
    const mounted = await putImage(store, undefined, { layers: ['mounted'] });
    await store.database.run('UPDATE images SET used_at = used_at - ? WHERE name <> ?', [
      2 * day,
      name('new'),
    ]);
    await pinImage(store, name('pinned'), true);
    await store.snapshotter.view('mount', chainIds(mounted.diffIds)[0]);
    expect((await collectGarbage(store, { unusedForMs: 3 * day })).images).toEqual([]);
    expect((await collectGarbage(store, { unusedForMs: day })).images).toEqual([name('old')]);
    await pinImage(store, name('pinned'), false);
    await store.snapshotter.remove('mount');
    await store.images.touch(name('mounted'));
    expect((await collectGarbage(store, { unusedForMs: day })).images).toEqual([name('pinned')]);
    expect((await store.images.list()).map((image) => image.name)).toEqual([name('mounted'), name('new')]);
    expect(await snapshots()).toHaveLength(2);
  });

  it('leaves what a daemon has pinned, by name or by a pattern, also once that daemon has gone', async () => {
    for (const tag of ['listed', 'fitting', 'unlisted', 'other'])
      await putImage(store, name(tag), { layers: [tag] });
    await store.daemonPins.replace('/run/a.sock', [name('listed'), name('unlisted')]);
    await store.daemonPins.replace('/run/b.sock', ['registry.test/*:fit*', 'registry.test/elsewhere:*']);
    await store.daemonPins.replace('/run/a.sock', [name('listed')]);
    const pinned = (await listImages(store)).filter((image) => image.pinned).map((image) => image.name);
    expect(pinned).toEqual([name('fitting'), name('listed')]);
    const collected = (await collectGarbage(store, { unusedForMs: 0 })).images;
    expect(collected.toSorted()).toEqual([name('other'), name('unlisted')]);
    expect(await pinImage(store, name('listed'), false)).toMatchObject({ pinned: false });
    expect(await pinImage(store, name('fitting'), false)).toMatchObject({ pinned: true });
    expect((await collectGarbage(store, { unusedForMs: 0 })).images).toEqual([name('listed')]);
  });

  it('finds out what an image holds of which nothing was recorded', async () => {
    const image = await putImage(store, name('1'), { record: false });
    await collectGarbage(store);
    expect(await blobs()).toEqual(digestsOf(image).sort());
  });

  it('takes nothing while an image is so damaged that nobody knows what it holds', async () => {
    const image = await putImage(store, name('damaged'), { record: false, unpack: true });
    await putBlob(store, 'text/plain', Buffer.from('garbage'));
    const manifest = join(store.root, 'blobs', image.target.digest.replace(':', '/'));
    await rm(manifest);
    await writeFile(manifest, Buffer.alloc(image.target.size, 'x'));
    const before = await blobs();
    const report = await collectGarbage(store);
    expect(report).toMatchObject({ blobs: [], snapshots: [] });
    expect(report.warnings).toEqual([expect.stringContaining(name('damaged'))]);
    expect(await blobs()).toEqual(before);
    expect(await snapshots()).toHaveLength(1);
    await removeImage(store, name('damaged'));
    expect((await collectGarbage(store)).warnings).toEqual([]);
    expect(await blobs()).toEqual([]);
  });

  it('keeps what a document listed that is damaged now', async () => {
    const image = await putImage(store, name('1'), { unpack: true });
    await rm(join(store.root, 'blobs', image.target.digest.replace(':', '/')));
    expect(await collectGarbage(store)).toMatchObject({ blobs: [], snapshots: [], warnings: [] });
    expect(await snapshots()).toHaveLength(1);
  });

  it('removes what dead processes left in ingest/', async () => {
    await writeFile(join(store.root, 'ingest/index.json.0.tmp'), 'half');
    await collectGarbage(store);
    expect(await readdir(join(store.root, 'ingest'))).toEqual([]);
  });

  it('frees the same, image by image and all at once', { timeout: 120_000 }, async () => {
    const layer = fc.constantFrom('a', 'b', 'c', 'd');
    const image = fc.record({
      layers: fc.array(layer, { minLength: 1, maxLength: 3 }),
      inIndex: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(image, { minLength: 1, maxLength: 4 }),
        fc.nat(3),
        async (images, removed) => {
          const indexed: StoredImage['target'][] = [];
          for (const [i, { layers, inIndex }] of images.entries()) {
            const { target } = await putImage(store, inIndex ? undefined : name(`${i}`), {
              layers,
              unpack: true,
            });
            if (inIndex) indexed.push(target);
          }
          if (indexed.length > 0) await putIndex(store, name('index'), indexed);
          const names = (await store.images.list()).map((record) => record.name);
          const gone = names[removed % names.length] ?? '';
          const before = await blobs();
          const { freed } = await removeImage(store, gone);
          expect(await collectGarbage(store)).toMatchObject({ blobs: [], snapshots: [], freed: 0 });
          expect(await files()).toEqual(await blobs());
          expect(freed > 0).toBe((await blobs()).length < before.length);
          for (const rest of (await store.images.list()).map((record) => record.name))
            await removeImage(store, rest);
          expect([await files(), await snapshots(), await store.database.all('SELECT * FROM links')]).toEqual(
            [[], [], []],
          );
        },
      ),
      { numRuns: 25 },
    );
  });

  describe('the listing of images', () => {
    it('says what each takes, and how much of it is its own', async () => {
      const left = await putImage(store, name('left'), { layers: ['base', 'left'], unpack: true });
      await store.images.put({ name: name('left-again'), target: left.target });
      const right = await putImage(store, name('right'), { layers: ['base', 'right'] });
      const listed = await listImages(store);
      const sizeOf = (descriptors: readonly { size: number }[]): number =>
        descriptors.reduce((sum, { size }) => sum + size, 0);
      const [base] = left.layers;
      const usages = await Promise.all(
        chainIds(left.diffIds).map((chainId) => store.snapshotter.usage(chainId)),
      );
      const [bottom = 0, top = 0] = usages.map((usage) => usage.size);
      expect(bottom).toBeGreaterThan(8000);
      const leftFields = {
        digest: left.target.digest,
        imageId: left.config.digest,
        platforms: ['linux/amd64'],
        size: sizeOf([left.target, left.config, ...left.layers]),
        snapshotSize: bottom + top,
        unique: sizeOf([left.target, left.config, ...left.layers]) - (base?.size ?? 0) + top,
        shared: (base?.size ?? 0) + bottom,
        pinned: false,
      };
      expect(listed).toMatchObject([
        { name: name('left'), ...leftFields },
        { name: name('left-again'), ...leftFields },
        // The base's snapshot is of this image's chain too, though it was not unpacked.
        {
          name: name('right'),
          size: sizeOf([right.target, right.config, ...right.layers]),
          snapshotSize: bottom,
        },
      ]);
    });

    it('lists a damaged image with what is known of it', async () => {
      const image = await putImage(store, name('1'));
      await store.localContent.delete(image.target.digest);
      await store.localContent.delete(image.config.digest);
      expect(await listImages(store)).toMatchObject([
        { name: name('1'), size: image.layers[0]?.size, pinned: false },
      ]);
    });
  });

  it('counts what the store takes, and what of it would go', async () => {
    await putImage(store, name('1'), { layers: ['kept'], unpack: true });
    await putImage(store, undefined, { layers: ['lost'], unpack: true });
    const partial = Buffer.alloc(100, 'p');
    const descriptor = { mediaType: 'text/plain', digest: digestOf(partial), size: 100 };
    {
      await using writer = await store.content.ingest(descriptor);
      await writer?.write(0, partial.subarray(0, 60));
    }
    const garbage = await collectGarbage(store, { dryRun: true });
    const usage = await diskUsage(store);
    expect(usage).toMatchObject({
      root: store.root,
      blobs: { count: 6, reclaimable: garbage.blobs.reduce((sum, { size }) => sum + size, 0) },
      snapshots: { count: 2 },
      partials: { count: 1, bytes: 60, reclaimable: 0 },
      quarantine: { count: 0, bytes: 0 },
      reclaimable: garbage.freed,
    });
    let bytes = 0;
    for await (const { size } of store.localContent.list()) bytes += size;
    expect(usage.blobs.bytes).toBe(bytes);
    expect(usage.snapshots.reclaimable).toBe(garbage.freed - usage.blobs.reclaimable);
    expect(usage.snapshots.bytes).toBe(2 * usage.snapshots.reclaimable);
    expect(usage.database.bytes).toBeGreaterThan(0);
    expect(usage.total).toBe(
      usage.blobs.bytes + usage.snapshots.bytes + usage.partials.bytes + usage.database.bytes,
    );
    expect(existsSync(join(store.root, 'quarantine'))).toBe(false);
  });
});
