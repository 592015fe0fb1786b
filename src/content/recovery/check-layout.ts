import { chmod, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { ContentError } from '../../errors.js';
import { type MetadataDatabase, textOf } from '../../metadata/index.js';
import {
  BLOBS,
  DATABASE_FILE,
  fileError,
  INDEX_FILE,
  INGEST,
  LAYOUT_FILE,
  LAYOUT_TEXT,
  LAYOUT_VERSION,
  makeDirectory,
  SNAPSHOTS,
  unlessMissing,
  withRootLocked,
  writeLayoutFile,
} from '../store/layout-files.js';
import { indexText, isIndexStale, markIndexStale, renderIndexLocked } from '../images/render-index.js';

/** What is wrong at the top of a store. */
export interface LayoutFault {
  readonly kind: 'layout-file' | 'layout-directory' | 'layout-mode';
  /** Below the root. */
  readonly name: string;
  readonly detail: string;
}

/** So many things {@link checkLayout} looks at. */
export const LAYOUT_PARTS = 5;

const DIRECTORIES = [BLOBS, INGEST, SNAPSHOTS] as const;

/**
 * `oci-layout`, the presence of `index.json`, the directories, and that nobody else can reach the snapshots.
 * Works before a store is opened, which makes what is missing.
 *
 * @throws ContentError FILESYSTEM
 */
export async function checkLayout(root: string): Promise<readonly LayoutFault[]> {
  try {
    const parts = [DATABASE_FILE, LAYOUT_FILE, INDEX_FILE, ...DIRECTORIES];
    const found = await Promise.all(parts.map((name) => unlessMissing(stat(join(root, name)))));
    // A root where nothing is has no fault.
    if (found.every((part) => part === undefined)) return [];
    const faults: LayoutFault[] = [];
    // First, since files are written by way of one of them.
    for (const name of DIRECTORIES) {
      const found = await unlessMissing(stat(join(root, name)));
      if (found?.isDirectory() !== true) {
        faults.push({ kind: 'layout-directory', name, detail: 'is missing' });
      } else if (name === SNAPSHOTS && (found.mode & 0o077) !== 0) {
        const mode = (found.mode & 0o7777).toString(8).padStart(4, '0');
        faults.push({ kind: 'layout-mode', name, detail: `has mode ${mode}, and should have 0700` });
      }
    }
    for (const name of [LAYOUT_FILE, INDEX_FILE]) {
      const size = (await unlessMissing(stat(join(root, name))))?.size;
      if (size === undefined) faults.push({ kind: 'layout-file', name, detail: 'is missing' });
      else if (size === 0) faults.push({ kind: 'layout-file', name, detail: 'is empty' });
    }
    if (await isOtherLayout(root)) {
      faults.push({
        kind: 'layout-file',
        name: LAYOUT_FILE,
        detail: `does not say version ${LAYOUT_VERSION}`,
      });
    }
    return faults;
  } catch (error) {
    throw fileError(error, 'look at the store', root);
  }
}

/** Mends what {@link checkLayout} found; `index.json` is {@link repairIndex}'s part. */
export async function repairLayout(root: string, { kind, name }: LayoutFault): Promise<void> {
  try {
    if (kind === 'layout-mode') await chmod(join(root, name), 0o700);
    else if (kind === 'layout-directory')
      await makeDirectory(join(root, name), name === SNAPSHOTS ? 0o700 : 0o755);
    else if (name === LAYOUT_FILE) {
      await withRootLocked(root, () => writeLayoutFile(root, LAYOUT_FILE, LAYOUT_TEXT));
    }
  } catch (error) {
    throw fileError(error, 'repair the store', join(root, name));
  }
}

/** What `index.json` says otherwise than the database; undefined where it says the same. */
export async function checkIndex(root: string, database: MetadataDatabase): Promise<string | undefined> {
  try {
    // Whoever changes images marks the file as out of date with the same commit, and writes it under this
    // lock.
    return await withRootLocked(root, async () => {
      for (;;) {
        const wanted = await indexText(database);
        const found = await unlessMissing(readFile(join(root, INDEX_FILE), 'utf8'));
        if (await isIndexStale(database)) {
          await renderIndexLocked(root, database);
          continue;
        }
        if ((await indexText(database)) === wanted) return differenceOf(found, wanted);
      }
    });
  } catch (error) {
    throw fileError(error, 'look at index.json', root);
  }
}

/** Writes `index.json` anew from the database. */
export async function repairIndex(root: string, database: MetadataDatabase): Promise<void> {
  try {
    await database.transaction((transaction) => markIndexStale(transaction));
    await withRootLocked(root, () => renderIndexLocked(root, database));
  } catch (error) {
    throw fileError(error, 'write index.json', root);
  }
}

async function isOtherLayout(root: string): Promise<boolean> {
  const text = await unlessMissing(readFile(join(root, LAYOUT_FILE), 'utf8'));
  if (text === undefined || text === '') return false;
  const layout = parsed(text) as { readonly imageLayoutVersion?: unknown } | null | undefined;
  return layout?.imageLayoutVersion !== LAYOUT_VERSION;
}

function differenceOf(found: string | undefined, wanted: string): string | undefined {
  if (found === undefined) return 'it is missing';
  const value = parsed(found);
  if (value === undefined) return 'it is not JSON';
  return isDeepStrictEqual(value, parsed(wanted)) ? undefined : 'it says something else than the database';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** So many faults of one database are told. */
const FAULTS_TOLD = 10;

/**
 * Whether SQLite finds its own structure sound, and every row that another one refers to is there. What it
 * says, one line for each fault; nothing where all is well.
 *
 * @param o `quick`: passes over what takes long, that indexes say the same as their tables
 */
export async function checkDatabase(
  database: MetadataDatabase,
  o: { readonly quick: boolean },
): Promise<readonly string[]> {
  try {
    const pragma = o.quick ? 'quick_check' : 'integrity_check';
    const rows = await database.all(`PRAGMA ${pragma}(${FAULTS_TOLD})`);
    const faults = rows.map((row) => textOf(row, pragma)).filter((text) => text !== 'ok');
    if (faults.length > 0) return faults;
    const dangling = await database.all('PRAGMA foreign_key_check');
    return dangling
      .slice(0, FAULTS_TOLD)
      .map((row) => `a row of ${textOf(row, 'table')} refers to a missing one`);
  } catch (error) {
    if (error instanceof ContentError && error.code === 'STORE_CORRUPT') return [error.message];
    throw error;
  }
}
