import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Abortable } from '../errors.js';
import { fileError, unlessMissing } from './file-error.js';
import { isTemporaryFile, withRootLocked } from './layout-files.js';
import { INGEST } from './store-paths.js';

/**
 * Removes the temporary files that processes left which died while they wrote `index.json` or its like. These are
 * written under the lock of the root, so whoever has that knows that nobody is still at it.
 */
export async function sweepTemporaries(root: string, o: Abortable = {}): Promise<void> {
  const directory = join(root, INGEST);
  try {
    if (!(await temporariesIn(directory))) return;
    await withRootLocked(
      root,
      async () => {
        for (const name of await readdir(directory)) {
          if (isTemporaryFile(name)) await rm(join(directory, name), { force: true });
        }
      },
      o,
    );
  } catch (error) {
    throw fileError(error, 'remove temporary files', directory);
  }
}

async function temporariesIn(directory: string): Promise<boolean> {
  return ((await unlessMissing(readdir(directory))) ?? []).some(isTemporaryFile);
}
