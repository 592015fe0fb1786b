import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { type Abortable, ContentError, isLandfallError, type LandfallError, systemCode } from '../errors.js';
import type { Descriptor, Digest } from '../spec/index.js';
import { ArchiveStream, OpenedFile } from './archives/archive-file.js';
import { SPOOL_DIRECTORY } from './archives/spool-archive.js';
import type { OpenContent } from './destination.js';
import { verifiedContent } from './verified-content.js';

export interface KeptBlobsOptions extends Abortable {
  /** Where they are fetched, from an offset on. */
  readonly fetch: (descriptor: Descriptor, offset: number) => Promise<Readable>;
  /** Default {@link SPOOL_DIRECTORY}. */
  readonly directory?: string | undefined;
}

/**
 * Blobs that are fetched once, however often they are read. What came is in files that have no name, and so go with this process,
 * however that ends; nobody else can change them.
 *
 * A connection that breaks is resumed. What is read here is verified: its last bytes come only when size and digest were right.
 * Disposing gives back the room.
 */
export class KeptBlobs implements AsyncDisposable {
  readonly #options: KeptBlobsOptions;
  readonly #files = new Map<Digest, OpenedFile>();
  readonly #handles: FileHandle[] = [];

  constructor(options: KeptBlobsOptions) {
    this.#options = options;
  }

  /** Whether a blob is here whole, so that it is what it was when it was read for the first time. */
  has({ digest }: Descriptor): boolean {
    return this.#files.has(digest);
  }

  /** Errors, of the stream too: NO_SPACE, FILESYSTEM; DIGEST_MISMATCH, SIZE_MISMATCH; those of fetching; ABORTED. */
  async open(descriptor: Descriptor): Promise<Readable> {
    const file = this.#files.get(descriptor.digest);
    if (file !== undefined) return new ArchiveStream(file);
    const handle = await this.#create();
    return Readable.from(this.#fetch(descriptor, handle), { objectMode: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const handle of this.#handles.splice(0)) await handle.close();
  }

  async *#fetch(descriptor: Descriptor, handle: FileHandle): AsyncGenerator<Buffer, void, undefined> {
    const { fetch, signal } = this.#options;
    const source: OpenContent = (offset = 0) => fetch(descriptor, offset);
    for await (const chunk of verifiedContent(descriptor, source, { signal })) {
      await handle.writeFile(chunk).catch((error: unknown) => {
        throw this.#error(error);
      });
      yield chunk;
    }
    const { digest, size } = descriptor;
    this.#files.set(digest, new OpenedFile(handle, digest, { size, isRegular: true }));
  }

  async #create(): Promise<FileHandle> {
    const { directory = SPOOL_DIRECTORY } = this.#options;
    const path = join(directory, `.landfall-${randomUUID()}`);
    try {
      const handle = await open(path, 'wx+', 0o600);
      this.#handles.push(handle);
      await rm(path, { force: true });
      return handle;
    } catch (error) {
      throw this.#error(error);
    }
  }

  #error(error: unknown): LandfallError {
    if (isLandfallError(error)) return error;
    const { directory = SPOOL_DIRECTORY } = this.#options;
    const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
    const reason = error instanceof Error ? error.message : String(error);
    return new ContentError(
      full ? 'NO_SPACE' : 'FILESYSTEM',
      `a layer could not be kept in ${directory}: ${reason}`,
      {
        cause: error,
        details: { path: directory },
        hint: 'Make room there, or name another directory with TMPDIR.',
      },
    );
  }
}
