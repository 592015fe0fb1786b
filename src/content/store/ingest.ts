import { constants } from 'node:fs';
import { chmod, type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ContentError, systemCode } from '../../errors.js';
import { algorithmOf, type Descriptor } from '../../spec/index.js';
import { faultPoint, startWriteback } from '../../system/index.js';
import { ArrivingBytes, bytesIn, cutChunks, type WrittenBytes } from './arriving-bytes.js';
import type { BlobRecords } from './blob-records.js';
import type { BlobInfo, ByteSpan, IngestProgress, IngestWriter } from './content-store.js';
import { type IngestDirectory, type IngestState, stalePartial, trustedSpans } from './ingest-directory.js';
import { blobDirectory, blobPath, fileError, makeDirectory, syncDirectory } from './layout-files.js';

/** What the commit of a blob needs to know. */
interface BlobCommit {
  readonly root: string;
  /** Shared by the writers of one store. */
  readonly records: BlobRecords;
  readonly descriptor: Descriptor;
  readonly source?: string | undefined;
  /** This boot, where the blob is not to be synced; see src/metadata/database.ts. */
  readonly notDurable?: string | undefined;
}

export interface LocalIngestOptions extends BlobCommit {
  /** Held by this writer until it ends. */
  readonly directory: IngestDirectory;
  /** Ends the reading of what an earlier process left. */
  readonly signal?: AbortSignal | undefined;
  /** Called once, when the writer has let go of everything. */
  readonly onEnd: () => void;
}

