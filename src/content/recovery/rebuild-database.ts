import { randomUUID } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Abortable, ContentError, LandfallError } from '../../errors.js';
import { DamagedDatabase, MetadataDatabase } from '../../metadata/index.js';
import { holdersOf } from '../../system/index.js';
import { blobOf } from '../store/blob-records.js';
import {
  DATABASE_FILE,
  fileError,
  INGEST,
  syncDirectory,
  syncFileSystem,
  unlessMissing,
  withRootLocked,
} from '../store/layout-files.js';
import { isNoStore, makeDirectories, noStore, openLayout } from '../images/open-layout.js';
import { imageOf } from './rebuild-images.js';

export interface RebuildDatabaseOptions extends Abortable {
  /** Whether also a database without a fault, or one of a newer program, is replaced. */
  readonly force?: boolean | undefined;
}

export interface ReplacedDatabase<T> {
  readonly result: T;
  /** Where the old database is kept; undefined where there was none. */
  readonly kept: string | undefined;
}

/**
 * Gives a store a new database, under the lock of its root: one that `fill` fills and nobody sees before it
 * is whole, on the disk, and in place. The old one stays as it is until then, and is kept beside it
 * afterwards.
 *
 * @param fill gets the new database and what can be read of the old one. What it throws leaves everything as
 *   it was.
 * @throws LandfallError INVALID_CONFIG (no store; or its database has no fault), IN_USE (a process has it
 *   open), UNSUPPORTED (a newer program wrote it), NO_SPACE, FILESYSTEM, ABORTED
 */
export async function rebuildDatabase<T>(
  root: string,
  fill: (database: MetadataDatabase, old: DamagedDatabase | undefined) => Promise<T>,
  o: RebuildDatabaseOptions = {},
): Promise<ReplacedDatabase<T>> {
  try {
    if (await isNoStore(root)) throw noStore(root);
    return await withRootLocked(root, () => rebuildLocked(root, fill, o), o);
  } catch (error) {
    throw fileError(error, 'rebuild the database', root);
  }
}

/**
 * Makes up what else is missing at the top of a store whose database was rebuilt, and writes its
 * `index.json`.
 */
export async function completeLayout(root: string): Promise<void> {
  await (await openLayout(root)).close();
}

async function rebuildLocked<T>(
  root: string,
  fill: (database: MetadataDatabase, old: DamagedDatabase | undefined) => Promise<T>,
  o: RebuildDatabaseOptions,
): Promise<ReplacedDatabase<T>> {
  const place = join(root, DATABASE_FILE);
  refuseOpen(place);
  await makeDirectories(root);
  const temporary = join(root, INGEST, `${DATABASE_FILE}.${randomUUID()}.tmp`);
  try {
    const result = await fillNew(place, temporary, fill, o);
    // All that it names, and says is on the disk.
    await syncFileSystem(root);
    return { result, kept: await replaceDatabase(root, temporary) };
  } finally {
    await rm(temporary, { force: true });
  }
}

async function fillNew<T>(
  place: string,
  temporary: string,
  fill: (database: MetadataDatabase, old: DamagedDatabase | undefined) => Promise<T>,
  o: RebuildDatabaseOptions,
): Promise<T> {
  const isFile = (await unlessMissing(stat(place)))?.isFile() === true;
  await using old = isFile ? await DamagedDatabase.open(place) : undefined;
  if (o.force !== true && old !== undefined && (await isSound(old))) throw isFine(place);
  await using database = await MetadataDatabase.create(temporary);
  return await fill(database, old);
}

/** SQLite checks how rows are stored, and not what they say. */
async function isSound(old: DamagedDatabase): Promise<boolean> {
  if (!(await old.isSound())) return false;
  const [blobs, images] = [
    await old.read('blobs', 'digest', blobOf),
    await old.read('images', 'name', imageOf),
  ];
  return blobs.complete && images.complete;
}

function isFine(path: string): ContentError {
  return new ContentError('INVALID_CONFIG', `the database ${path} has no fault`, {
    details: { path },
    hint: 'Check the rest of the store with landfall fsck; it needs no rebuilding.',
  });
}

/** What SQLite keeps beside a database. A log that were left would be taken for the new database's own. */
const SIDECARS = ['-wal', '-shm', '-journal'] as const;

/**
 * Puts a new database in the place of the one that a store has, which is kept beside it. The caller has the
 * root's lock. If the machine stops in between, the store has none, which is noticed, and never one without
 * its log.
 *
 * @param file the new one, in the root's file system; nobody has it open
 * @returns where the old one is kept; undefined where there was none
 * @throws LandfallError IN_USE where a process has the old one open
 */
async function replaceDatabase(root: string, file: string): Promise<string | undefined> {
  const place = join(root, DATABASE_FILE);
  await syncFile(file);
  const time = new Date().toISOString().replaceAll(/[-:]/g, '');
  const kept = join(root, `${DATABASE_FILE}.damaged-${time}`);
  const moved = await moveAside(place, kept);
  try {
    // Somebody may have opened it since the caller looked.
    refuseOpen(kept);
  } catch (error) {
    await moveAside(kept, place);
    throw error;
  }
  await syncDirectory(root);
  await rename(file, place);
  await syncDirectory(root);
  return moved ? kept : undefined;
}

/** @throws LandfallError IN_USE where a process, this one included, has a database open */
function refuseOpen(file: string): void {
  const holders = ['', ...SIDECARS].flatMap((suffix) => holdersOf(`${file}${suffix}`));
  const [first] = holders;
  if (first === undefined) return;
  throw new LandfallError('IN_USE', `process ${first} has the database of this store open`, {
    hint: `Stop process ${first} first; it would still use the old database.`,
    details: { path: file },
  });
}

/** Whether there was a database. What it keeps beside it goes along, and also where it itself is missing. */
async function moveAside(from: string, to: string): Promise<boolean> {
  let moved = false;
  for (const suffix of ['', ...SIDECARS]) {
    if ((await unlessMissing(stat(`${from}${suffix}`))) === undefined) continue;
    await rename(`${from}${suffix}`, `${to}${suffix}`);
    if (suffix === '') moved = true;
  }
  return moved;
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
