import { LandfallError } from '../errors.js';
import { openArchiveOutput } from './archive-output.js';
import { answer, type CommandContext } from './command-context.js';
import { printable } from './format/printable.js';
import { formatSize } from './format/size.js';
import { writeAll } from './write-all.js';

export interface BytesOutput {
  /** Where to; `-` and nothing are standard output. */
  readonly file: string | undefined;
  /** For messages: what it is that is written. */
  readonly what: string;
  /** What is told of it in JSON, where the bytes go to a file. */
  readonly facts: object;
}

/**
 * Writes bytes to standard output, or to a file, which is there only when it is whole. A terminal gets text alone: all else could be
 * commands to it.
 *
 * Errors: those of the bytes; INVALID_CONFIG (they are not for a terminal, or the file is a directory), FILESYSTEM, NO_SPACE.
 */
export async function writeBytes(
  bytes: AsyncIterable<Buffer>,
  { file, what, facts }: BytesOutput,
  context: CommandContext,
): Promise<void> {
  if (file === undefined || file === '-') {
    await writeAll(context, context.stdout.isTTY === true ? onlyText(bytes, what) : bytes);
    return;
  }
  await using output = await openArchiveOutput(file, context);
  const size = await output.write(bytes);
  const path = output.file ?? file;
  answer(context, { ...facts, file: path, size }, () => `wrote ${formatSize(size)} to ${printable(path)}\n`);
}

async function* onlyText(
  bytes: AsyncIterable<Buffer>,
  what: string,
): AsyncGenerator<Buffer, void, undefined> {
  let before = 0;
  for await (const chunk of bytes) {
    if (!isText(chunk, before)) {
      throw new LandfallError('INVALID_CONFIG', `${what} is not text, and is not written to a terminal`, {
        hint: 'Name a file with -o, or lead the output into another program.',
      });
    }
    before = chunk.at(-1) ?? before;
    yield chunk;
  }
}

/**
 * Whether nothing in it moves a cursor or does more: of the control characters, text has those that part words and lines. Terminals take
 * U+0080 to U+009F for such characters too, in UTF-8 (behind the byte 0xc2), and some as single bytes.
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
