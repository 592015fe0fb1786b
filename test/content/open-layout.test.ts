import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ImageStore, LocalContentStore, openLayout } from '../../src/content/index.js';
import type { MetadataDatabase } from '../../src/metadata/index.js';
import { describing, put } from './blobs.js';
import { scratchDirectory } from './scratch-root.js';

describe('openLayout', () => {
  let directory: Awaited<ReturnType<typeof scratchDirectory>>;
  let root: string;
  beforeEach(async () => {
    directory = await scratchDirectory();
    root = join(directory.path, 'a', 'store');
  });
  afterEach(async () => directory[Symbol.asyncDispose]());

  const readJson = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(root, name), 'utf8')) as unknown;
  const withDatabase = async (use: (database: MetadataDatabase) => Promise<unknown>): Promise<void> => {
    await using database = await openLayout(root);
    await use(database);
  };
  const nothing = (): Promise<void> => Promise.resolve();
  const withBlob = (): Promise<void> =>
    withDatabase((database) => put(new LocalContentStore(root, database), Buffer.from('x')));
  const withSnapshot = async (): Promise<void> => {
    await withDatabase(nothing);
    await mkdir(join(root, 'snapshots', '1'));
  };
  const withImage = (): Promise<void> =>
    withDatabase((database) =>
      new ImageStore(root, database).put({
        name: 'docker.io/library/a:1',
        target: describing(Buffer.from('x')),
      }),
    );

  it('makes an OCI layout, with the snapshots out of reach', async () => {
    await withDatabase(nothing);
    expect(await readJson('oci-layout')).toEqual({ imageLayoutVersion: '1.0.0' });
    expect(await readJson('index.json')).toEqual({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [],
    });
    expect((await stat(join(root, 'snapshots'))).mode & 0o777).toBe(0o700);
    expect((await stat(join(root, 'blobs', 'sha256'))).isDirectory()).toBe(true);
  });

  it.each([
    ['nothing', nothing],
    ['a blob', withBlob],
    ['a snapshot', withSnapshot],
    ['an image', withImage],
  ])('opens a store that has %s again', async (_, fill) => {
    await fill();
    await withDatabase(nothing);
  });

  describe.each([
    ['a blob', withBlob],
    ['a snapshot', withSnapshot],
    ['an image in its index', withImage],
  ])('a store that has %s', (_, fill) => {
    it.each<[string, (file: string) => Promise<void>]>([
      ['lost', (file) => rm(file)],
      ['empty', (file) => truncate(file, 0)],
      ['overwritten', (file) => writeFile(file, 'x'.repeat(5000))],
    ])('gets no new database in place of one that is %s', async (__, damage) => {
      await fill();
      const file = join(root, 'metadata.db');
      await damage(file);
      const before = await readFile(file, 'latin1').catch(() => 'missing');
      await expect(openLayout(root)).rejects.toMatchObject({
        code: 'STORE_CORRUPT',
        hint: expect.stringContaining('fsck --rebuild') as string,
      });
      expect(await readFile(file, 'latin1').catch(() => 'missing')).toBe(before);
    });
  });

  it.each<[string, () => Promise<unknown>]>([
    ['its database was lost', () => rm(join(root, 'metadata.db'))],
    ['its database is empty', () => truncate(join(root, 'metadata.db'), 0)],
    ['its layout file is missing', () => rm(join(root, 'oci-layout'))],
  ])('makes up an empty store when %s', async (_, damage) => {
    await withDatabase(nothing);
    await damage();
    await withDatabase((database) => database.get('SELECT * FROM images'));
    expect(await readJson('oci-layout')).toEqual({ imageLayoutVersion: '1.0.0' });
  });

  it.each<[string, () => Promise<unknown>]>([
    ['is missing', () => rm(join(root, 'index.json'))],
    ['is empty', () => truncate(join(root, 'index.json'), 0)],
  ])('writes the index again when it %s', async (_, damage) => {
    await withImage();
    await damage();
    await withDatabase(nothing);
    expect(await readJson('index.json')).toMatchObject({ manifests: [{ size: 1 }] });
  });

  it('writes the index that a process died before', async () => {
    await withImage();
    await withDatabase(async (database) => {
      await database.run('DELETE FROM images');
      await database.run("INSERT INTO pending (task, token) VALUES ('index.json', 1)");
    });
    expect(await readJson('index.json')).toMatchObject({ manifests: [{ size: 1 }] });
    await withDatabase(async (database) => {
      expect(await readJson('index.json')).toMatchObject({ manifests: [] });
      expect(await database.all('SELECT * FROM pending')).toEqual([]);
    });
  });

  it('refuses a store of a newer program', async () => {
    await withDatabase((database) => database.run('PRAGMA user_version = 999'));
    await expect(openLayout(root)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  it('refuses to make a store where one must be', async () => {
    const refused = openLayout(root, { mustExist: true });
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    await expect(stat(root)).rejects.toMatchObject({ code: 'ENOENT' });
    await withDatabase(nothing);
    await (await openLayout(root, { mustExist: true })).close();
  });

  it.each<[string, () => Promise<void>]>([
    ['is a file', async () => writeFile(root, '')],
    ['is a link to nothing', async () => symlink('nowhere', root)],
    ['lies below a file', async () => writeFile(root, '').then(() => void (root = join(root, 'store')))],
    ['lies in /proc', () => Promise.resolve(void (root = '/proc/landfall'))],
  ])('says what to do when the root %s', async (_, prepare) => {
    await mkdir(join(directory.path, 'a'), { recursive: true });
    await prepare();
    await expect(openLayout(root)).rejects.toMatchObject({
      code: 'FILESYSTEM',
      hint: expect.stringContaining('--root') as string,
    });
  });

  it('says so when the root may not be written', async () => {
    await mkdir(root, { recursive: true });
    await chmod(root, 0o555);
    await chmod(directory.path, 0o755);
    const script = `import { openLayout } from ${JSON.stringify(new URL('../../dist/src/content/index.js', import.meta.url).href)};
      // Not before all of the program is loaded, native modules too: nobody else may read where it lies.
      await (await openLayout(${JSON.stringify(join(directory.path, 'loaded'))})).close();
      if (process.getuid() === 0) process.setuid(65534);
      await openLayout(${JSON.stringify(root)}).catch((error) => console.log(JSON.stringify(error)));`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(JSON.parse(output)).toMatchObject({
      code: 'FILESYSTEM',
      hint: expect.stringContaining('--root') as string,
    });
  });
});
