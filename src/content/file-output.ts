import { open, type FileHandle, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { ContentError, isLandfallError, LandfallError, systemCode } from '../errors.js';
import { unlessMissing } from './file-error.js';
import { sweepTemporaryFiles, TemporaryFile } from './temporary-file.js';

type OutputTarget =
  { readonly staged: TemporaryFile; readonly path: string } | { readonly plain: FileHandle };

/**
 * A file that a command writes. It is written beside its name and put there only when it is whole, in place of one that was
 * there; a device or a pipe is written to as it is. To be disposed of in any case.
 */
export class FileOutput implements AsyncDisposable {
  /** Absolute. */
  readonly file: string;
  readonly #target: OutputTarget;

  private constructor(file: string, target: OutputTarget) {
    this.file = file;
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

  /** Whether nothing of it is seen before it is whole. */
  get isStaged(): boolean {
    return 'staged' in this.#target;
  }

  /** @throws {LandfallError} FILESYSTEM, NO_SPACE */
  async write(chunk: Buffer): Promise<void> {
    try {
      const handle = 'staged' in this.#target ? this.#target.staged.handle : this.#target.plain;
      await handle.writeFile(chunk);
    } catch (error) {
      throw outputError(error, this.file);
    }
  }

  /** Puts it in its place. Afterwards it survives a power cut. */
  async finish(): Promise<void> {
    try {
      if ('staged' in this.#target) await this.#target.staged.publish(this.#target.path);
    } catch (error) {
      throw outputError(error, this.file);
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
