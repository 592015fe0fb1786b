import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { systemCode } from '../../errors.js';
import { formatSize } from '../../spec/index.js';

/**
 * Reads a whole regular file of at most `maxBytes` bytes. It never waits for another program, as reading a
 * pipe would.
 *
 * @throws Error that says why not, to be read after the file's name: `is not there`
 */
export async function readRegularFile(path: string, maxBytes: number): Promise<Buffer> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = await file.stat();
    if (!status.isFile()) throw new Error('is not a regular file');
    const chunks: Buffer[] = [];
    // Its end is within what is read, so that this is one byte more than is allowed.
    const stream = file.createReadStream({ end: maxBytes, autoClose: false }) as AsyncIterable<Buffer>;
    for await (const chunk of stream) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (bytes.byteLength > maxBytes) throw new Error(`has more than ${formatSize(maxBytes)}`);
    return bytes;
  } catch (error) {
    throw wordsFor(error);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'is not there',
  ENOTDIR: 'is not there, since something above it is no directory',
  EACCES: 'may not be read',
  EISDIR: 'is a directory',
  ELOOP: 'leads through links that lead nowhere',
};

function wordsFor(error: unknown): Error {
  const code = systemCode(error);
  if (code === undefined)
    return error instanceof Error ? error : new Error('cannot be read', { cause: error });
  return new Error(REASONS[code] ?? `cannot be read (${code})`, { cause: error });
}