/**
 * The way of a blob into a store on disk: a partial that grows in `ingest/`, and the commit that makes it a
 * blob.
 */
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
   * Opens the partial in a directory that is locked, and takes over what an earlier process left there. When
   * it fails the directory is still the caller's.
   *
   * @throws ContentError NO_SPACE, FILESYSTEM
   */
  static async begin(options: LocalIngestOptions): Promise<LocalIngest> {
    const { descriptor, directory, source } = options;
    const sync = options.notDurable === undefined;
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

  get offset(): number {
    return this.#bytes.offset;
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
    const info = await commitFile(this.#options, this.#options.directory.dataPath, (o) => this.#file.seal(o));
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

/**
 * Makes a blob of a file that is whole and verified: the content first, then its name, then the name's
 * durability, then the row. A blob that can be seen is whole, at any moment, and the database never names a
 * file that the disk may still lose, unless its row is marked as not durable. After a failure the file is where
 * it was.
 *
 * @param seal makes the file read-only, and durable where that is asked for
 * @throws ContentError NO_SPACE, FILESYSTEM
 */
export async function commitFile(
  { root, records, descriptor, source, notDurable }: BlobCommit,
  file: string,
  seal: (o: { readonly sync: boolean }) => Promise<void>,
): Promise<BlobInfo> {
  const { digest, size } = descriptor;
  const target = blobPath(root, digest);
  faultPoint('blob-commit:verified');
  const mark = notDurable === undefined || (await records.isSynced(digest)) ? undefined : notDurable;
  try {
    await seal({ sync: mark === undefined });
    faultPoint('blob-commit:synced');
    await makeBlobDirectory(root, descriptor);
    await rename(file, target);
    faultPoint('blob-commit:renamed');
  } catch (error) {
    throw fileError(error, 'commit a blob', target);
  }
  try {
    const info = await records.record({ digest, size, source, notDurable: mark });
    faultPoint('blob-commit:recorded');
    return info;
  } catch (error) {
    // Where even that fails it is a file without a row, which the next ingest takes over.
    await rename(target, file).catch(() => undefined);
    throw error;
  }
}

/** Makes the directory that a blob is to lie in, durable. */
async function makeBlobDirectory(root: string, { digest }: Descriptor): Promise<void> {
  const directory = blobDirectory(root, digest);
  await makeDirectory(directory);
  // That of sha256 came with the store. Another process may have made this one, and not synced its name yet.
  if (algorithmOf(digest) !== 'sha256') await syncDirectory(dirname(directory));
}

/**
 * After so many bytes that arrived out of order the state is written anew, beside the writes that go on
 * meanwhile: that costs a small file and a rename, and no sync, since what a killed process has written
 * stays.
 */
const RECORD_EVERY_BYTES = 1024 * 1024;
/**
 * So many bytes may be without a record: a write that would make them more waits for it. What a kill can
 * cost.
 */
const MOST_UNRECORDED_BYTES = 2 * 1024 * 1024;
/**
 * After so many bytes the disk is told to begin with them. A call costs some 20 µs, and far more where the
 * disk is busy.
 */
const WRITE_BACK_BYTES = 8 * 1024 * 1024;
/** So many are recorded at most, so that the state stays small. Downloads make a few. */
const MOST_SPANS = 1024;

export interface PartialFileOptions {
  /** `registry/repository` */
  readonly source: string | undefined;
  /** Whether it is to be durable in the end. */
  readonly sync: boolean;
}

/**
 * The bytes of a partial blob and the record of which of them are there.
 *
 * While bytes come in order, the length of the file says it, and nothing else need be recorded to survive a
 * crash. Before the first write beyond the offset the state says what there is, and from then on only what a
 * state names counts, since the file may have holes. A state never names a byte that was not written before
 * it. What comes in one piece needs no state: without one a file that has the blob's length is what it was
 * meant to be, or its digest says that it is not.
 */
class PartialFile {
  readonly #directory: IngestDirectory;
  readonly #data: FileHandle;
  #state: IngestState;
  /** Whether the directory has a state of this writer. */
  #stated = false;
  /** How many bytes had arrived when the state last said which. */
  #recordedBytes = 0;
  /** How many bytes have arrived or are about to. */
  #admittedBytes = 0;
  /** Whether the state is being written beside the writes. */
  #isRecording = false;
  /** The last state that was asked for, whatever became of it. */
  #recording: Promise<void> = Promise.resolve();
  readonly #sync: boolean;
  #dirtyBytes = 0;
  /** While the kernel is being told to begin to write. */
  #writingBack: Promise<void> | undefined;

  private constructor(
    directory: IngestDirectory,
    data: FileHandle,
    state: IngestState,
    { sync }: Pick<PartialFileOptions, 'sync'>,
  ) {
    this.#sync = sync;
    this.#directory = directory;
    this.#data = data;
    this.#state = state;
  }

  /**
   * Opens the partial in a directory that is locked, with what an earlier process left there.
   *
   * @returns the file, and which bytes of it can be gone on with
   * @throws ContentError NO_SPACE, FILESYSTEM
   */
  static async open(
    directory: IngestDirectory,
    { mediaType, size }: Descriptor,
    { source, sync }: PartialFileOptions,
  ): Promise<{ readonly file: PartialFile; readonly spans: readonly ByteSpan[] }> {
    try {
      const fresh = await openNew(directory.dataPath);
      if (fresh !== undefined) {
        const state: IngestState = { mediaType, size, startedAt: Date.now(), source };
        return { file: new PartialFile(directory, fresh, state, { sync }), spans: [] };
      }
      await directory.removeTemporaries();
      const known = await directory.readState();
      const data = await openForWriting(directory.dataPath);
      try {
        const { size: length } = await data.stat();
        const spans = trustedSpans(known, length, size);
        const end = spans.at(-1)?.end ?? 0;
        if (end !== length) await data.truncate(end);
        const state: IngestState = {
          mediaType,
          size,
          startedAt: known?.startedAt ?? Date.now(),
          source,
          ...(isPrefix(spans) ? {} : { spans }),
        };
        const file = new PartialFile(directory, data, state, { sync });
        await file.#writeState(state);
        const bytes = spans.reduce((sum, span) => sum + span.end - span.start, 0);
        file.#recordedBytes = file.#admittedBytes = bytes;
        return { file, spans };
      } catch (error) {
        await data.close();
        throw error;
      }
    } catch (error) {
      throw fileError(error, 'open a partial blob', directory.path);
    }
  }

  /** @param written what had arrived before */
  async write(at: number, chunks: readonly Uint8Array[], written: WrittenBytes): Promise<void> {
    const length = bytesIn(chunks);
    this.#admittedBytes += length;
    try {
      if (this.#state.spans !== undefined) await this.#recordNowAndThen(written);
      else if (at > written.prefix) await this.#record(written);
      else if (!this.#stated && length < this.#state.size) await this.#begin();
      for (let done = 0; done < length;) {
        const left = done === 0 ? chunks : cutChunks(chunks, done, length);
        const { bytesWritten } = await this.#data.writev(left, at + done);
        done += bytesWritten;
      }
      if (this.#sync) this.#writeBack(length);
    } catch (error) {
      this.#admittedBytes -= length;
      throw fileError(error, 'write a blob', this.#directory.dataPath);
    }
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    const buffer = Buffer.allocUnsafe(length);
    const path = this.#directory.dataPath;
    try {
      const { bytesRead } = await this.#data.read(buffer, 0, length, at);
      if (bytesRead === 0) throw new Error(`it ends before ${at}`);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw fileError(error, 'read a partial blob', path);
    }
  }

  /**
   * Makes the content what it is from now on: read-only.
   *
   * @param o `sync`: and durable, also where it was not to be before
   */
  async seal(o: { readonly sync: boolean }): Promise<void> {
    await this.#data.chmod(0o444);
    if (o.sync) await this.#data.sync();
  }

  /** Lets the state say exactly what there is, for whoever goes on with it. */
  async keep(written: WrittenBytes): Promise<void> {
    const { spans: recorded, ...ordered } = this.#state;
    const { spans } = written;
    try {
      if (recorded === undefined) {
        await this.#begin();
        return;
      }
      // What lies beyond was begun and did not arrive; in order, the length must not say that it did.
      await this.#data.truncate(spans.at(-1)?.end ?? 0);
      await this.#writeState(isPrefix(spans) ? ordered : { ...ordered, spans: recordable(spans) });
    } catch {
      // On a full disk the old state stays: it says less than there is, and nothing that is wrong.
    }
  }

  /** Resolves when no state is being written any more, whatever became of it. */
  async settle(): Promise<void> {
    await this.#recording;
  }

  async close(): Promise<void> {
    await this.#writingBack;
    await this.#data.close();
  }

  /** Has the disk begin with what has come, now and then, so that little is left for the sync at the end. */
  #writeBack(bytes: number): void {
    this.#dirtyBytes += bytes;
    if (this.#dirtyBytes < WRITE_BACK_BYTES || this.#writingBack !== undefined) return;
    this.#dirtyBytes = 0;
    this.#writingBack = startWriteback(this.#data.fd).then(() => {
      this.#writingBack = undefined;
    });
  }

  /** Lets there be a state, which is all there is to record while bytes come in order. */
  #begin(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#stated) await this.#writeState(this.#state);
    });
  }

  /**
   * Lets the state say what has arrived, and not for every few bytes. Waits for it only where too much would
   * be lost.
   */
  async #recordNowAndThen(written: WrittenBytes): Promise<void> {
    if (!this.#isRecording && written.bytes - this.#recordedBytes >= RECORD_EVERY_BYTES) {
      this.#isRecording = true;
      // What fails is tried again by the write that has to wait for it.
      void this.#record(written)
        .catch(() => undefined)
        .finally(() => {
          this.#isRecording = false;
        });
    }
    if (this.#admittedBytes - this.#recordedBytes <= MOST_UNRECORDED_BYTES) return;
    await this.#recording;
    if (this.#admittedBytes - this.#recordedBytes > MOST_UNRECORDED_BYTES) await this.#record(written);
  }

  #record(written: WrittenBytes): Promise<void> {
    return this.#inTurn(async () => {
      const { bytes, spans } = written;
      if (this.#state.spans !== undefined && bytes === this.#recordedBytes) return;
      await this.#writeState({ ...this.#state, spans: recordable(spans) });
      this.#recordedBytes = bytes;
    });
  }

  /** One at a time, so that the state which was asked for last is the one that stays. */
  #inTurn(record: () => Promise<void>): Promise<void> {
    const next = this.#recording.then(record);
    this.#recording = next.catch(() => undefined);
    return next;
  }

  async #writeState(state: IngestState): Promise<void> {
    await this.#directory.writeState(state);
    this.#state = state;
    this.#stated = true;
  }
}

/** Whether the length of a file that ends where these do says all there is to say. */
function isPrefix(spans: readonly ByteSpan[]): boolean {
  return spans.length === 0 || (spans.length === 1 && spans[0]?.start === 0);
}

function recordable(spans: readonly ByteSpan[]): readonly ByteSpan[] {
  return spans.slice(0, MOST_SPANS);
}

/** Undefined where an earlier process has left one. */
async function openNew(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    return undefined;
  }
}

async function openForWriting(path: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  try {
    return await open(path, flags, 0o600);
  } catch (error) {
    // A process that died in the middle of a commit leaves it read-only.
    if (systemCode(error) !== 'EACCES') throw error;
    await chmod(path, 0o600);
    return await open(path, flags, 0o600);
  }
}
