import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';

import { ContentError } from '../errors.js';
import type { MetadataDatabase } from '../metadata/index.js';
import type { Descriptor } from '../spec/index.js';
import { ArrivingBytes } from './arriving-bytes.js';
import type { BlobInfo, IngestWriter } from './content-store.js';
import { fileError } from './file-error.js';
import type { IngestDirectory, IngestState } from './ingest-directory.js';
import { syncDirectory } from './layout-files.js';
import { makeDirectory } from './make-directory.js';
import { stalePartial } from './stale-partial.js';
import { blobDirectory, blobPath } from './store-paths.js';

export interface LocalIngestOptions {
  readonly root: string;
  readonly database: MetadataDatabase;
  readonly descriptor: Descriptor;
  /** Held by this writer until it ends. */
  readonly directory: IngestDirectory;
  readonly source?: string | undefined;
  /** Ends the reading of what an earlier process left. */
  readonly signal?: AbortSignal | undefined;
  /** Called once, when the writer has let go of everything. */
  readonly onEnd: () => void;
}

/** How far a frontier that writes out of order made uncertain may move before it is recorded again. */
const RECORD_EVERY_BYTES = 64 * 1024 * 1024;

/**
 * The way of a blob into a store on disk: a partial that grows in `ingest/`, and the commit that makes it a blob.
 *
 * While bytes come in order, the length of the file is the frontier, and nothing else need be recorded to survive a
 * crash. Before the first write beyond the frontier the state says so, and from then on a later process trusts the
 * recorded frontier only, since the file may have holes behind it.
 */
export class LocalIngest implements IngestWriter {
  readonly descriptor: Descriptor;
  readonly #options: LocalIngestOptions;
  readonly #data: FileHandle;
  readonly #bytes: ArrivingBytes;
  #state: IngestState;
  #recording: Promise<void> = Promise.resolve();
  #resumed = false;
  /** `sealed`: verified; nothing more is written, and what fails from here on is not the content's fault. */
  #phase: 'open' | 'sealed' | 'committed' | 'closed' = 'open';

