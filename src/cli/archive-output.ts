import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { FileOutput, outputError } from '../content/file-output.js';
import { LandfallError, systemCode, throwIfAborted } from '../errors.js';
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
  return new NamedFile(await FileOutput.open(path.resolve(name)));
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

class NamedFile implements ArchiveOutput {
  readonly #output: FileOutput;

  constructor(output: FileOutput) {
    this.#output = output;
  }

  get file(): string {
    return this.#output.file;
  }

  async write(archive: AsyncIterable<Buffer>): Promise<number> {
    const counted = new CountedArchive(archive);
    for await (const chunk of counted.chunks()) await this.#output.write(chunk);
    await this.#output.finish();
    return counted.bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#output[Symbol.asyncDispose]();
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
