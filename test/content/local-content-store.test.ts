import { randomBytes } from 'node:crypto';
import {
  appendFile,
  chmod,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { blobPath, LocalContentStore } from '../../src/content/index.js';
import { encodedOf } from '../../src/spec/index.js';
import { begin, contentOf, describing, digestIn, put } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';

/** Changes the size of a blob's file, which nobody may write to but root. */
async function cut(path: string, size: number): Promise<void> {
  await chmod(path, 0o600);
  await truncate(path, size);
}

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
    // prettier-ignore
    ['an ingest that nothing was written to', async () => (await begin(store, describing(bytes)))[Symbol.asyncDispose]()],
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
    ['is too short', (path) => cut(path, 5), 'SIZE_MISMATCH'],
    ['is too long', (path) => cut(path, 20_000), 'SIZE_MISMATCH'],
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
    ['short', (path) => cut(path, 5)],
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
    await cut(blobPath(scratch.root, descriptor.digest), 100);
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
    expect(again.offset).toBe(bytes.length);
    await again.commit();
  });

  describe('a file that has no row, because its process died before it wrote one', () => {
    const descriptor = describing(bytes);
    const orphan = async (content: Uint8Array = bytes): Promise<string> => {
      const path = blobPath(scratch.root, descriptor.digest);
      await writeFile(path, content);
      return path;
    };

    it('is taken over, and nothing is downloaded', async () => {
      const path = await orphan();
      await chmod(path, 0o600);
      expect(await store.ingest(descriptor, { source: 'quay.io/a/b' })).toBeUndefined();
      expect(await store.info(descriptor.digest)).toMatchObject({
        size: bytes.length,
        source: 'quay.io/a/b',
      });
      expect((await stat(path)).mode & 0o777).toBe(0o444);
      expect(await inIngest()).toEqual([]);
    });

    it('is taken over where there is a row that gives it another size', async () => {
      await put(store, bytes);
      await scratch.database.run('UPDATE blobs SET size = 5, labels = \'{"kept":"yes"}\'');
      expect(await store.info(descriptor.digest)).toBeUndefined();
      expect(await store.ingest(descriptor)).toBeUndefined();
      expect(await store.info(descriptor.digest)).toMatchObject({
        size: bytes.length,
        labels: { kept: 'yes' },
      });
    });

    it('is removed where its content is not what its name says', async () => {
      const path = await orphan(randomBytes(bytes.length));
      await using writer = await begin(store, descriptor);
      expect(writer.missing()).toEqual([{ start: 0, end: bytes.length }]);
      await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
      expect(await store.info(descriptor.digest)).toBeUndefined();
    });

    it.each<[string, (path: string) => Promise<void>]>([
      ['is short', (path) => truncate(path, 50)],
      ['is long', (path) => truncate(path, 50_000)],
      ['is a link', async (path) => {
        await writeFile(join(scratch.root, '..', 'elsewhere'), bytes);
        await rm(path);
        await symlink(join(scratch.root, '..', 'elsewhere'), path);
      }], // prettier-ignore
    ])('is not believed when it %s', async (_, damage) => {
      await damage(await orphan());
      await put(store, bytes);
      expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
      expect((await stat(await store.path(descriptor.digest))).isFile()).toBe(true);
    });

    it('goes before a partial of the same blob, which is then of no use', async () => {
      await (async () => {
        await using writer = await begin(store, descriptor);
        await writer.write(0, bytes.subarray(0, 100));
      })();
      await orphan();
      expect(await store.ingest(descriptor)).toBeUndefined();
      expect(await inIngest()).toEqual([]);
    });
  });

  describe('a blob that comes again', () => {
    const again = async (source?: string): Promise<void> => {
      const descriptor = describing(bytes);
      await using writer = await store.ingest(descriptor, source === undefined ? {} : { source });
      await writer?.write(0, bytes);
      await writer?.commit();
    };
    const damage = (): Promise<void> => rm(blobPath(scratch.root, describing(bytes).digest));

    it('keeps its labels, and where it came from unless it comes from elsewhere', async () => {
      const { digest } = describing(bytes);
      await again('quay.io/a/b');
      await store.update(digest, { labels: { kept: 'yes' } });
      await damage();
      await again();
      expect(await store.info(digest)).toMatchObject({ source: 'quay.io/a/b', labels: { kept: 'yes' } });
      await damage();
      await again('ghcr.io/a/b');
      expect(await store.info(digest)).toMatchObject({ source: 'ghcr.io/a/b', labels: { kept: 'yes' } });
    });

    it.each<[string, () => Promise<unknown>]>([
      ['downloaded', () => again()],
      ['taken over', async () => {
        await writeFile(blobPath(scratch.root, describing(bytes).digest), bytes);
        await store.ingest(describing(bytes));
      }], // prettier-ignore
    ])('is no longer one that was dropped on purpose, when it is %s', async (_, bring) => {
      const { digest } = describing(bytes);
      const other = describing(Buffer.from('other'));
      await scratch.database.run(
        "INSERT INTO discarded (digest, size, source, discarded_at) VALUES (?, 1, 'quay.io/a/b', 1), (?, 1, NULL, 1)",
        [digest, other.digest],
      );
      await bring();
      expect(await scratch.database.all('SELECT digest FROM discarded')).toEqual([{ digest: other.digest }]);
      expect(await store.info(digest)).toMatchObject({ source: 'quay.io/a/b' });
    });
  });

  describe('a commit that cannot be recorded', () => {
    it('leaves neither row nor name, and the whole partial', async () => {
      const descriptor = describing(bytes);
      const writer = await begin(store, descriptor);
      await writer.write(0, bytes);
      await scratch.database.run(
        "CREATE TRIGGER refuse BEFORE INSERT ON blobs BEGIN SELECT RAISE(ABORT, 'refused'); END",
      );
      await expect(writer.commit()).rejects.toThrow('refused');
      await writer[Symbol.asyncDispose]();
      expect(await readdir(join(scratch.root, 'blobs', 'sha256'))).toEqual([]);
      await scratch.database.run('DROP TRIGGER refuse');
      await using again = await begin(store, descriptor);
      expect(again.missing()).toEqual([]);
      await again.commit();
      expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
    });

    it('says NO_SPACE where the database has none', async () => {
      const descriptor = describing(bytes);
      const writer = await store.ingest(descriptor, { source: 'x'.repeat(100_000) });
      await writer?.write(0, bytes);
      const pages = await scratch.database.get('PRAGMA page_count');
      await scratch.database.get(`PRAGMA max_page_count = ${Number(pages?.['page_count'])}`);
      await expect(writer?.commit()).rejects.toMatchObject({ code: 'NO_SPACE' });
      await writer?.[Symbol.asyncDispose]();
      await scratch.database.get('PRAGMA max_page_count = 100000');
      await using again = await begin(store, descriptor);
      expect(again.missing()).toEqual([]);
      await again.commit();
    });
  });

  it('keeps no record of a blob that comes in one piece, unless it has to wait for its commit', async () => {
    const descriptor = describing(bytes);
    const directory = join(scratch.root, 'ingest', `sha256-${encodedOf(descriptor.digest)}`);
    const writer = await begin(store, descriptor);
    await writer.write(0, bytes);
    expect((await readdir(directory)).sort()).toEqual(['data', 'lock']);
    await writer[Symbol.asyncDispose]();
    expect((await readdir(directory)).sort()).toEqual(['data', 'lock', 'state.json']);
    await using again = await begin(store, descriptor);
    expect(again.missing()).toEqual([]);
    await again.commit();
  });

  it('records what it is before the first of several pieces', async () => {
    const descriptor = describing(bytes);
    const directory = join(scratch.root, 'ingest', `sha256-${encodedOf(descriptor.digest)}`);
    await using writer = await begin(store, descriptor);
    await writer.write(0, bytes.subarray(0, 100));
    const state: unknown = JSON.parse(await readFile(join(directory, 'state.json'), 'utf8'));
    expect(state).toMatchObject({ mediaType: descriptor.mediaType, size: descriptor.size });
    expect(state).not.toHaveProperty('spans');
  });

  it('goes on with a partial that an older program left', async () => {
    const descriptor = describing(bytes);
    const directory = join(scratch.root, 'ingest', `sha256-${encodedOf(descriptor.digest)}`);
    await mkdir(directory);
    const { mediaType, size } = descriptor;
    // prettier-ignore
    await writeFile(join(directory, 'state.json'), JSON.stringify({ mediaType, size, startedAt: 1, frontier: 100 }));
    await writeFile(join(directory, 'data'), Buffer.concat([bytes.subarray(0, 100), Buffer.alloc(500)]));
    const first = await begin(store, descriptor);
    expect(first.missing()).toEqual([{ start: 100, end: size }]);
    await first[Symbol.asyncDispose]();
    // The file was cut to what is there, so that its length says the same.
    await using writer = await begin(store, descriptor);
    expect(writer.missing()).toEqual([{ start: 100, end: size }]);
    await writer.write(100, bytes.subarray(100));
    await writer.commit();
  });

  it('never lets the length of a partial speak for what did not arrive', async () => {
    const descriptor = describing(bytes);
    for (const [at, end] of [
      [5000, 6000],
      [0, 100],
    ] as const) {
      // prettier-ignore
      await using writer = await begin(store, descriptor);
      await writer.write(at, bytes.subarray(at, end));
    }
    const state = join(scratch.root, 'ingest', `sha256-${encodedOf(descriptor.digest)}`, 'state.json');
    expect(JSON.parse(await readFile(state, 'utf8'))).toMatchObject({
      spans: [{ start: 0, end: 100 }, { start: 5000, end: 6000 }], // prettier-ignore
    });
    await using third = await begin(store, descriptor);
    await third.write(100, bytes.subarray(100, 5000));
    await third[Symbol.asyncDispose]();
    // Contiguous again, so that no state need be written any more while it grows in order.
    expect(JSON.parse(await readFile(state, 'utf8'))).not.toHaveProperty('spans');
    await using fourth = await begin(store, descriptor);
    expect(fourth.missing()).toEqual([{ start: 6000, end: bytes.length }]);
  });

  it('never lets the length of a partial speak for a write that broke off', async () => {
    const descriptor = describing(bytes);
    const writer = await begin(store, descriptor);
    await writer.write(500, bytes.subarray(500, 600));
    await writer.write(0, bytes.subarray(0, 500));
    await appendFile(writer.path, 'a part of a chunk');
    await writer[Symbol.asyncDispose]();
    await using again = await begin(store, descriptor);
    expect(again.missing()).toEqual([{ start: 600, end: bytes.length }]);
  });

  it('closes a writer whose state cannot be written', async () => {
    const descriptor = describing(bytes);
    const writer = await begin(store, descriptor);
    await writer.write(500, bytes.subarray(500, 600));
    const state = join(scratch.root, 'ingest', `sha256-${encodedOf(descriptor.digest)}`, 'state.json');
    await rm(state);
    await mkdir(join(state, 'in-the-way'), { recursive: true });
    await writer[Symbol.asyncDispose]();
    await rm(state, { recursive: true });
    await using again = await begin(store, descriptor);
    expect(again.missing()).toEqual([{ start: 0, end: bytes.length }]);
  });

  it('makes a partial writable again that a process left in the middle of a commit', async () => {
    const descriptor = describing(bytes);
    const directory = join(scratch.root, 'ingest', `sha256-${encodedOf(descriptor.digest)}`);
    await (async () => {
      await using writer = await begin(store, descriptor);
      await writer.write(0, bytes.subarray(0, 100));
    })();
    await chmod(join(directory, 'data'), 0o444);
    await writeFile(join(directory, 'state.json.left-over'), '{');
    await using writer = await begin(store, descriptor);
    expect((await readdir(directory)).sort()).toEqual(['data', 'lock', 'state.json']);
    await writer.write(100, bytes.subarray(100));
    await writer.commit();
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
    // prettier-ignore
    const rows = Array.from({ length: 2500 }, (_, index) => `('sha256:${index.toString(16).padStart(64, '0')}', 1, 1)`);
    await scratch.database.run(`INSERT INTO blobs (digest, size, created_at) VALUES ${rows.join(',')}`);
    const seen = new Set<string>();
    for await (const { digest } of store.list()) seen.add(digest);
    expect(seen.size).toBe(2500);
  });
});
