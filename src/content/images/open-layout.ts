import { chmod, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { ContentError } from '../../errors.js';
import { MetadataDatabase, type OpenDatabaseOptions } from '../../metadata/index.js';
import {
  BLOBS,
  DATABASE_FILE,
  fileError,
  INDEX_FILE,
  INGEST,
  keepReserve,
  LAYOUT_FILE,
  LAYOUT_TEXT,
  makeDirectory,
  onReserve,
  SNAPSHOTS,
  unlessMissing,
  withRootLocked,
  writeLayoutFile,
} from '../store/layout-files.js';
import { isIndexStale, renderIndex, renderIndexLocked } from './render-index.js';

export interface OpenLayoutOptions extends Pick<OpenDatabaseOptions, 'synced'> {
  /** Whether a root where there is no store is refused, in place of made into one. */
  readonly mustExist?: boolean;
}

/**
 * Opens the store at a root, making it where there is none, and gives its database. Any number of processes
 * may do so at once: the first makes it, under a lock on the root.
 *
 * A store that is not empty and has lost its database, or has an empty one, is never given a new one: that
 * would make garbage of everything in it.
 *
 * @throws ContentError STORE_CORRUPT; INVALID_CONFIG where there is no store and `mustExist` is set;
 *   FILESYSTEM for a root that cannot be written; NO_SPACE; LOCKED; LandfallError UNSUPPORTED for a store of
 *   a newer program
 */
export async function openLayout(root: string, o: OpenLayoutOptions = {}): Promise<MetadataDatabase> {
  try {
    const database = await onReserve(root, () => openOrCreate(root, o));
    await keepReserve(root);
    return database;
  } catch (error) {
    throw fileError(error, 'open the store', root);
  }
}

async function openOrCreate(
  root: string,
  { mustExist, ...synced }: OpenLayoutOptions,
): Promise<MetadataDatabase> {
  if (await isComplete(root)) {
    return await withIndex(
      root,
      await MetadataDatabase.open(join(root, DATABASE_FILE), { ...synced, create: false }),
    );
  }
  if (mustExist === true && (await isNoStore(root))) throw noStore(root);
  return await create(root, synced);
}

/** Whether all that {@link create} makes is there; the layout file is what it makes last. */
async function isComplete(root: string): Promise<boolean> {
  const sizes = await Promise.all(
    [LAYOUT_FILE, INDEX_FILE, DATABASE_FILE].map((name) => sizeOf(join(root, name))),
  );
  return sizes.every((size) => size > 0);
}

/** Whether there is nothing at a root that a store could be made of. */
export async function isNoStore(root: string): Promise<boolean> {
  const sizes = await Promise.all([LAYOUT_FILE, DATABASE_FILE].map((name) => sizeOf(join(root, name))));
  return sizes.every((size) => size === 0) && (await isEmptyStore(root));
}

/** 0 for a file that does not exist. */
async function sizeOf(path: string): Promise<number> {
  return (await unlessMissing(stat(path)))?.size ?? 0;
}

async function create(root: string, synced: Pick<OpenDatabaseOptions, 'synced'>): Promise<MetadataDatabase> {
  // Another user who may enter the root could lock its files, and read what images hold.
  await makeDirectory(root, 0o700);
  return withRootLocked(root, async () => {
    await makeDirectories(root);
    const database = await MetadataDatabase.open(join(root, DATABASE_FILE), {
      ...synced,
      create: await isEmptyStore(root),
    });
    try {
      await completeFiles(root, database);
      return database;
    } catch (error) {
      await database.close();
      throw error;
    }
  });
}

/** Writes the files at the top of a store that are missing or out of date. The caller has the root's lock. */
async function completeFiles(root: string, database: MetadataDatabase): Promise<void> {
  await renderIndexLocked(root, database);
  if ((await sizeOf(join(root, LAYOUT_FILE))) > 0) return;
  await writeLayoutFile(root, LAYOUT_FILE, LAYOUT_TEXT);
}

/** Makes what lies at the top of a store besides files, where it is missing. */
export async function makeDirectories(root: string): Promise<void> {
  await makeDirectory(join(root, BLOBS, 'sha256'));
  await makeDirectory(join(root, INGEST));
  const snapshots = join(root, SNAPSHOTS);
  await makeDirectory(snapshots, 0o700);
  // A layer may hold setuid files, which nobody else must reach; also where the directory was made by
  // something else.
  await chmod(snapshots, 0o700);
}

/** Whether there is nothing that a lost database would have known of. */
async function isEmptyStore(root: string): Promise<boolean> {
  const algorithms = await namesIn(join(root, BLOBS));
  const blobs = await Promise.all(algorithms.map((algorithm) => namesIn(join(root, BLOBS, algorithm))));
  const snapshots = await namesIn(join(root, SNAPSHOTS));
  return blobs.flat().length === 0 && snapshots.length === 0 && !(await indexNamesImages(root));
}

async function namesIn(path: string): Promise<readonly string[]> {
  return (await unlessMissing(readdir(path))) ?? [];
}

/** An index that cannot be read counts as one that names images: better to ask than to lose. */
async function indexNamesImages(root: string): Promise<boolean> {
  const text = await unlessMissing(readFile(join(root, INDEX_FILE), 'utf8'));
  if (text === undefined) return false;
  try {
    const index = JSON.parse(text) as { readonly manifests?: unknown } | null;
    return !Array.isArray(index?.manifests) || index.manifests.length > 0;
  } catch {
    return text.trim() !== '';
  }
}

/** Makes up for a process that changed images and died before the index said so. */
async function withIndex(root: string, database: MetadataDatabase): Promise<MetadataDatabase> {
  try {
    if (await isIndexStale(database)) await renderIndex(root, database);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

export function noStore(root: string): ContentError {
  return new ContentError('INVALID_CONFIG', `there is no store at ${root}`, {
    details: { path: root },
    hint: 'Name its directory with --root, or pull an image to make one.',
  });
}