  private constructor(options: LocalIngestOptions, data: FileHandle, state: IngestState) {
    this.#options = options;
    this.descriptor = options.descriptor;
    this.#data = data;
    this.#state = state;
    this.#bytes = new ArrivingBytes(options.descriptor, {
      write: (at, bytes) => this.#writeToFile(at, bytes),
      read: (at, length) => this.#readFromFile(at, length),
    });
  }

  /**
   * Opens the partial in a directory that is locked, and takes over what an earlier process left there. When it
   * fails the directory is still the caller's.
   *
   * @throws ContentError NO_SPACE, FILESYSTEM
   */
  static async begin(options: LocalIngestOptions): Promise<LocalIngest> {
    const { descriptor, directory, source } = options;
    const known = await directory.readState();
    const state: IngestState = {
      mediaType: descriptor.mediaType,
      size: descriptor.size,
      startedAt: known?.startedAt ?? Date.now(),
      ...(source === undefined ? {} : { source }),
    };
    try {
      const data = await open(directory.dataPath, constants.O_RDWR | constants.O_CREAT, 0o600);
      try {
        const end = await trimToFrontier(data, known, descriptor.size);
        await directory.writeState(state);
        const ingest = new LocalIngest(options, data, state);
        await ingest.#resume(end);
        return ingest;
      } catch (error) {
        await data.close();
        throw error;
      }
    } catch (error) {
      throw fileError(error, 'open a partial blob', directory.path);
    }
  }

  get frontier(): number {
    return this.#bytes.frontier;
  }

  get path(): string {
    const { directory, root } = this.#options;
    return this.#phase === 'committed' ? blobPath(root, this.descriptor.digest) : directory.dataPath;
  }

  get committedPath(): string {
    return blobPath(this.#options.root, this.descriptor.digest);
  }

  get shared(): SharedArrayBuffer {
    return this.#bytes.shared;
  }

  async write(at: number, chunk: Uint8Array): Promise<void> {
    this.#requireOpen();
    await this.#bytes.write(at, chunk);
  }

  async commit(): Promise<BlobInfo> {
    this.#requireOpen();
    const { digest } = this.descriptor;
    try {
      await this.#bytes.verify();
    } catch (error) {
      if (!(error instanceof ContentError) || error.code !== 'DIGEST_MISMATCH') throw error;
      await this.discard().catch(() => undefined);
      throw this.#resumed ? stalePartial(error) : error;
    }
    this.#phase = 'sealed';
    const path = blobPath(this.#options.root, digest);
    try {
      await this.#publish(path);
    } catch (error) {
      throw fileError(error, 'commit a blob', path);
    }
    const info = { digest, size: this.descriptor.size, createdAt: new Date() };
    await this.#record(info);
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
    if (this.frontier === 0) {
      await this.discard();
      return;
    }
    this.#phase = 'closed';
    await this.#bytes.settle();
    await this.#end(async () => {
      await this.#keepPrefix();
      await this.#options.directory.leave();
    });
  }

  async #resume(end: number): Promise<void> {
    if (end === 0) return;
    this.#resumed = true;
    await this.#bytes.resume(end, { signal: this.#options.signal });
  }

  async #writeToFile(at: number, bytes: Uint8Array): Promise<void> {
    try {
      if (at > this.frontier || this.#state.frontier !== undefined) await this.#recordFrontier();
      for (let done = 0; done < bytes.byteLength;) {
        const { bytesWritten } = await this.#data.write(bytes, done, bytes.byteLength - done, at + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw fileError(error, 'write a blob', this.path);
    }
  }

  /** Lets the state say how far the file can be trusted; one at a time, and not for every few bytes. */
  #recordFrontier(): Promise<void> {
    const record = async (): Promise<void> => {
      const recorded = this.#state.frontier;
      const { frontier } = this;
      if (recorded !== undefined && frontier - recorded < RECORD_EVERY_BYTES) return;
      const state = { ...this.#state, frontier };
      await this.#options.directory.writeState(state);
      this.#state = state;
    };
    const next = this.#recording.then(record);
    this.#recording = next.catch(() => undefined);
    return next;
  }

  async #readFromFile(at: number, length: number): Promise<Uint8Array> {
    const buffer = Buffer.allocUnsafe(length);
    try {
      const { bytesRead } = await this.#data.read(buffer, 0, length, at);
      if (bytesRead === 0) throw new Error(`it ends before ${at}`);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw fileError(error, 'read a partial blob', this.path);
    }
  }

  /** The content first, then its name, then the name's durability: a blob that can be seen is whole, at any moment. */
  async #publish(path: string): Promise<void> {
    const { root } = this.#options;
    const directory = blobDirectory(root, this.descriptor.digest);
    await this.#data.chmod(0o444);
    await this.#data.sync();
    await makeDirectory(directory);
    await rename(this.#options.directory.dataPath, path);
    await syncDirectory(directory);
  }

  /** The row comes last, so that the database never names what the disk may still lose. */
  async #record({ digest, size, createdAt }: BlobInfo): Promise<void> {
    await this.#options.database.run(
      `INSERT INTO blobs (digest, size, created_at, source) VALUES (?, ?, ?, ?)
       ON CONFLICT (digest) DO UPDATE SET size = excluded.size, created_at = excluded.created_at, source = excluded.source`,
      [digest, size, createdAt.getTime(), this.#options.source ?? null],
    );
  }

  /** Cuts off what lies beyond the frontier, so that the file's length says it again. */
  async #keepPrefix(): Promise<void> {
    const { frontier, ...ordered } = this.#state;
    if (frontier === undefined) return;
    try {
      await this.#data.truncate(this.frontier);
      await this.#options.directory.writeState(ordered);
    } catch {
      // On a full disk the old state stays: it says less than there is, and nothing that is wrong.
    }
  }

  async #end(finish: () => Promise<void>): Promise<void> {
    this.#bytes.fail();
    try {
      await finish();
    } finally {
      await this.#data.close();
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

/** Cuts a partial to what can be trusted of it, and says how much that is. */
async function trimToFrontier(
  data: FileHandle,
  state: IngestState | undefined,
  size: number,
): Promise<number> {
  const { size: length } = await data.stat();
  const trusted = state === undefined ? 0 : Math.min(length, state.frontier ?? length);
  const end = trusted > size ? 0 : trusted;
  if (end !== length) await data.truncate(end);
  return end;
}
