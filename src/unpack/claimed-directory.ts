import { chmod, mkdir, readdir, realpath } from 'node:fs/promises';
import { LandfallError, systemCode } from '../errors.js';
import { AT_FDCWD, fstatat, toBytePath, type Stat } from '../system/index.js';
import { restoreDirectory } from './tree/file-attributes.js';
import { filesystemError } from './filesystem-error.js';
import { removeDirectory } from './snapshotters/remove-directory.js';

/** A directory that was found absent or empty, and is filled from now on. */
export interface ClaimedDirectory {
  /** Absolute, without symlinks. */
  readonly path: string;
  /** Whether it was absent. */
  readonly created: boolean;
  /** Makes the directory what it was. */
  undo(): Promise<void>;
}

/**
 * Makes sure of a directory to fill; its parents are made too.
 *
 * @throws {LandfallError} INVALID_CONFIG where it is not empty, or no directory; FILESYSTEM
 */
export async function claimDirectory(directory: string): Promise<ClaimedDirectory> {
  let created: string | undefined;
  try {
    created = await mkdir(directory, { recursive: true });
    if ((await readdir(directory)).length > 0) throw notEmpty(directory, 'is not empty');
    const path = await realpath(directory);
    const before = fstatat(AT_FDCWD, toBytePath(path));
    return {
      path,
      created: created !== undefined,
      undo: async () => {
        if (created !== undefined) await removeDirectory(created);
        else await emptyAgain(path, before);
      },
    };
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST' || code === 'ENOTDIR') throw notEmpty(directory, 'is not a directory', error);
    throw filesystemError(error, `making ${directory}`, { path: directory });
  }
}

function notEmpty(directory: string, what: string, cause?: unknown): LandfallError {
  return new LandfallError('INVALID_CONFIG', `${directory} ${what}`, {
    cause,
    hint: 'Name a directory that is empty or does not exist yet.',
  });
}

async function emptyAgain(path: string, before: Stat): Promise<void> {
  // The image's root may have left it without the rights to do so.
  await chmod(path, 0o700);
  // Names are bytes here: a layer's need not be UTF-8.
  for (const name of await readdir(path, { encoding: 'buffer' })) {
    await removeDirectory(Buffer.concat([Buffer.from(`${path}/`), name]));
  }
  restoreDirectory({ dirfd: AT_FDCWD, name: toBytePath(path) }, before);
}
