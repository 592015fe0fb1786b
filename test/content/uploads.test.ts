import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { expireUploads, LocalContentStore, openLayout, Uploads } from '../../src/content/index.js';
import type { MetadataDatabase } from '../../src/metadata/index.js';
import { digestOf } from '../../src/spec/index.js';

const FACTS = { repository: 'docker.io/team/app', algorithm: 'sha256' } as const;

let root: string;
let database: MetadataDatabase;
let local: LocalContentStore;
let uploads: Uploads;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-uploads-'));
  database = await openLayout(root);
  local = new LocalContentStore(root, database);
  uploads = new Uploads({ local, content: local });
});

afterEach(async () => {
  await database.close();
  await rm(root, { recursive: true, force: true });
});

const left = (): Promise<string[]> => readdir(join(root, 'ingest', 'uploads'));

async function filled(bytes: Buffer): Promise<string> {
  const id = await uploads.begin(FACTS);
  await using writer = await uploads.open(id);
  await writer?.append(bytes);
  return id;
}

describe('an upload', () => {
  test('becomes a blob by its name, read-only and without a second copy', async () => {
    const bytes = randomBytes(100_000);
    const id = await filled(bytes);
    const before = await stat(join(root, 'ingest', 'uploads', id, 'data'));
    await using writer = await uploads.open(id);
    const info = await writer?.commit(digestOf(bytes));
    expect(info?.size).toBe(bytes.length);
    const blob = await stat(await local.path(digestOf(bytes)));
    expect([blob.ino, blob.mode & 0o777]).toEqual([before.ino, 0o444]);
    expect(await left()).toEqual([]);
  });

  test('of what is here already goes, and the blob stays', async () => {
    const bytes = randomBytes(1000);
    for (let n = 0; n < 2; n += 1) {
      await using writer = await uploads.open(await filled(bytes));
      await writer?.commit(digestOf(bytes));
    }
    expect((await local.info(digestOf(bytes)))?.size).toBe(1000);
    expect(await left()).toEqual([]);
  });

  test('takes the place of a partial download of the same blob', async () => {
    const bytes = randomBytes(1000);
    const descriptor = { mediaType: 'x/y', digest: digestOf(bytes), size: bytes.length };
    {
      await using partial = await local.ingest(descriptor);
      await partial?.write(0, bytes.subarray(0, 100));
    }
    await using writer = await uploads.open(await filled(bytes));
    await writer?.commit(digestOf(bytes));
    expect(await local.ingest(descriptor)).toBeUndefined();
    expect((await readdir(join(root, 'ingest'))).sort()).toEqual(['uploads']);
  });

  test('waits for a download of the same blob that is under way', async () => {
    const bytes = randomBytes(1000);
    const digest = digestOf(bytes);
    const download = await local.ingest({ mediaType: 'x/y', digest, size: bytes.length });
    await using writer = await uploads.open(await filled(bytes));
    const committed = writer?.commit(digest);
    await download?.write(0, bytes);
    await download?.commit();
    expect((await committed)?.digest).toBe(digest);
    expect(await left()).toEqual([]);
  });

  test('that is not what it was to be is thrown away', async () => {
    await using writer = await uploads.open(await filled(Buffer.from('one')));
    await expect(writer?.commit(digestOf(Buffer.from('other')))).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
    expect(await left()).toEqual([]);
  });

  test('is refused to another process while this one writes it', async () => {
    const id = await filled(Buffer.from('x'));
    await using writer = await uploads.open(id);
    const others = new Uploads({ local, content: local });
    await expect(others.open(id)).rejects.toMatchObject({ code: 'IN_USE' });
    expect(writer?.size).toBe(1);
    expect((await others.status(id))?.size).toBe(1);
  });

  test('is given up by its writer when another one asks, with what had come', async () => {
    const id = await filled(Buffer.from('one '));
    const first = await uploads.open(id);
    first?.superseded.addEventListener('abort', () => void first[Symbol.asyncDispose]());
    await using second = await uploads.open(id);
    await second?.append(Buffer.from('two'));
    await second?.commit(digestOf(Buffer.from('one two')));
    expect(first?.superseded.aborted).toBe(true);
    expect(await local.info(digestOf(Buffer.from('one two')))).toBeDefined();
  });

  test.each(['..', '../..', 'data', randomUUID()])('of the id %s is unknown', async (id) => {
    expect(await uploads.open(id)).toBeUndefined();
    expect(await uploads.status(id)).toBeUndefined();
  });
});

test('uploads expire by the age of their last byte', async () => {
  await filled(Buffer.from('abc'));
  expect(await expireUploads(root, { olderThanMs: 60_000 })).toEqual({ uploads: 0, bytes: 0 });
  await writeFile(join(root, 'ingest', 'uploads', 'stranger'), '');
  // Times of files are finer than those of clocks.
  await sleep(2);
  expect(await expireUploads(root, { olderThanMs: 0, dryRun: true })).toEqual({ uploads: 1, bytes: 3 });
  expect(await expireUploads(root, { olderThanMs: 0 })).toEqual({ uploads: 1, bytes: 3 });
  expect(await left()).toEqual(['stranger']);
});
