import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { outputError } from '../content/file-output.js';
import { systemCode, throwIfAborted } from '../errors.js';
import type { CommandContext } from './command-context.js';

/**
 * Writes to standard output, no faster than that takes it. A reader that has seen enough, as `head` does, is no failure.
 * Errors: those of what is written; FILESYSTEM, NO_SPACE; ABORTED.
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
