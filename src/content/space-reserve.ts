import { rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { LandfallError } from '../errors.js';
import { unlessMissing } from './file-error.js';

/** Below the store's root. It holds nothing. */
export const RESERVE_FILE = 'reserve';

/** Enough for SQLite's shared memory and the log of some thousand removals. */
const RESERVE_BYTES = 1024 * 1024;
/** It is not made of the last that there is. */
const FREE_BYTES = 8 * RESERVE_BYTES;

/**
 * Keeps a little space aside, so that on a disk without any a store can still be opened and things be removed from it: both write
 * to the database first. Where it cannot be had now, it is made later.
 */
export async function keepReserve(root: string): Promise<void> {
  const file = join(root, RESERVE_FILE);
  try {
    if ((await unlessMissing(stat(file))) !== undefined) return;
    const { bavail, bsize } = await statfs(root);
    if (bavail * bsize < FREE_BYTES) return;
    await writeFile(file, Buffer.alloc(RESERVE_BYTES), { flag: 'wx', mode: 0o600 });
  } catch {
    // Somebody else makes it, or there is no space after all.
  }
}

/** Does something that must be possible on a full disk: where it finds no space, the reserve is given up and it is done again. */
export async function onReserve<T>(root: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof LandfallError) || error.code !== 'NO_SPACE') throw error;
    await rm(join(root, RESERVE_FILE), { force: true });
    return await act();
  }
}
