import { cp, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  ImageStore,
  JoinedImages,
  noteRepository,
  openAdditionalStores,
  openLayout,
  repositoryState,
} from '../../src/content/index.js';
import type { MetadataDatabase } from '../../src/metadata/index.js';
import { digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { filesBelow } from '../support/files-below.js';

const target = (text: string): { mediaType: string; digest: ReturnType<typeof digestOf>; size: number } => ({
  mediaType: MEDIA_TYPES.ociManifest,
  digest: digestOf(Buffer.from(text)),
  size: text.length,
});

describe('additional stores', () => {
  let work: string;
  let main: string;
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-additional-'));
    main = join(work, 'main');
    await mkdir(main);
  });
  afterEach(() => rm(work, { recursive: true, force: true }));

  /** A store with these names, each for a target that is its own. */
  const store = async (name: string, ...images: string[]): Promise<string> => {
    const root = join(work, name);
    const database = await openLayout(root);
    for (const image of images) {
      await new ImageStore(root, database).put({ name: image, target: target(`${name} ${image}`) });
    }
    await database.close();
    return root;
  };

  const rootsOf = async (...roots: string[]): Promise<string[]> => {
    const opened = await openAdditionalStores(roots, main);
    await Promise.all(opened.map(({ database }) => database.close()));
    return opened.map(({ root }) => root);
  };

  it('are opened in their order, by their real paths, each once, and never the main store', async () => {
    const [a, b] = [await store('a'), await store('b')];
    const link = join(work, 'link');
    await symlink(a, link);
    expect(await rootsOf(b, link, a, main, `${b}/`)).toEqual([b, a]);
    expect(await rootsOf()).toEqual([]);
  });

  it('are not written to, neither by opening nor on purpose', async () => {
    const root = await store('a', 'example.org/a:1');
    const before = await filesBelow(root);
    const [opened] = await openAdditionalStores([root], main);
    expect(await opened?.images.list()).toHaveLength(1);
    await expect(opened?.database.run('DELETE FROM images')).rejects.toMatchObject({ code: 'IN_USE' });
    await opened?.database.close();
    expect(await filesBelow(root)).toEqual(before);
  });

  it.each<[string, (root: string) => Promise<unknown>, RegExp]>([
    ['is not there', (root) => rm(root, { recursive: true }), /there is no store/],
    ['is no store', (root) => rm(join(root, 'oci-layout')), /there is no store/],
    ['has lost its database', (root) => rm(join(root, 'metadata.db')), /there is no store/],
    ['has an empty database', (root) => truncate(join(root, 'metadata.db')), /is empty/],
    ['has a damaged database', (root) => writeFile(join(root, 'metadata.db'), 'x'.repeat(9000)), /damaged/],
    // prettier-ignore
    ['is a file', async (root) => { await rm(root, { recursive: true }); await writeFile(root, ''); }, /ENOTDIR/],
  ])('one that %s is an error that names it', async (_, damage, message) => {
    const [whole, root] = [await store('whole'), await store('broken')];
    await damage(root);
    const opening = openAdditionalStores([whole, root], main);
    await expect(opening).rejects.toMatchObject({ code: 'INVALID_CONFIG', details: { path: root } });
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toThrow(root);
  });

  it('of an older schema are read for what that has', async () => {
    const root = await store('old', 'example.org/a:1');
    const database = await openLayout(root);
    for (const table of ['documents', 'links', 'chain_links', 'discarded']) {
      await database.run(`DROP TABLE ${table}`);
    }
    await database.run('PRAGMA user_version = 1');
    await database.close();
    const [opened] = await openAdditionalStores([root], main);
    expect(await opened?.images.list()).toHaveLength(1);
    expect((await opened?.manifests.all())?.size).toBe(0);
    await opened?.database.close();
  });

  it('of schema 5 are read for what its labels say', async () => {
    const root = await store('old', 'example.org/a:1');
    const { digest } = target('blob');
    const database = await openLayout(root);
    for (const name of ['images_by_older_update', 'blobs_by_older_update']) {
      await database.run(`DROP TRIGGER ${name}`);
    }
    await database.run('ALTER TABLE images DROP COLUMN discard_layers');
    await database.run('UPDATE images SET labels = ?', ['{"a":"b","landfall/discard-layers":"true"}']);
    await database.run('INSERT INTO blobs (digest, size, created_at, labels) VALUES (?, 1, 1, ?)', [
      digest,
      '{"landfall.pushed-to":"example.org/a example.org/b","landfall.deleted-from":"example.org/c"}',
    ]);
    await database.run('PRAGMA user_version = 5');
    await database.close();
    const [own, additional] = [await openLayout(main), await openAdditionalStores([root], main)];
    const image = await additional[0]?.images.get('example.org/a:1');
    expect(image).toMatchObject({ labels: { a: 'b' }, discardLayers: true });
    const stores = { database: own, additional };
    expect(await repositoryState(stores, digest, 'example.org/b')).toBe('pushed');
    expect(await repositoryState(stores, digest, 'example.org/c')).toBe('deleted');
    expect(await repositoryState(stores, digest, 'example.org/d')).toBeUndefined();
    expect(await noteRepository(own, { digest, repository: 'example.org/b', state: 'deleted' })).toBe(false);
    await Promise.all([own, ...additional.map((opened) => opened.database)].map((opened) => opened.close()));
  });

  it('with what its last writer left in the log are read with it', async () => {
    const root = await store('written');
    const writer: MetadataDatabase = await openLayout(root);
    await new ImageStore(root, writer).put({ name: 'example.org/late:1', target: target('late') });
    const copy = join(work, 'copy');
    await cp(root, copy, { recursive: true });
    await writer.close();
    const before = await filesBelow(copy);
    const [opened] = await openAdditionalStores([copy], main);
    expect(await opened?.images.get('example.org/late:1')).toMatchObject({ target: target('late') });
    await opened?.database.close();
    // SQLite gives the log and its index the database's owner, which they have.
    const unlogged = (lines: string[]): string[] => lines.filter((line) => !/-(wal|shm) /.test(line));
    expect(unlogged(await filesBelow(copy))).toEqual(unlogged(before));
  });

  it('join their names to those of the main store, where the first that has one counts', async () => {
    const roots = [
      await store('a', 'example.org/a:1', 'example.org/both:1'),
      await store('b', 'example.org/b:1', 'example.org/both:1', 'example.org/own:1'),
    ];
    const own = await openLayout(await store('own', 'example.org/own:1', 'example.org/z:1'));
    const images = new ImageStore(join(work, 'own'), own);
    const additional = await openAdditionalStores(roots, main);
    const joined = new JoinedImages(images, additional);
    const [a, b] = roots;
    expect((await joined.list()).map((image) => [image.name, image.additionalRoot])).toEqual([
      ['example.org/a:1', a],
      ['example.org/b:1', b],
      ['example.org/both:1', a],
      ['example.org/own:1', undefined],
      ['example.org/z:1', undefined],
    ]);
    for (const image of await joined.list()) expect(await joined.get(image.name)).toEqual(image);
    expect((await joined.get('example.org/both:1'))?.target).toEqual(target('a example.org/both:1'));
    expect((await joined.get('example.org/own:1'))?.target).toEqual(target('own example.org/own:1'));
    expect(await joined.get('example.org/none:1')).toBeUndefined();
    for (const { database } of [{ database: own }, ...additional]) await database.close();
  });
});
