import { mkdir, readdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  blobPath,
  dropBlobs,
  findMissingBlobs,
  removeOrphanBlobs,
  unkeptBlobs,
} from '../../src/content/index.js';
import { type Digest, encodedOf } from '../../src/spec/index.js';
import { begin, describing, put } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';

describe('sweeping blobs', () => {
  let scratch: ScratchRoot;
  beforeEach(async () => {
    scratch = await scratchRoot();
  });
  afterEach(async () => scratch[Symbol.asyncDispose]());

  const files = (): Promise<string[]> => readdir(join(scratch.root, 'blobs', 'sha256'));
  const drop = (...digests: Digest[]): Promise<void> =>
    scratch.database.transaction((transaction) =>
      dropBlobs(
        transaction,
        digests.map((digest) => ({ digest, size: 1 })),
      ),
    );

  it('takes what nobody keeps: the row first, then the file', async () => {
    const kept = await put(scratch.store, Buffer.from('kept'));
    const gone = await put(scratch.store, Buffer.from('gone!'));
    const unkept = await unkeptBlobs(scratch.database, (digest) => digest === kept.digest);
    expect(unkept).toEqual([{ digest: gone.digest, size: 5 }]);
    await drop(gone.digest);
    expect(await scratch.store.info(gone.digest)).toBeUndefined();
    expect(await files()).toHaveLength(2);
    const orphan = { digest: gone.digest, size: 5 };
    expect(await removeOrphanBlobs(scratch.root, scratch.database, { dryRun: true })).toEqual([orphan]);
    expect(await files()).toHaveLength(2);
    expect(await removeOrphanBlobs(scratch.root, scratch.database)).toEqual([orphan]);
    expect(await removeOrphanBlobs(scratch.root, scratch.database)).toEqual([]);
    expect(await scratch.store.info(kept.digest)).toBeDefined();
    expect(await files()).toHaveLength(1);
    expect(await readdir(join(scratch.root, 'ingest'))).toEqual([]);
  });

  it('leaves an orphan whose blob is on its way again', async () => {
    const descriptor = describing(Buffer.from('again'));
    const { digest } = descriptor;
    await using writer = await begin(scratch.store, descriptor);
    await writeFile(blobPath(scratch.root, digest), 'again');
    expect(await removeOrphanBlobs(scratch.root, scratch.database)).toEqual([]);
    await writer.write(0, Buffer.from('again'));
    await writer.commit();
    expect(await removeOrphanBlobs(scratch.root, scratch.database)).toEqual([]);
    expect(await scratch.store.info(digest)).toBeDefined();
  });

  it('finds blobs whose directory is a link to another disk', async () => {
    const kept = await put(scratch.store, Buffer.from('kept'));
    const gone = await put(scratch.store, Buffer.from('gone!'));
    const [directory, elsewhere] = [join(scratch.root, 'blobs', 'sha256'), join(scratch.root, 'elsewhere')];
    await rename(directory, elsewhere);
    await symlink(elsewhere, directory);
    await drop(gone.digest);
    expect(await findMissingBlobs(scratch.root, scratch.database)).toMatchObject({ checked: 1, faults: [] });
    const swept = await removeOrphanBlobs(scratch.root, scratch.database);
    expect(swept).toEqual([{ digest: gone.digest, size: 5 }]);
    expect(await readdir(elsewhere)).toEqual([encodedOf(kept.digest)]);
  });

  it('touches nothing that is not named as a blob', async () => {
    await writeFile(join(scratch.root, 'blobs', 'sha256', 'notes'), '');
    await mkdir(blobPath(scratch.root, describing(Buffer.from('directory')).digest));
    expect(await removeOrphanBlobs(scratch.root, scratch.database)).toEqual([]);
    expect(await files()).toHaveLength(2);
  });

  it('drops many rows at once', async () => {
    const digests = Array.from({ length: 1200 }, (_, at) => describing(Buffer.from(String(at))).digest);
    const rows = digests.map((digest) => `('${digest}', 1, 1)`).join(',');
    await scratch.database.run(`INSERT INTO blobs (digest, size, created_at) VALUES ${rows}`);
    await drop(...digests);
    expect(await scratch.database.all('SELECT * FROM blobs')).toEqual([]);
  });
});
