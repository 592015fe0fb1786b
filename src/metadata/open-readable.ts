import { constants } from 'node:fs';
import { access, chmod, copyFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

import { ContentError, systemCode } from '../errors.js';
import { SqliteConnection, untilUnlocked } from './sqlite-connection.js';

/** A connection that only reads, and what is to be done once it is closed. */
export interface ReadableDatabase {
  readonly connection: SqliteConnection;
  readonly release: () => Promise<void>;
}

const ATTEMPTS = 10;

/**
 * Opens a database to be read, without writing anything beside it. A database in WAL mode has a log and its
 * index as files of their own, which a reader needs or makes; so:
 *
 * - With a log there, it is read beside its writers.
 * - Where that cannot be, as the log's index is missing and the file system read-only, it is copied with its
 *   log, and the copy is opened.
 * - Without a log, on a read-only file system, the file is all there is and cannot change.
 * - Without a log where it could be written, SQLite would make one, or another process may write: it is
 *   copied.
 *
 * @throws ContentError STORE_CORRUPT, FILESYSTEM, NO_SPACE, LOCKED
 */
export async function openReadable(file: string, busyTimeoutMs: number): Promise<ReadableDatabase> {
  if (await hasLog(file)) {
    return (await openInPlace(file, 'read', busyTimeoutMs)) ?? openCopy(file);
  }
  const immutable = await isOnReadOnlyFileSystem(file);
  return (immutable ? await openInPlace(file, 'immutable', busyTimeoutMs) : undefined) ?? openCopy(file);
}

/**
 * Opens a copy in a temporary directory, with what its log holds. It is made anew when the original was
 * changed meanwhile.
 */
export async function openCopy(file: string): Promise<ReadableDatabase> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-database-'));
  const release = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const copy = join(directory, basename(file));
    await copyUnchanged(file, copy);
    // Recovering what the log holds takes a file that can be written.
    await chmod(copy, 0o600);
    return { connection: await SqliteConnection.open(copy, 'write'), release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Undefined where SQLite cannot read it without making files beside it. */
async function openInPlace(
  file: string,
  mode: 'read' | 'immutable',
  busyTimeoutMs: number,
): Promise<ReadableDatabase | undefined> {
  const connection = await SqliteConnection.open(file, mode);
  try {
    // Only the first look shows whether it can.
    await untilUnlocked(busyTimeoutMs, () => connection.get('PRAGMA user_version'));
    return { connection, release: () => Promise.resolve() };
  } catch (error) {
    await connection.close();
    if (error instanceof ContentError && error.code === 'FILESYSTEM') return undefined;
    throw error;
  }
}

async function copyUnchanged(file: string, copy: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const before = await stateOf(file);
    await rm(logOf(copy), { force: true });
    await copyFile(file, copy, constants.COPYFILE_FICLONE);
    await copyFile(logOf(file), logOf(copy), constants.COPYFILE_FICLONE).catch(unlessMissing);
    if (before === (await stateOf(file))) return;
    if (attempt === ATTEMPTS) throw changing(file);
  }
}

function changing(file: string): ContentError {
  return new ContentError('LOCKED', `the database ${file} is being changed all the time`, {
    details: { path: file },
    retryable: true,
  });
}

/** Differs after each write. */
async function stateOf(file: string): Promise<string> {
  const files = await Promise.all(
    [file, logOf(file)].map((path) => stat(path, { bigint: true }).catch(unlessMissing)),
  );
  return files
    .map((found) => (found === undefined ? '' : `${found.ino} ${found.size} ${found.mtimeNs}`))
    .join();
}

async function hasLog(file: string): Promise<boolean> {
  const found = await stat(logOf(file)).catch(unlessMissing);
  return found !== undefined && found.size > 0;
}

function logOf(file: string): string {
  return `${file}-wal`;
}

async function isOnReadOnlyFileSystem(file: string): Promise<boolean> {
  try {
    await access(dirname(file), constants.W_OK);
    return false;
  } catch (error) {
    return systemCode(error) === 'EROFS';
  }
}

function unlessMissing(error: unknown): undefined {
  if (systemCode(error) === 'ENOENT') return undefined;
  throw error;
}
