import { randomUUID } from 'node:crypto';
import { type FileHandle, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ContentError, isLandfallError, LandfallError, systemCode } from '../../errors.js';
import { tryLock } from '../../system/index.js';
import { syncDirectory, unlessMissing } from './layout-files.js';

type OutputTarget =
  { readonly staged: TemporaryFile; readonly path: string } | { readonly plain: FileHandle };

/**
 * A file that a command writes. It is written beside its name and put there only when it is whole, in place
 * of one that was there; a device or a pipe is written to as it is. To be disposed of in any case.
 */
export class FileOutput implements AsyncDisposable {
  /** The absolute path. */
  readonly location: string;
  readonly #target: OutputTarget;

  private constructor(file: string, target: OutputTarget) {
    this.location = file;
    this.#target = target;
  }

  /**
   * @param file absolute
   * @throws {LandfallError} INVALID_CONFIG for a directory, FILESYSTEM, NO_SPACE
   */
  static async open(file: string): Promise<FileOutput> {
    try {
      const present = await unlessMissing(stat(file));
      if (present?.isDirectory() === true) {
        throw new LandfallError('INVALID_CONFIG', `${file} is a directory`, { hint: 'Name a file.' });
      }
      if (present !== undefined && !present.isFile()) {
        return new FileOutput(file, { plain: await open(file, 'w') });
      }
      const to = (await unlessMissing(realpath(file))) ?? file;
      await sweepTemporaryFiles(dirname(to));
      const staged = await TemporaryFile.create(dirname(to));
      return new FileOutput(file, { staged, path: to });
    } catch (error) {
      throw outputError(error, file);
    }
  }

  /** @throws {LandfallError} FILESYSTEM, NO_SPACE */
  async write(chunk: Buffer): Promise<void> {
    try {
      const handle = 'staged' in this.#target ? this.#target.staged.handle : this.#target.plain;
      await handle.writeFile(chunk);
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  /** Puts it in its place. Afterwards it survives a power cut. */
  async finish(): Promise<void> {
    try {
      if ('staged' in this.#target) await this.#target.staged.publish(this.#target.path);
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if ('staged' in this.#target) await this.#target.staged[Symbol.asyncDispose]();
    else await this.#target.plain.close();
  }
}

/** What a failure to write means; one that is ours already is passed on. */
export function outputError(error: unknown, place: string): LandfallError {
  if (isLandfallError(error)) return error;
  const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
  const reason = error instanceof Error ? error.message : String(error);
  return new ContentError(full ? 'NO_SPACE' : 'FILESYSTEM', `${place} could not be written: ${reason}`, {
    cause: error,
    details: { path: place },
    hint: full ? 'Free some space where it is to go.' : 'Look at where it is to go.',
  });
}

const PREFIX = '.landfall-';

/**
 * A file that gets its name only when it is whole. Until then it lies in some directory under a name of its
 * own, locked, so that what a killed process left can be told from what somebody is writing. To be disposed
 * of in any case.
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

/**
 * Removes the files that processes left in a directory which were killed before they could give them a name;
 * as far as it may.
 */
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

/**
 * Takes it: false where somebody else has it, undefined where there is no locking here, and so nothing is
 * swept.
 */
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
