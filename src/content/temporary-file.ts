import { randomUUID } from 'node:crypto';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { systemCode } from '../errors.js';
import { tryLock } from '../system/index.js';
import { syncDirectory } from './layout-files.js';

const PREFIX = '.landfall-';

/**
 * A file that gets its name only when it is whole. Until then it lies in some directory under a name of its own, locked,
 * so that what a killed process left can be told from what somebody is writing. To be disposed of in any case.
 */
export class TemporaryFile implements AsyncDisposable {
  readonly handle: FileHandle;
  readonly #path: string;
  #isPublished = false;

  private constructor(handle: FileHandle, path: string) {
    this.handle = handle;
    this.#path = path;
  }

  /** @param mode less the umask */
  static async create(directory: string, mode = 0o666): Promise<TemporaryFile> {
    for (;;) {
      const path = join(directory, `${PREFIX}${randomUUID()}`);
      const handle = await open(path, 'wx', mode);
      try {
        // Somebody who sweeps may have come in between, and taken it for abandoned.
        if (takeLock(handle) !== false && (await handle.stat()).nlink > 0) {
          return new TemporaryFile(handle, path);
        }
      } catch (error) {
        await handle.close();
        await rm(path, { force: true });
        throw error;
      }
      await handle.close();
    }
  }

  /** Makes it durable and gives it its name, in place of what had it. The path is in the same file system. */
  async publish(path: string): Promise<void> {
    await this.handle.sync();
    await rename(this.#path, path);
    this.#isPublished = true;
    await syncDirectory(dirname(path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Before the lock goes with the handle.
    if (!this.#isPublished) await rm(this.#path, { force: true });
    await this.handle.close();
  }
}

/** Removes the files that processes left in a directory which were killed before they could give them a name; as far as it may. */
export async function sweepTemporaryFiles(directory: string): Promise<void> {
  const names = await unlessRefused(readdir(directory));
  for (const name of names ?? []) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(directory, name);
    if ((await unlessRefused(stat(path)))?.isFile() !== true) continue;
    const handle = await unlessRefused(open(path, 'r'));
    if (handle === undefined) continue;
    try {
      if (takeLock(handle) === true) await unlessRefused(rm(path, { force: true }));
    } finally {
      await handle.close();
    }
  }
}

/** Takes it: false where somebody else has it, undefined where there is no locking here, and so nothing is swept. */
function takeLock({ fd }: FileHandle): boolean | undefined {
  try {
    return tryLock(fd, 'exclusive');
  } catch {
    return undefined;
  }
}

/** What others left is no reason to fail. */
async function unlessRefused<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (systemCode(error) !== undefined) return undefined;
    throw error;
  }
}
