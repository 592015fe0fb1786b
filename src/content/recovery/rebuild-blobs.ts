import { createReadStream, type Dirent } from 'node:fs';
import { readdir, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type Abortable, ContentError, systemCode, throwIfAborted } from '../../errors.js';
import {
  corruptDatabase,
  type DamagedDatabase,
  jsonOf,
  type MetadataDatabase,
  type ReadRows,
  type Row,
  textOf,
} from '../../metadata/index.js';
import {
  algorithmOf,
  createDigester,
  type Digest,
  encodedOf,
  isDigest,
  isVerifiable,
  parseDigest,
} from '../../spec/index.js';
import { blobOf } from '../store/blob-records.js';
import type { BlobInfo } from '../store/content-store.js';
import { type DiscardedBlob, discardedOf } from './discarded-blobs.js';
import { type ManifestChild, type ManifestInfo, ManifestStore, headOf } from '../images/manifests.js';
import {
  blobDirectory,
  blobPath,
  BLOBS,
  fileError,
  ingestPath,
  makeDirectory,
  syncDirectory,
  unlessMissing,
} from '../store/layout-files.js';
import {
  labelledRepositories,
  type NotedRepository,
  recordRepositories,
  stateOf,
} from '../images/repository-notes.js';
import { IngestDirectory } from '../store/ingest-directory.js';

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
const REPOSITORIES = 'blob_repositories';
const CHUNK_BYTES = 1024 * 1024;

/**
 * Records the blobs that are on disk and are what their names say; what else lies there gets no row. Where
 * each came from is taken from the old database, as far as that can be read.
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
  const notes = await notesOf(known?.values ?? [], old);
  await record(
    database,
    whole.map((blob) => ({ ...blob, labels: labelledRepositories(blob.labels).others })),
  );
  await recordRepositories(database, notes.values);
  return { count: whole.length, damaged, complete: known?.complete === true && notes.complete };
}

/**
 * The repositories that the old database names with blobs: in a table, or in labels where an older program
 * wrote it.
 */
async function notesOf(
  blobs: readonly BlobInfo[],
  old: DamagedDatabase | undefined,
): Promise<ReadRows<NotedRepository>> {
  const labelled = blobs.flatMap(({ digest, labels }) =>
    [...labelledRepositories(labels).states].map(([repository, state]) => ({ digest, repository, state })),
  );
  if (old === undefined || !(await old.has(REPOSITORIES))) return { values: labelled, complete: true };
  return await old.read(REPOSITORIES, 'id', noteOf);
}

function noteOf(row: Row): NotedRepository {
  const state = stateOf(textOf(row, 'state'));
  if (state === undefined) throw corruptDatabase(REPOSITORIES, 'has a row that makes no sense');
  return { digest: parseDigest(textOf(row, 'digest')), repository: textOf(row, 'repository'), state };
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

/**
 * Takes over from the old database what it says of manifests whose blobs are damaged: it is all that is left
 * of them, and by it what they list is still known. What could be read from a blob is recorded before, and
 * stays.
 */
export async function rebuildManifests(
  database: MetadataDatabase,
  old: DamagedDatabase | undefined,
): Promise<void> {
  const manifests = new ManifestStore(database);
  const known = await manifests.all();
  const left = (await old?.read('documents', 'digest', manifestInfoOf))?.values ?? [];
  await manifests.put(left.filter(({ digest }) => !known.has(digest)));
}

/** Takes over which blobs were dropped on purpose. Whether that could be read as a whole. */
export async function rebuildDiscarded(
  database: MetadataDatabase,
  old: DamagedDatabase | undefined,
): Promise<boolean> {
  const known = await old?.read('discarded', 'digest', discardedOf);
  await recordDiscarded(database, known?.values ?? []);
  return known?.complete ?? false;
}

/** Lists blobs as dropped on purpose, but for those that are here or are listed already. */
export async function recordDiscarded(
  database: MetadataDatabase,
  blobs: readonly DiscardedBlob[],
): Promise<void> {
  const rows = blobs.map(({ digest, size, source, discardedAt }) => {
    return [digest, size, source ?? null, discardedAt.getTime()];
  });
  await database.run(
    `INSERT OR IGNORE INTO discarded (digest, size, source, discarded_at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)
     WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = value ->> 0)`,
    [JSON.stringify(rows)],
  );
}

function manifestInfoOf(row: Row): ManifestInfo {
  return {
    ...headOf(row),
    children: listOf(row, 'children').map(childOf),
    chainIds: listOf(row, 'chain_ids').map(digestOf),
  };
}

function listOf(row: Row, column: string): readonly unknown[] {
  const value = jsonOf(row, column);
  if (!Array.isArray(value)) throw senseless();
  return value;
}

function childOf(value: unknown): ManifestChild {
  if (!Array.isArray(value)) throw senseless();
  const [digest, size] = value as readonly unknown[];
  if (!Number.isSafeInteger(size)) throw senseless();
  return { digest: digestOf(digest), size: Number(size) };
}

function digestOf(value: unknown): Digest {
  if (typeof value !== 'string') throw senseless();
  return parseDigest(value);
}

function senseless(): Error {
  return corruptDatabase('of this store', 'has a document that makes no sense');
}

/**
 * Where damaged content is kept for whoever wants to look at it. Nothing reads it, and no collection touches
 * it.
 */
export const QUARANTINE = 'quarantine';

/**
 * Moves a damaged blob's file out of `blobs/`, where other programs would read it, and says where it is now;
 * undefined where there is none. Its row stays: it says where the content came from, and a row without its
 * file counts as absent.
 *
 * @throws ContentError IN_USE while the blob is being written; FILESYSTEM
 */
export async function quarantineBlob(root: string, digest: Digest): Promise<string | undefined> {
  const directory = await IngestDirectory.tryLock(ingestPath(root, digest), { create: true });
  if (directory === undefined) {
    throw new ContentError('IN_USE', `the blob ${digest} is being written`, { retryable: true });
  }
  const path = blobPath(root, digest);
  const away = join(root, QUARANTINE, `${algorithmOf(digest)}-${encodedOf(digest)}.${Date.now()}`);
  try {
    await makeDirectory(join(root, QUARANTINE), 0o700);
    const moved = await unlessMissing(rename(path, away).then(() => true));
    if (moved !== true) return undefined;
    await syncDirectory(join(root, QUARANTINE));
    await syncDirectory(blobDirectory(root, digest));
    return away;
  } catch (error) {
    throw fileError(error, 'put a damaged blob aside', path);
  } finally {
    await directory.leave();
  }
}

/** Throws away what was put aside, since there is something better now. */
export async function discardQuarantined(path: string): Promise<void> {
  await unlessMissing(unlink(path)).catch((error: unknown) => {
    throw fileError(error, 'remove a damaged blob', path);
  });
}
