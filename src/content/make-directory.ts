import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

import { systemCode } from '../errors.js';
import { syncDirectory } from './layout-files.js';

/**
 * Makes a directory and those above it where they are missing, and makes the name of each durable. Something else that
 * has the name already is left for the caller to stumble over.
 *
 * Node's own recursive mkdir syncs nothing, and never ends where the kernel answers ENOENT below a directory that exists,
 * as in /proc.
 *
 * @param mode of the directory itself, less the umask; those above it get 0755
 */
export async function makeDirectory(path: string, mode = 0o755): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectory(dirname(path));
    await mkdir(path, mode).catch((again: unknown) => {
      if (systemCode(again) !== 'EEXIST') throw again;
    });
  }
  await syncDirectory(dirname(path));
}
