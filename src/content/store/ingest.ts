import { rename } from 'node:fs/promises';
import { dirname } from 'node:path';

import { ContentError } from '../../errors.js';
import type { MetadataDatabase } from '../../metadata/index.js';
import { algorithmOf, type Descriptor } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import { ArrivingBytes } from './arriving-bytes.js';
import { type BlobRecords, hasSyncedRow } from './blob-records.js';
import type { ByteSpan } from './byte-ranges.js';
import type { BlobInfo, IngestProgress, IngestWriter } from './content-store.js';
import { blobDirectory, blobPath, fileError, makeDirectory, syncDirectory } from './layout-files.js';
import { type IngestDirectory, stalePartial } from './ingest-directory.js';
import { PartialFile } from './partial-file.js';

export interface LocalIngestOptions {
  readonly root: string;
  readonly database: MetadataDatabase;
  /** Shared by the writers of one store. */
  readonly records: BlobRecords;
  readonly descriptor: Descriptor;
  /** Held by this writer until it ends. */
  readonly directory: IngestDirectory;
  readonly source?: string | undefined;
  /** This boot, where the blob is not to be synced; see src/metadata/unsynced.ts. */
  readonly unsynced?: string | undefined;
  /** Ends the reading of what an earlier process left. */
  readonly signal?: AbortSignal | undefined;
  /** Called once, when the writer has let go of everything. */
  readonly onEnd: () => void;
}

/** The way of a blob into a store on disk: a partial that grows in `ingest/`, and the commit that makes it a blob. */
export class LocalIngest implements IngestWriter {
  readonly descriptor: Descriptor;
  readonly #options: LocalIngestOptions;
  readonly #file: PartialFile;
  readonly #bytes: ArrivingBytes;
  #resumed = false;
  /** `sealed`: verified; nothing more is written, and what fails from here on is not the content's fault. */
  #phase: 'open' | 'sealed' | 'committed' | 'closed' = 'open';

  private constructor(options: LocalIngestOptions, file: PartialFile) {
    this.#options = options;
    this.descriptor = options.descriptor;
    this.#file = file;
    const bytes: ArrivingBytes = new ArrivingBytes(options.descriptor, {
      write: (at, chunks) => file.write(at, chunks, bytes.written),
      read: (at, length) => file.read(at, length),
    });
    this.#bytes = bytes;
  }

  /**
   * Opens the partial in a directory that is locked, and takes over what an earlier process left there. When it
   * fails the directory is still the caller's.
   *
   * @throws ContentError NO_SPACE, FILESYSTEM
   */
  static async begin(options: LocalIngestOptions): Promise<LocalIngest> {
    const { descriptor, directory, source } = options;
    const sync = options.unsynced === undefined;
    const { file, spans } = await PartialFile.open(directory, descriptor, { source, sync });
    try {
      const ingest = new LocalIngest(options, file);
      await ingest.#resume(spans);
      return ingest;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get frontier(): number {
    return this.#bytes.frontier;
  }

  get progress(): IngestProgress {
    return { bytes: this.#bytes.written.bytes, size: this.descriptor.size };
  }

  missing(): readonly ByteSpan[] {
    return this.#bytes.missing();
  }

  get path(): string {
    return this.#phase === 'committed' ? this.committedPath : this.#options.directory.dataPath;
  }

  get committedPath(): string {
    return blobPath(this.#options.root, this.descriptor.digest);
  }

  get shared(): SharedArrayBuffer {
    return this.#bytes.shared;
  }

  async write(at: number, ...chunks: readonly Uint8Array[]): Promise<void> {
    this.#requireOpen();
    await this.#bytes.write(at, chunks);
  }

  async commit(): Promise<BlobInfo> {
    this.#requireOpen();
    try {
      await this.#bytes.verify();
    } catch (error) {
      if (!(error instanceof ContentError) || error.code !== 'DIGEST_MISMATCH') throw error;
      await this.discard().catch(() => undefined);
      throw this.#resumed ? stalePartial(error) : error;
    }
    this.#phase = 'sealed';
    faultPoint('blob-commit:verified');
    const unsynced = await this.#mark();
    try {
      await this.#file.seal({ sync: unsynced === undefined });
      faultPoint('blob-commit:synced');
      await makeBlobDirectory(this.#options.root, this.descriptor);
      await rename(this.#options.directory.dataPath, this.committedPath);
      faultPoint('blob-commit:renamed');
    } catch (error) {
      throw fileError(error, 'commit a blob', this.committedPath);
    }
    const info = await this.#record(unsynced);
    faultPoint('blob-commit:recorded');
    this.#phase = 'committed';
    // The blob is there, whatever becomes of its empty directory, which would expire like any other.
    await this.#end(() => this.#options.directory.remove().catch(() => undefined));
    return info;
  }

  async discard(): Promise<void> {
    if (!this.#holdsPartial) return;
    this.#phase = 'closed';
    await this.#bytes.settle();
    await this.#end(() => this.#options.directory.remove());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#holdsPartial) return;
    this.#phase = 'closed';
    await this.#bytes.settle();
    const { directory } = this.#options;
    const { written } = this.#bytes;
    await this.#end(async () => {
      if (written.bytes === 0) {
        await directory.remove();
        return;
      }
      await this.#file.keep(written);
      await directory.leave();
    });
  }

  async #resume(spans: readonly ByteSpan[]): Promise<void> {
    this.#resumed = spans.length > 0;
    await this.#bytes.resume(spans, { signal: this.#options.signal });
  }

  /**
   * What the row is to say of a file that is not synced; undefined for one that is. A row of a lost blob that says that its
   * file is on the disk would go on saying so if the power failed now, so what takes the lost one's place has to be.
   */
  async #mark(): Promise<string | undefined> {
    const { database, descriptor, unsynced } = this.#options;
    if (unsynced === undefined || (await hasSyncedRow(database, descriptor.digest))) return undefined;
    return unsynced;
  }

  /**
   * The content first, then its name, then the name's durability, then the row: a blob that can be seen is whole, at any
   * moment, and the database never names what the disk may still lose, unless it says that too.
   */
  async #record(unsynced: string | undefined): Promise<BlobInfo> {
    const { records, source } = this.#options;
    const { digest, size } = this.descriptor;
    try {
      return await records.record({ digest, size, source, unsynced });
    } catch (error) {
      await this.#takeBack(this.committedPath);
      throw error;
    }
  }

  /** Makes a partial of what could not be committed, so that it is resumed or expires as any other. */
  async #takeBack(path: string): Promise<void> {
    // Where even that fails it is a file without a row, which the next ingest takes over.
    await rename(path, this.#options.directory.dataPath).catch(() => undefined);
  }

  async #end(finish: () => Promise<void>): Promise<void> {
    this.#bytes.fail();
    try {
      // It would put a file into a directory that is removed.
      await this.#file.settle();
      await finish();
    } finally {
      await this.#file.close();
      this.#options.onEnd();
    }
  }

  get #holdsPartial(): boolean {
    return this.#phase === 'open' || this.#phase === 'sealed';
  }

  #requireOpen(): void {
    if (this.#phase !== 'open') throw new Error(`the ingest of ${this.descriptor.digest} has ended`);
  }
}

/** Makes the directory that a blob is to lie in, durable. */
export async function makeBlobDirectory(root: string, { digest }: Descriptor): Promise<void> {
  const directory = blobDirectory(root, digest);
  await makeDirectory(directory);
  // That of sha256 came with the store. Another process may have made this one, and not synced its name yet.
  if (algorithmOf(digest) !== 'sha256') await syncDirectory(dirname(directory));
}
