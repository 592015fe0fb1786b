import { open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { ContentError } from '../errors.js';
import { SqliteConnection } from './sqlite-connection.js';

/** How many backups stay; each is as large as the database was. */
const KEPT = 2;
const TEMPORARY = '.tmp';

/**
 * Writes what was committed of a database to `<file>.backup-v<version>-<time>`, durably, and returns that path. By SQLite
 * itself and on a connection of its own: to copy the file, a process would have to open and close it, and would so lose
 * all its locks on it. The caller has the write lock.
 */
export async function backUp(file: string, version: number): Promise<string> {
  const time = new Date().toISOString().replaceAll(/[-:]/g, '');
  const backup = `${file}.backup-v${version}-${time}`;
  const temporary = `${backup}${TEMPORARY}`;
  const directory = dirname(file);
  // Whoever was making these is dead, or it would hold the write lock.
  for (const name of await backupsOf(file, { finished: false }))
    await rm(join(directory, name), { force: true });
  try {
    const connection = await SqliteConnection.open(file, 'read');
    try {
      await connection.run('VACUUM INTO ?', [temporary]);
    } finally {
      await connection.close();
    }
    await sync(temporary);
    await rename(temporary, backup);
    await sync(directory);
    return backup;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw backupFailed(file, error);
  }
}

/** Removes all backups but the newest. What cannot be removed stays. */
export async function pruneBackups(file: string): Promise<void> {
  const names = await backupsOf(file, { finished: true }).catch(() => []);
  const oldestFirst = names.sort((a, b) => (timeOf(a) < timeOf(b) ? -1 : 1));
  for (const name of oldestFirst.slice(0, -KEPT)) {
    await rm(join(dirname(file), name), { force: true }).catch(() => undefined);
  }
}

function backupFailed(file: string, cause: unknown): unknown {
  if (!(cause instanceof ContentError)) return cause;
  const { code, message, hint, retryable } = cause;
  return new ContentError(code, `the database ${file} cannot be backed up before it is changed: ${message}`, {
    cause,
    retryable,
    hint,
    details: { path: file },
  });
}

async function backupsOf(file: string, o: { finished: boolean }): Promise<string[]> {
  const names = await readdir(dirname(file));
  return names.filter(
    (name) => name.startsWith(`${basename(file)}.backup-v`) && name.endsWith(TEMPORARY) !== o.finished,
  );
}

function timeOf(name: string): string {
  return name.slice(name.lastIndexOf('-'));
}

async function sync(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
