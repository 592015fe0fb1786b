import { createReadStream, type Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { type Abortable, systemCode, throwIfAborted } from '../errors.js';
import type { DamagedDatabase, MetadataDatabase } from '../metadata/index.js';
import { createDigester, type Digest, isDigest, isVerifiable } from '../spec/index.js';
import { blobOf } from './blob-rows.js';
import type { BlobInfo } from './content-store.js';
import { unlessMissing } from './file-error.js';
import { BLOBS } from './store-paths.js';

/** A file among the blobs that does not hold what its name says. */
export interface DamagedBlob {
  readonly digest: Digest;
  /** Bytes that are there. */
  readonly size: number;
  /** What they are; absent where the disk cannot read them. */
  readonly actual?: Digest;
}

export interface RebuiltBlobs {
  readonly count: number;
  readonly damaged: readonly DamagedBlob[];
  /** Whether it is known where blobs came from and what labels they had. */
  readonly complete: boolean;
}

interface FoundBlob {
  readonly digest: Digest;
  readonly path: string;
}

/** Files that are read at once: while the bytes of one are digested, those of the next arrive. */
const READERS = 2;
const PAGE = 1000;
const CHUNK_BYTES = 1024 * 1024;

/**
 * Records the blobs that are on disk and are what their names say; what else lies there gets no row. Where each came
 * from is taken from the old database, as far as that can be read.
 */
export async function rebuildBlobs(
  root: string,
  database: MetadataDatabase,
  old: DamagedDatabase | undefined,
  o: Abortable,
): Promise<RebuiltBlobs> {
  const known = await old?.read('blobs', 'digest', blobOf);
  const byDigest = new Map(known?.values.map((info) => [info.digest, info]));
  const whole: BlobInfo[] = [];
  const damaged: DamagedBlob[] = [];
  const found = (await findBlobs(root)).values();
  const check = async (): Promise<void> => {
    for (const { digest, path } of found) {
      throwIfAborted(o.signal);
      const { size, mtime } = await stat(path);
      const actual = await digestFile(path, digest, o);
      const before = byDigest.get(digest);
      if (actual !== digest) damaged.push({ digest, size, ...(actual === undefined ? {} : { actual }) });
      else whole.push({ labels: {}, createdAt: mtime, ...before, digest, size });
    }
  };
  await Promise.all(Array.from({ length: READERS }, check));
  await record(database, whole);
  return { count: whole.length, damaged, complete: known?.complete ?? false };
}

/** The files whose names are digests that this program can compute. */
async function findBlobs(root: string): Promise<readonly FoundBlob[]> {
  const found: FoundBlob[] = [];
  for (const directory of await entriesOf(join(root, BLOBS))) {
    if (!directory.isDirectory()) continue;
    for (const file of await entriesOf(join(root, BLOBS, directory.name))) {
      const digest = `${directory.name}:${file.name}`;
      if (!file.isFile() || !isDigest(digest) || !isVerifiable(digest)) continue;
      found.push({ digest, path: join(root, BLOBS, directory.name, file.name) });
    }
  }
  return found;
}

async function entriesOf(path: string): Promise<readonly Dirent[]> {
  return (await unlessMissing(readdir(path, { withFileTypes: true }))) ?? [];
}

async function digestFile(path: string, as: Digest, o: Abortable): Promise<Digest | undefined> {
  const digester = createDigester(as);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
      throwIfAborted(o.signal);
      digester.update(chunk as Buffer);
    }
    return digester.digest();
  } catch (error) {
    if (systemCode(error) === 'EIO') return undefined;
    throw error;
  }
}

async function record(database: MetadataDatabase, blobs: readonly BlobInfo[]): Promise<void> {
  for (let at = 0; at < blobs.length; at += PAGE) {
    const page = blobs.slice(at, at + PAGE);
    const rows = page.map(({ digest, size, createdAt, source, labels }) => [
      digest,
      size,
      createdAt.getTime(),
      source ?? null,
      JSON.stringify(labels),
    ]);
    await database.run(
      `INSERT INTO blobs (digest, size, created_at, source, labels)
       SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)`,
      [JSON.stringify(rows)],
    );
  }
}
