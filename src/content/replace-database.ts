import { open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { LandfallError } from '../errors.js';
import { holdersOf } from '../system/index.js';
import { unlessMissing } from './file-error.js';
import { syncDirectory } from './layout-files.js';
import { DATABASE_FILE } from './store-paths.js';

/** What SQLite keeps beside a database. A log that were left would be taken for the new database's own. */
const SIDECARS = ['-wal', '-shm', '-journal'] as const;

/**
 * Puts a new database in the place of the one that a store has, which is kept beside it. The caller has the root's lock.
 * If the machine stops in between, the store has none, which is noticed, and never one without its log.
 *
 * @param file the new one, in the root's file system; nobody has it open
 * @returns where the old one is kept; undefined where there was none
 * @throws LandfallError IN_USE where a process has the old one open
 */
export async function replaceDatabase(root: string, file: string): Promise<string | undefined> {
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
export function refuseOpen(file: string): void {
  const holders = ['', ...SIDECARS].flatMap((suffix) => holdersOf(`${file}${suffix}`));
  const [first] = holders;
  if (first === undefined) return;
  throw new LandfallError('IN_USE', `process ${first} has the database of this store open`, {
    hint: `Stop process ${first} first; it would go on with the old database.`,
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
