import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';

import { ContentError } from '../../errors.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import type { ByteRange } from './content-store.js';
import { fileError, unlessMissing } from './layout-files.js';
import { exactSize } from '../../spec/index.js';

/** Large enough that a blob is read with few calls, small enough that hundreds of readers cost little. */
export const BLOB_CHUNK_BYTES: number = 256 * 1024;

/**
 * Opens a blob's file for {@link BlobProvider.open}.
 *
 * @throws ContentError BLOB_NOT_FOUND, SIZE_MISMATCH, INVALID_CONFIG for a range that is not within the blob,
 *   FILESYSTEM
 */
export async function openBlobFile(
  path: string,
  descriptor: Descriptor,
  range?: ByteRange,
): Promise<Readable> {
  const handle = await unlessMissing(open(path, BLOB_FLAGS)).catch((error: unknown) => {
    throw fileError(error, 'open a blob', path);
  });
  return await streamBlobFile(handle, path, { descriptor, range });
}

/** Neither a link is followed nor a pipe waited for, where one stands in a blob's place. */
const BLOB_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * As {@link openBlobFile}, of a file that is open, or missing. It is closed by the stream.
 *
 * @param check what else has to hold before the first byte
 */
export async function streamBlobFile(
  handle: FileHandle | undefined,
  path: string,
  o: {
    readonly descriptor: Descriptor;
    readonly range: ByteRange | undefined;
    readonly check?: (handle: FileHandle) => Promise<void>;
  },
): Promise<Readable> {
  if (handle === undefined) throw blobNotFound(o.descriptor.digest);
  try {
    const file = await handle.stat();
    checkSize(o.descriptor, file.size);
    if (!file.isFile()) {
      throw new ContentError('FILESYSTEM', `the blob at ${path} is not a regular file`, {
        details: { path },
        hint: 'Remove what stands there, and pull the image again.',
      });
    }
    const { start, end } = spanOf(o.range, file.size);
    await o.check?.(handle);
    return new BlobFileStream(handle, path, { start, end });
  } catch (error) {
    await handle.close();
    throw fileError(error, 'open a blob', path);
  }
}

export function blobNotFound(digest: Digest): ContentError {
  return new ContentError('BLOB_NOT_FOUND', `there is no blob ${digest}`, {
    details: { digest },
    hint: 'Pull the image that it belongs to.',
  });
}

/** @throws ContentError SIZE_MISMATCH */
export function checkSize({ digest, size }: Descriptor, actual: number): void {
  if (size === actual) return;
  throw new ContentError(
    'SIZE_MISMATCH',
    `the blob ${digest} has ${exactSize(actual)}, not ${exactSize(size)} as announced`,
    {
      details: { digest, expected: size, actual },
      hint: 'Either the manifest is wrong, or the blob is damaged: pull the image again.',
    },
  );
}

/** The span that a range selects; one that reaches past the end stops there. */
export function spanOf(range: ByteRange | undefined, size: number): { start: number; end: number } {
  const start = range?.offset ?? 0;
  const length = range?.length ?? size - start;
  const valid = Number.isSafeInteger(start) && start >= 0 && start <= size && length >= 0;
  if (!valid || !Number.isSafeInteger(length)) {
    throw new ContentError(
      'INVALID_CONFIG',
      `a range of ${length} bytes from ${start} is not within ${size} bytes`,
    );
  }
  return { start, end: Math.min(start + length, size) };
}

/**
 * Reads a span of a file; closes it at the end, and when it is destroyed before. It is read as a stream, or
 * by {@link readNext}, and not by both.
 */
export class BlobFileStream extends Readable {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #end: number;
  #at: number;

  constructor(
    handle: FileHandle,
    path: string,
    { start, end }: { readonly start: number; readonly end: number },
  ) {
    super({ highWaterMark: BLOB_CHUNK_BYTES });
    this.#handle = handle;
    this.#path = path;
    this.#at = start;
    this.#end = end;
  }

  /**
   * Reads what comes next into a buffer of the caller's, for who has one to use again.
   *
   * @returns how many bytes; 0 at the end of the span
   * @throws ContentError STORE_CORRUPT where the file ends before, FILESYSTEM
   */
  async readNext(buffer: Uint8Array): Promise<number> {
    const length = Math.min(buffer.length, this.#end - this.#at);
    if (length === 0) return 0;
    const { bytesRead } = await this.#handle
      .read(buffer, 0, length, this.#at)
      .catch((error: unknown) => Promise.reject(fileError(error, 'read a blob', this.#path)));
    if (bytesRead === 0) {
      throw new ContentError(
        'STORE_CORRUPT',
        `the blob at ${this.#path} ends at ${this.#at} of ${this.#end}`,
        {
          details: { path: this.#path, expected: this.#end, actual: this.#at },
          hint: 'Pull the image again.',
        },
      );
    }
    this.#at += bytesRead;
    return bytesRead;
  }

  override _read(): void {
    const length = Math.min(BLOB_CHUNK_BYTES, this.#end - this.#at);
    const chunk = Buffer.allocUnsafe(length);
    this.readNext(chunk).then(
      (bytes) => this.push(bytes === 0 ? null : chunk.subarray(0, bytes)),
      (error: unknown) => this.destroy(fileError(error, 'read a blob', this.#path)),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#handle.close().then(
      () => callback(error),
      (closing: unknown) => callback(error ?? fileError(closing, 'close a blob', this.#path)),
    );
  }
}
