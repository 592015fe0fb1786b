import { chmod, lstat, readdir, rm } from 'node:fs/promises';
import { systemCode } from '../../errors.js';

const OWNER_ALL = 0o700;

/**
 * Removes a directory with all below it; absent is not an error. Symlinks are not followed. Directories without the
 * rights that removing takes, of which layers have some, get them first where that is needed.
 */
export async function removeDirectory(path: string): Promise<void> {
  try {
    await remove(path);
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    await openUp(Buffer.from(path));
    await remove(path);
  }
}

function remove(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true });
}

/** Names are bytes here: a layer's need not be UTF-8. */
async function openUp(directory: Buffer): Promise<void> {
  const { mode } = await lstat(directory);
  if ((mode & OWNER_ALL) !== OWNER_ALL) await chmod(directory, (mode & 0o7777) | OWNER_ALL);
  for (const entry of await readdir(directory, { encoding: 'buffer', withFileTypes: true })) {
    if (entry.isDirectory()) await openUp(Buffer.concat([directory, Buffer.from('/'), entry.name]));
  }
}
