import { randomUUID } from 'node:crypto';
import { open, type FileHandle, realpath, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ContentError, LandfallError, systemCode, throwIfAborted } from '../errors.js';
import type { CommandContext } from './command-context.js';

/** Where a command writes an archive to. */
export interface ArchiveOutput extends AsyncDisposable {
  /** Absolute; undefined for standard output. */
  readonly file: string | undefined;
  /** Takes the archive to its end, and puts it in its place. Its bytes. */
  write(archive: AsyncIterable<Buffer>): Promise<number>;
}

/**
 * Opens a file for an archive, or standard output for `-` or no name at all. A file is written beside its name and put there only
 * when it is whole, in place of one that was there; a device or a pipe is written to as it is. To be disposed of in any case.
 *
 * @throws {LandfallError} INVALID_CONFIG for a terminal or a directory, FILESYSTEM, NO_SPACE
 */
export async function openArchiveOutput(
  name: string | undefined,
  context: CommandContext,
): Promise<ArchiveOutput> {
  if (name === undefined || name === '-') return new StandardOutput(context);
  const file = path.resolve(name);
  try {
    return await FileOutput.open(file);
  } catch (error) {
    throw outputError(error, file);
  }
}

class StandardOutput implements ArchiveOutput {
  readonly file = undefined;
  readonly #context: CommandContext;

  constructor(context: CommandContext) {
    if (context.stdout.isTTY === true) {
      throw new LandfallError('INVALID_CONFIG', 'an archive is not written to a terminal', {
        hint: 'Name a file with -o, or lead the output into another program.',
      });
    }
    this.#context = context;
  }

  async write(archive: AsyncIterable<Buffer>): Promise<number> {
    const { stdout, signal } = this.#context;
    const counted = new CountedArchive(archive);
    try {
      await pipeline(counted.chunks(), stdout, { signal, end: false });
    } catch (error) {
      throwIfAborted(signal);
      // A reader that has seen enough, as `head` does, is no failure.
      if (systemCode(error) !== 'EPIPE') throw outputError(error, 'standard output');
    }
    return counted.bytes;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

class FileOutput implements ArchiveOutput {
  readonly file: string;
  readonly #handle: FileHandle;
  /** Where it is written, and where it goes; undefined for what is written in its place. */
  #staged: { readonly from: string; readonly to: string } | undefined;

  private constructor(file: string, handle: FileHandle, staged?: { from: string; to: string }) {
    this.file = file;
    this.#handle = handle;
    this.#staged = staged;
  }

  static async open(file: string): Promise<FileOutput> {
    const present = await unlessMissing(stat(file));
    if (present?.isDirectory() === true) {
      throw new LandfallError('INVALID_CONFIG', `${file} is a directory`, { hint: 'Name a file.' });
    }
    if (present !== undefined && !present.isFile()) return new FileOutput(file, await open(file, 'w'));
    const to = (await unlessMissing(realpath(file))) ?? file;
    const from = path.join(path.dirname(to), `.landfall-${randomUUID()}`);
    return new FileOutput(file, await open(from, 'wx', 0o666), { from, to });
  }

  async write(archive: AsyncIterable<Buffer>): Promise<number> {
    const counted = new CountedArchive(archive);
    try {
      for await (const chunk of counted.chunks()) await this.#handle.writeFile(chunk);
      if (this.#staged !== undefined) {
        await this.#handle.datasync();
        await rename(this.#staged.from, this.#staged.to);
        this.#staged = undefined;
      }
    } catch (error) {
      throw outputError(error, this.file);
    }
    return counted.bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    if (this.#staged !== undefined) await rm(this.#staged.from, { force: true });
  }
}

class CountedArchive {
  bytes = 0;
  readonly #archive: AsyncIterable<Buffer>;

  constructor(archive: AsyncIterable<Buffer>) {
    this.#archive = archive;
  }

  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of this.#archive) {
      this.bytes += chunk.length;
      yield chunk;
    }
  }
}

async function unlessMissing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    return undefined;
  }
}

/** What the archive itself throws is passed on. */
function outputError(error: unknown, place: string): LandfallError {
  if (error instanceof LandfallError) return error as LandfallError;
  const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
  const reason = error instanceof Error ? error.message : String(error);
  return new ContentError(full ? 'NO_SPACE' : 'FILESYSTEM', `${place} could not be written: ${reason}`, {
    cause: error,
    details: { path: place },
    hint: 'Look at where the archive is to go.',
  });
}
