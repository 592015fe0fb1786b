import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { blobPath, LocalContentStore } from '../../src/content/index.js';
import { encodedOf } from '../../src/spec/index.js';
import { begin, contentOf, describing, digestIn, put } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';

describe('LocalContentStore', () => {
  let scratch: ScratchRoot;
  let store: LocalContentStore;
  const bytes = randomBytes(10_000);
  beforeEach(async () => {
    scratch = await scratchRoot();
    ({ store } = scratch);
  });
  afterEach(async () => scratch[Symbol.asyncDispose]());

  const inIngest = (): Promise<string[]> => readdir(join(scratch.root, 'ingest'));

  it('lays blobs out as an OCI layout does, read-only, and leaves nothing else', async () => {
    const { digest } = await put(store, bytes);
    const path = join(scratch.root, 'blobs', 'sha256', encodedOf(digest));
    expect(await store.path(digest)).toBe(path);
    const file = await stat(path);
    expect([file.mode & 0o777, file.size]).toEqual([0o444, bytes.length]);
    expect(await inIngest()).toEqual([]);
  });

  it('records where a blob came from', async () => {
    const descriptor = describing(bytes);
    await using writer = await store.ingest(descriptor, { source: 'docker.io/library/alpine' });
    await writer?.write(0, bytes);
    await writer?.commit();
    expect(await scratch.database.get('SELECT digest, size, source FROM blobs')).toEqual({
      digest: descriptor.digest,
      size: bytes.length,
      source: 'docker.io/library/alpine',
    });
  });

  it('lets a file that was opened while it grew be read after the commit', async () => {
    const descriptor = describing(bytes);
    await using writer = await begin(store, descriptor);
    await writer.write(0, bytes.subarray(0, 5000));
    const reader = await open(writer.path, 'r');
    try {
      await writer.write(5000, bytes.subarray(5000));
      await writer.commit();
      expect(writer.path).toBe(await store.path(descriptor.digest));
      expect((await reader.readFile()).equals(bytes)).toBe(true);
    } finally {
      await reader.close();
    }
  });

  it.each([
    ['an ingest that nothing was written to', async () => (await begin(store, describing(bytes)))[Symbol.asyncDispose]()], // prettier-ignore
    ['an ingest that was discarded', async () => (await begin(store, describing(bytes))).discard()],
    ['the deletion of a blob that is not there', () => store.delete(describing(bytes).digest)],
  ])('leaves nothing of %s', async (_, act) => {
    await act();
    expect(await inIngest()).toEqual([]);
  });

  it('keeps no names and no bytes of what it refused', async () => {
    await using writer = await begin(store, describing(bytes));
    await writer.write(0, randomBytes(bytes.length));
    await expect(writer.commit()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(await inIngest()).toEqual([]);
    expect(await readdir(join(scratch.root, 'blobs', 'sha256'))).toEqual([]);
    expect(await scratch.database.all('SELECT * FROM blobs')).toEqual([]);
  });

  describe.each<[string, (path: string) => Promise<void>, string]>([
    ['is missing', (path) => rm(path), 'BLOB_NOT_FOUND'],
    ['is too short', (path) => truncate(path, 5), 'SIZE_MISMATCH'],
    ['is too long', (path) => truncate(path, 20_000), 'SIZE_MISMATCH'],
    [
      'is a directory',
      (path) =>
        rm(path)
          .then(() => mkdir(path))
          .then(() => undefined),
      'SIZE_MISMATCH',
    ],
  ])('a blob whose file %s', (_, damage, code) => {
    it('counts as absent, and says why it cannot be read', async () => {
      const descriptor = await put(store, bytes);
      await damage(blobPath(scratch.root, descriptor.digest));
      expect(await store.info(descriptor.digest)).toBeUndefined();
      await expect(store.path(descriptor.digest)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
      await expect(store.open(descriptor)).rejects.toMatchObject({ code });
    });
  });

  it.each<[string, (path: string) => Promise<void>]>([
    ['missing', (path) => rm(path)],
    ['short', (path) => truncate(path, 5)],
  ])('repairs a blob whose file is %s, when it comes again', async (_, damage) => {
    const descriptor = await put(store, bytes);
    await damage(blobPath(scratch.root, descriptor.digest));
    await put(store, bytes);
    expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
  });

  it('does not take a file for a blob that no commit has named', async () => {
    const descriptor = describing(bytes);
    await writeFile(blobPath(scratch.root, descriptor.digest), 'anything');
    expect(await store.info(descriptor.digest)).toBeUndefined();
    await expect(store.open(descriptor)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    await put(store, bytes);
    expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
  });

  it('fails in the middle of a blob that is cut off while it is read', async () => {
    const large = randomBytes(2_000_000);
    const descriptor = await put(store, large);
    const stream = await store.open(descriptor);
    await truncate(blobPath(scratch.root, descriptor.digest), 100);
    await expect(contentOf(stream)).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
  });

  it('commits no row without its file: a store that cannot rename has neither', async () => {
    const descriptor = describing(bytes);
    await using writer = await begin(store, descriptor);
    await writer.write(0, bytes);
    // A directory that is not empty stands where the file is to go.
    await mkdir(join(blobPath(scratch.root, descriptor.digest), 'in-the-way'), { recursive: true });
    await expect(writer.commit()).rejects.toMatchObject({ code: 'FILESYSTEM' });
    expect(await scratch.database.all('SELECT * FROM blobs')).toEqual([]);
    await writer[Symbol.asyncDispose]();
    await rm(blobPath(scratch.root, descriptor.digest), { recursive: true });
    await using again = await begin(store, descriptor);
    expect(again.frontier).toBe(bytes.length);
    await again.commit();
  });

  it('keeps one writer for a blob across stores on one root', async () => {
    const other = new LocalContentStore(scratch.root, scratch.database);
    const descriptor = describing(bytes);
    const writer = await begin(store, descriptor);
    const waiting = other.ingest(descriptor);
    await writer.write(0, bytes);
    await writer.commit();
    expect(await waiting).toBeUndefined();
    expect(await inIngest()).toEqual([]);
  });

  it('lists more blobs than one page has', async () => {
    const rows = Array.from({ length: 2500 }, (_, index) => `('sha256:${index.toString(16).padStart(64, '0')}', 1, 1)`); // prettier-ignore
    await scratch.database.run(`INSERT INTO blobs (digest, size, created_at) VALUES ${rows.join(',')}`);
    const seen = new Set<string>();
    for await (const { digest } of store.list()) seen.add(digest);
    expect(seen.size).toBe(2500);
  });
});
