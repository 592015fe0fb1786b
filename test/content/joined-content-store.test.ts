import { randomBytes } from 'node:crypto';
import { readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { blobPath, JoinedContentStore } from '../../src/content/index.js';
import { type Descriptor, MEDIA_TYPES } from '../../src/spec/index.js';
import { contentStoreSuite } from '../suites/content-store.js';
import { begin, contentOf, describing, digestIn, put, writableBlob } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';

contentStoreSuite('with an additional one that has nothing', async () => {
  const [own, other] = [await scratchRoot(), await scratchRoot()];
  return {
    store: new JoinedContentStore(own.store, [other.store]),
    close: async () => {
      await own[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
    },
  };
});

describe('JoinedContentStore', () => {
  const bytes = randomBytes(10_000);
  let roots: [own: ScratchRoot, first: ScratchRoot, second: ScratchRoot];
  let joined: JoinedContentStore;
  beforeEach(async () => {
    roots = [await scratchRoot(), await scratchRoot(), await scratchRoot()];
    const [own, first, second] = roots;
    joined = new JoinedContentStore(own.store, [first.store, second.store]);
  });
  afterEach(async () => {
    for (const root of roots) await root[Symbol.asyncDispose]();
  });

  it.each([1, 2] as const)('reads what only additional store %i has, where it lies', async (which) => {
    const descriptor = await put(roots[which].store, bytes);
    expect(await joined.info(descriptor.digest)).toMatchObject({ size: bytes.length });
    expect(await contentOf(await joined.open(descriptor, { offset: 10, length: 20 }))).toEqual(
      bytes.subarray(10, 30),
    );
    expect(await joined.path(descriptor.digest)).toBe(blobPath(roots[which].root, descriptor.digest));
  });

  it('prefers its own, then the first that has it', async () => {
    const [own, first, second] = roots;
    const { digest } = await put(second.store, bytes);
    await put(first.store, bytes);
    expect(await joined.path(digest)).toBe(blobPath(first.root, digest));
    await put(own.store, bytes);
    expect(await joined.path(digest)).toBe(blobPath(own.root, digest));
    await own.store.update(digest, { labels: { whose: 'own' } });
    expect(await joined.info(digest)).toMatchObject({ labels: { whose: 'own' } });
  });

  it('goes on to the next where a blob is damaged', async () => {
    const [own, first] = roots;
    const descriptor = await put(own.store, bytes);
    await put(first.store, bytes);
    await truncate(await writableBlob(own.root, descriptor.digest), 5);
    expect(await digestIn(joined, descriptor)).toBe(descriptor.digest);
    expect(await joined.ingest(descriptor)).toBeUndefined();
  });

  it('says what is missing as its own store does', async () => {
    const nowhere = describing(bytes);
    await expect(joined.open(nowhere)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    await expect(joined.path(nowhere.digest)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
  });

  it('ingests nothing that an additional store has, and copies no layer', async () => {
    const [own, , second] = roots;
    const descriptor = await put(second.store, bytes);
    expect(await joined.ingest(descriptor)).toBeUndefined();
    expect(await own.store.info(descriptor.digest)).toBeUndefined();
    expect(await readdir(join(own.root, 'ingest'))).toEqual([]);
    await expect(joined.ingest({ ...descriptor, size: 1 })).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
  });

  it.each([
    MEDIA_TYPES.ociIndex,
    MEDIA_TYPES.ociManifest,
    MEDIA_TYPES.ociConfig,
    MEDIA_TYPES.dockerList,
    MEDIA_TYPES.dockerManifest,
    MEDIA_TYPES.dockerConfig,
  ])('copies a document when it is ingested, with where it came from: %s', async (mediaType) => {
    const [own, first] = roots;
    const descriptor: Descriptor = { ...describing(bytes), mediaType };
    await using writer = await first.store.ingest(descriptor, { source: 'docker.io/library/alpine' });
    await writer?.write(0, bytes);
    await writer?.commit();
    expect(await joined.ingest(descriptor, { source: 'a mirror' })).toBeUndefined();
    expect(await digestIn(own.store, descriptor)).toBe(descriptor.digest);
    expect(await own.store.info(descriptor.digest)).toMatchObject({ source: 'docker.io/library/alpine' });
  });

  it('goes on with a document of which a part is here', async () => {
    const [own, first] = roots;
    const descriptor: Descriptor = { ...describing(bytes), mediaType: MEDIA_TYPES.ociConfig };
    await put(first.store, bytes);
    {
      await using begun = await begin(own.store, descriptor);
      await begun.write(0, bytes.subarray(0, 100));
    }
    expect(await joined.ingest(descriptor)).toBeUndefined();
    expect(await digestIn(own.store, descriptor)).toBe(descriptor.digest);
  });

  it('lets a document be fetched whose copy turns out to be damaged', async () => {
    const [own, first] = roots;
    const descriptor: Descriptor = { ...describing(bytes), mediaType: MEDIA_TYPES.ociManifest };
    await put(first.store, bytes);
    await writeFile(await writableBlob(first.root, descriptor.digest), randomBytes(bytes.length));
    await using writer = await joined.ingest(descriptor);
    expect(writer?.offset).toBe(0);
    await writer?.write(0, bytes);
    await writer?.commit();
    expect(await digestIn(own.store, descriptor)).toBe(descriptor.digest);
    expect(await digestIn(joined, descriptor)).toBe(descriptor.digest);
  });

  it('writes, lists once and deletes as one store, and leaves the additional ones alone', async () => {
    const [own, first, second] = roots;
    const shared = await put(first.store, bytes);
    await put(second.store, bytes);
    const fresh = await put(joined, randomBytes(10));
    expect(await own.store.info(fresh.digest)).toBeDefined();
    const listed: string[] = [];
    for await (const { digest } of joined.list()) listed.push(digest);
    expect(listed.sort()).toEqual([shared.digest, fresh.digest].sort());
    await joined.delete(fresh.digest);
    await joined.delete(shared.digest);
    expect(await joined.info(fresh.digest)).toBeUndefined();
    expect(await joined.info(shared.digest)).toBeDefined();
    expect((await stat(blobPath(first.root, shared.digest))).size).toBe(bytes.length);
  });

  it('labels its own blobs only', async () => {
    const [, first] = roots;
    const own = await put(joined, randomBytes(10));
    const other = await put(first.store, bytes);
    expect(await joined.update(own.digest, { labels: { a: '1' } })).toMatchObject({ labels: { a: '1' } });
    await expect(joined.update(other.digest, { labels: {} })).rejects.toMatchObject({
      code: 'BLOB_NOT_FOUND',
    });
  });
});
