import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FileOutput, outputError } from '../../content/index.js';
import { systemCode, throwIfAborted } from '../../errors.js';
import { answer, type CommandContext } from './command-context.js';
import { formatSize } from '../../spec/index.js';
import { printable } from '../format/text.js';
import { invalidConfig } from '../config/settings.js';

export interface BytesOutput {
  /** Where to; `-` and nothing are standard output. */
  readonly file: string | undefined;
  /** For messages: what it is that is written. */
  readonly what: string;
  /** The JSON answer about the bytes, where they go to a file. */
  readonly info: object;
}

/**
 * Writes bytes to standard output, or to a file, which is there only when it is whole. A terminal gets text
 * alone: all else could be commands to it.
 *
 * Errors: those of the bytes; INVALID_CONFIG (they are not for a terminal, or the file is a directory),
 * FILESYSTEM, NO_SPACE.
 */
export async function writeBytes(
  bytes: AsyncIterable<Buffer>,
  { file, what, info }: BytesOutput,
  context: CommandContext,
): Promise<void> {
  if (file === undefined || file === '-') {
    await writeAll(context, context.stdout.isTTY === true ? onlyText(bytes, what) : bytes);
    return;
  }
  await using output = await ArchiveOutput.open(file, context);
  const size = await output.write(bytes);
  const path = output.file ?? file;
  answer(context, { ...info, file: path, size }, () => `wrote ${formatSize(size)} to ${printable(path)}\n`);
}

async function* onlyText(
  bytes: AsyncIterable<Buffer>,
  what: string,
): AsyncGenerator<Buffer, void, undefined> {
  let before = 0;
  for await (const chunk of bytes) {
    if (!isText(chunk, before)) {
      throw invalidConfig(`${what} is not text, and is not written to a terminal`, {
        hint: 'Name a file with -o, or lead the output into another program.',
      });
    }
    before = chunk.at(-1) ?? before;
    yield chunk;
  }
}

/**
 * Whether nothing in it moves a cursor or does more: of the control characters, text has those that part
 * words and lines. Terminals take U+0080 to U+009F for such characters too, in UTF-8 (behind the byte 0xc2),
 * and some as single bytes.
 *
 * @param before - the byte in front of it
 */
function isText(chunk: Buffer, before: number): boolean {
  let last = before;
  for (const byte of chunk) {
    if (byte === 0x7f || (byte < 0x20 && (byte < 0x09 || byte > 0x0d))) return false;
    if (byte >= 0x80 && byte < 0xa0 && (last < 0x80 || last === 0xc2)) return false;
    last = byte;
  }
  return true;
}

/**
 * Where a command writes an archive to: standard output, or a file. A file is written beside its name and put
 * there only when it is whole, in place of an earlier one; a device or a pipe is written to as it is. To be
 * disposed of in any case.
 */
export class ArchiveOutput implements AsyncDisposable {
  readonly #context: CommandContext;
  readonly #output: FileOutput | undefined;

  private constructor(context: CommandContext, output?: FileOutput) {
    this.#context = context;
    this.#output = output;
  }

  /**
   * @param name `-` and nothing are standard output
   * @throws {LandfallError} INVALID_CONFIG for a terminal or a directory, FILESYSTEM, NO_SPACE
   */
  static async open(name: string | undefined, context: CommandContext): Promise<ArchiveOutput> {
    if (name !== undefined && name !== '-')
      return new ArchiveOutput(context, await FileOutput.open(path.resolve(name)));
    refuseTerminal(context);
    return new ArchiveOutput(context);
  }

  /** Absolute; undefined for standard output. */
  get file(): string | undefined {
    return this.#output?.location;
  }

  /** Takes the archive to its end, and puts it in its place. Its bytes. */
  async write(archive: AsyncIterable<Buffer>): Promise<number> {
    const output = this.#output;
    let total = 0;
    const counted = async function* (): AsyncGenerator<Buffer, void, undefined> {
      for await (const chunk of archive) {
        total += chunk.length;
        yield chunk;
      }
    };
    if (output === undefined) {
      await writeAll(this.#context, counted());
    } else {
      for await (const chunk of counted()) await output.write(chunk);
      await output.finish();
    }
    return total;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#output?.[Symbol.asyncDispose]();
  }
}

/** @throws {LandfallError} INVALID_CONFIG where standard output is a terminal */
export function refuseTerminal(
  { stdout }: Pick<CommandContext, 'stdout'>,
  hint = 'Name a file with -o, or lead the output into another program.',
): void {
  if (stdout.isTTY === true) throw invalidConfig('an archive is not written to a terminal', { hint });
}

/**
 * Writes to standard output, no faster than that takes it. A reader that has seen enough, as `head` does, is
 * no failure. Errors: those of what is written; FILESYSTEM, NO_SPACE; ABORTED.
 */
export async function writeAll(
  { stdout, signal }: Pick<CommandContext, 'stdout' | 'signal'>,
  pieces: AsyncIterable<string | Buffer> | Iterable<string | Buffer>,
): Promise<void> {
  try {
    await pipeline(Readable.from(pieces, { objectMode: true }), stdout, { signal, end: false });
  } catch (error) {
    throwIfAborted(signal);
    if (systemCode(error) !== 'EPIPE') throw outputError(error, 'standard output');
  }
}
