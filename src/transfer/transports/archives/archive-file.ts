import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import {
  abortedError,
  ContentError,
  isLandfallError,
  type LandfallError,
  systemCode,
  UnpackError,
} from '../../../errors.js';

/** The bytes of an archive, for any number of readers at any offset. The caller disposes of it. */
export interface ArchiveFile extends AsyncDisposable {
  /** How a person would name it, for messages. */
  readonly location: string;
  readonly size: number;
  /**
   * Whether it is a file, whose size says where it ends; of a pipe or a device nothing is known before it is
   * read.
   */
  readonly isRegular: boolean;
  /**
   * Fills the buffer from a position on, as far as there is something.
   * Errors: FILESYSTEM.
   */
  read(buffer: Buffer, position: number): Promise<number>;
}

/** @throws {ContentError} BLOB_NOT_FOUND where there is none, FILESYSTEM */
export async function openArchiveFile(path: string): Promise<ArchiveFile> {
  try {
    const handle = await open(path, 'r');
    try {
      const status = await handle.stat();
      return new OpenedFile(handle, path, { size: status.size, isRegular: status.isFile() });
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw archiveError(error, path);
    throw new ContentError('BLOB_NOT_FOUND', `there is no archive ${path}`, {
      details: { path },
      hint: 'Check the spelling of the name.',
    });
  }
}

/** A file by its open handle, which it closes. */
export class OpenedFile implements ArchiveFile {
  readonly location: string;
  readonly size: number;
  readonly isRegular: boolean;
  readonly #handle: FileHandle;

  constructor(
    handle: FileHandle,
    location: string,
    o: { readonly size: number; readonly isRegular: boolean },
  ) {
    this.#handle = handle;
    this.location = location;
    this.size = o.size;
    this.isRegular = o.isRegular;
  }

  async read(buffer: Buffer, position: number): Promise<number> {
    try {
      let filled = 0;
      while (filled < buffer.length) {
        const at = this.isRegular ? position + filled : null;
        const { bytesRead } = await this.#handle.read(buffer, filled, buffer.length - filled, at);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return filled;
    } catch (error) {
      throw archiveError(error, this.location);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/** Files one behind the other, read as one. */
export class JoinedFile implements ArchiveFile {
  readonly location: string;
  readonly size: number;
  readonly isRegular = true;
  readonly #parts: readonly ArchiveFile[];

  constructor(parts: readonly ArchiveFile[], location: string) {
    this.#parts = parts;
    this.location = location;
    this.size = parts.reduce((sum, { size }) => sum + size, 0);
  }

  async read(buffer: Buffer, position: number): Promise<number> {
    let filled = 0;
    let start = 0;
    for (const part of this.#parts) {
      const at = position + filled - start;
      if (at < part.size && filled < buffer.length) {
        const wanted = Math.min(buffer.length - filled, part.size - at);
        filled += await part.read(buffer.subarray(filled, filled + wanted), at);
      }
      start += part.size;
    }
    return filled;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#parts.map((part) => part[Symbol.asyncDispose]()));
  }
}

/** Large enough that a layer is read with few calls, small enough that dozens of readers cost little. */
const CHUNK_BYTES = 256 * 1024;

/** A span of an archive as a stream; from the start to wherever it ends where nothing else is said. */
export class ArchiveStream extends Readable {
  readonly #file: ArchiveFile;
  readonly #end: number;
  #at: number;

  constructor(file: ArchiveFile, start = 0, end: number = file.isRegular ? file.size : Infinity) {
    super({ highWaterMark: CHUNK_BYTES });
    this.#file = file;
    this.#at = start;
    this.#end = end;
  }

  override _read(): void {
    const length = Math.min(CHUNK_BYTES, this.#end - this.#at);
    if (length === 0) {
      this.push(null);
      return;
    }
    this.#readChunk(length).then(
      (chunk) => this.push(chunk),
      (error: unknown) => this.destroy(archiveError(error, this.#file.location)),
    );
  }

  async #readChunk(length: number): Promise<Buffer | null> {
    const chunk = Buffer.allocUnsafe(length);
    const bytes = await this.#file.read(chunk, this.#at);
    this.#at += bytes;
    if (bytes === length) return chunk;
    if (this.#file.isRegular) throw brokenArchive(this.#file.location, 'it became shorter while it was read');
    // The rest of what is no file: the next read finds the end.
    return bytes === 0 ? null : chunk.subarray(0, bytes);
  }
}

const HINT = 'Copy the archive again from where it was written, or have it written anew.';

/** The archive breaks its format, or is not whole. */
export function brokenArchive(location: string, fault: string): UnpackError {
  return new UnpackError('BAD_ARCHIVE', `${location}: ${fault}`, { hint: HINT, details: { path: location } });
}

/** The archive asks for more than any honest one does. */
export function archiveTooLarge(location: string, fault: string): UnpackError {
  return new UnpackError('LIMIT_EXCEEDED', `${location}: ${fault}`, {
    hint: 'No honest archive is known to need this much; ask who wrote it.',
    details: { path: location },
  });
}

/**
 * What an error of reading means for an archive: one about tar or compression names the archive, others pass.
 */
export function archiveError(error: unknown, location: string, signal?: AbortSignal): LandfallError {
  if (signal?.aborted === true) return abortedError(signal);
  if (error instanceof UnpackError && error.details.path === undefined) {
    return error.code === 'BAD_ARCHIVE'
      ? brokenArchive(location, error.message)
      : new UnpackError(error.code, `${location}: ${error.message}`, {
          cause: error,
          hint: HINT,
          details: { path: location },
        });
  }
  if (isLandfallError(error)) return error;
  const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
  const reason = error instanceof Error ? error.message : String(error);
  return new ContentError(full ? 'NO_SPACE' : 'FILESYSTEM', `${location} could not be read: ${reason}`, {
    cause: error,
    details: { path: location },
    hint: full
      ? 'An archive that is compressed or comes from a pipe is unpacked to $TMPDIR, or /var/tmp: make room there.'
      : 'Look at the file, and at the disk that it lies on.',
  });
}
