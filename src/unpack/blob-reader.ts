import { readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { systemCode, throwIfAborted, UnpackError, type Abortable } from '../errors.js';
import { Frontier } from '../system/index.js';
import type { ThreadActivity } from './worker/thread-activity.js';

/** Large enough that a system call is cheap, small enough that a growing blob is taken up soon. */
const CHUNK_BYTES = 256 * 1024;

export interface BlobReaderOptions extends Abortable {
  /** Bytes of the whole blob. */
  readonly size: number;
  /** Where the file is when it is not at its path any more, since the download ended before this began. */
  readonly committedPath?: string | undefined;
  /** The shared memory of the blob's {@link Frontier} while it grows; absent when it is whole. */
  readonly frontier?: SharedArrayBuffer | undefined;
  /** Told while the reader waits at the frontier. */
  readonly activity?: ThreadActivity | undefined;
  /** Bytes read so far, after each chunk. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Reads a blob's file from its start to its end, waiting at its frontier while it grows. A chunk is valid until
 * the next is asked for. What is behind the frontier was written just now, so it is read from memory, without a turn of the
 * thread pool.
 *
 * Errors: ABORTED by the signal, or (retryable) when the download that fills the file fails, whose own error says why;
 * FILESYSTEM when the file is shorter than it should be, and the kernel's own errors.
 */
export async function* readBlob(path: string, o: BlobReaderOptions): AsyncGenerator<Buffer, void, undefined> {
  const frontier = o.frontier === undefined ? undefined : new Frontier(o.frontier);
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const file = await openBlob(path, o.committedPath);
  try {
    for (let at = 0; at < o.size;) {
      throwIfAborted(o.signal);
      const until = frontier === undefined ? o.size : await readableUntil(frontier, at, o);
      const bytesRead = readSync(file.fd, buffer, 0, Math.min(CHUNK_BYTES, until - at), at);
      if (bytesRead === 0) throw tooShort(path, at, o.size);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
      o.onProgress?.(at);
    }
  } finally {
    await file.close();
  }
}

async function openBlob(path: string, committedPath: string | undefined): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (committedPath === undefined || systemCode(error) !== 'ENOENT') throw error;
    return open(committedPath, 'r');
  }
}

/** Waits for bytes after `at`; how far the file can be read. */
async function readableUntil(frontier: Frontier, at: number, o: BlobReaderOptions): Promise<number> {
  for (;;) {
    // The state is read first: bytes that were advanced before it changed are then seen.
    const state = frontier.state;
    const bytes = Math.min(frontier.bytes, o.size);
    if (state === 'failed')
      throw new UnpackError('ABORTED', 'the download of the layer failed', { retryable: true });
    if (state === 'complete') return o.size;
    if (bytes > at) return bytes;
    const more = frontier.wait(at, { signal: o.signal });
    await (o.activity?.pausedFor(more) ?? more);
  }
}

function tooShort(path: string, bytes: number, size: number): UnpackError {
  return new UnpackError('FILESYSTEM', `the blob ${path} has ${bytes} bytes instead of ${size}`, {
    details: { path, expected: String(size), actual: String(bytes) },
    hint: 'The store is damaged; remove the image and pull it again.',
  });
}
