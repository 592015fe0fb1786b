import { constants } from 'node:fs';
import { type FileHandle, lstat, open, stat, unlink } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { deferred, untilAborted } from '../../concurrency/index.js';
import { type Abortable, ContentError, throwIfAborted } from '../../errors.js';
import type { MetadataDatabase } from '../../metadata/index.js';
import { createDigester, type Descriptor, type Digest } from '../../spec/index.js';
import { BLOB_COLUMNS, blobOf, BlobRecords, findBlob, recordBlob } from './blob-records.js';
import { blobNotFound, checkSize, openBlobFile } from './blob-stream.js';
import { whileWaiting } from './arriving-bytes.js';
import type {
  BlobInfo,
  ByteRange,
  ContentStore,
  IngestOptions,
  IngestProgress,
  IngestWriter,
  Labels,
} from './content-store.js';
import { IngestDirectory, partialProgress } from './ingest-directory.js';
import { commitFile, LocalIngest } from './ingest.js';
import {
  blobDirectory,
  blobPath,
  fileError,
  ingestPath,
  syncDirectory,
  unlessMissing,
} from './layout-files.js';

export interface LocalContentStoreOptions {
  /** This boot, where what is committed is not to be synced; see src/metadata/database.ts. */
  readonly notDurable?: string | undefined;
}

const LIST_PAGE = 1000;

/** An ingest of this process. */
interface InFlight {
  /** Settles when its writer has ended. */
  readonly ended: Promise<void>;
  /** Undefined while it waits for another process itself. */
  writer?: LocalIngest;
}

/**
 * The content store on disk: an OCI image layout whose blobs the database lists (image-spec:
 * image-layout.md). Any number of processes may use one root.
 *
 * A blob is here when the database has its row and the disk has its file in full length. A file without a row
 * is what a process left that died in a commit: the next ingest of the blob takes it over, or else the
 * collector takes it. A row without its file is damage, and counts as absent, so that the next pull repairs
 * it.
 */
export class LocalContentStore implements ContentStore {
  readonly root: string;
  readonly #database: MetadataDatabase;
  readonly #records: BlobRecords;
  readonly #notDurable: string | undefined;
  readonly #inFlight = new Map<Digest, InFlight>();

  constructor(root: string, database: MetadataDatabase, o: LocalContentStoreOptions = {}) {
    this.root = root;
    this.#database = database;
    this.#records = new BlobRecords(root, database);
    this.#notDurable = o.notDurable;
  }

  async info(digest: Digest): Promise<BlobInfo | undefined> {
    const info = await findBlob(this.#database, digest);
    if (info === undefined) return undefined;
    const path = blobPath(this.root, digest);
    const file = await unlessMissing(stat(path)).catch((error: unknown) => {
      throw fileError(error, 'look at a blob', path);
    });
    return file?.isFile() === true && file.size === info.size ? info : undefined;
  }

  async open(descriptor: Descriptor, range?: ByteRange): Promise<Readable> {
    const { digest } = descriptor;
    const info = await findBlob(this.#database, digest);
    if (info === undefined) throw blobNotFound(digest);
    checkSize(descriptor, info.size);
    return openBlobFile(blobPath(this.root, digest), descriptor, range);
  }

  async path(digest: Digest): Promise<string> {
    if ((await this.info(digest)) === undefined) throw blobNotFound(digest);
    return blobPath(this.root, digest);
  }

  async ingest(descriptor: Descriptor, options: IngestOptions = {}): Promise<IngestWriter | undefined> {
    const { digest } = descriptor;
    // Refuses what could not be verified before anything is made for it.
    createDigester(digest);
    for (;;) {
      throwIfAborted(options.signal);
      if (await this.#isHere(descriptor)) return undefined;
      const elsewhere = this.#inFlight.get(digest);
      if (elsewhere === undefined) return this.#begin(descriptor, options);
      const look = (): Promise<IngestProgress | undefined> => this.#progressOf(digest, elsewhere);
      const wait = ({ signal }: Abortable): Promise<unknown> => untilAborted(elsewhere.ended, signal);
      await whileWaiting({ ...options, wait, look });
    }
  }

  /**
   * The other door in, for what came without its digest: makes a blob of a file below the root that is whole
   * and whose digest the caller has computed over all of its bytes. The file goes, also where the blob is
   * here already; where this fails it stays. Waits for an ingest of the blob that is under way.
   *
   * @throws ContentError NO_SPACE, FILESYSTEM; LandfallError ABORTED
   */
  async adopt(
    descriptor: Descriptor,
    file: string,
    { signal, source }: Pick<IngestOptions, 'signal' | 'source'> = {},
  ): Promise<BlobInfo> {
    const { digest } = descriptor;
    for (let other = this.#inFlight.get(digest); other !== undefined; other = this.#inFlight.get(digest)) {
      await untilAborted(other.ended, signal);
    }
    const ended = deferred<undefined>();
    this.#inFlight.set(digest, { ended: ended.promise });
    try {
      const directory = await IngestDirectory.lock(ingestPath(this.root, digest), { signal });
      try {
        const here = await this.info(digest);
        if (here === undefined) {
          const adopted = await commitFile({ ...this.#shared, descriptor, source }, file, (o) =>
            seal(file, o),
          );
          // What a download had left of it is of no use any more.
          await directory.remove();
          return adopted;
        }
        await unlink(file);
        await directory.leave();
        return here;
      } catch (error) {
        await directory.leave();
        throw error;
      }
    } finally {
      this.#inFlight.delete(digest);
      ended.resolve(undefined);
    }
  }

  /** Blobs in order of their digests, by what the database says: one whose file is damaged is listed too. */
  async *list(): AsyncGenerator<BlobInfo, void, undefined> {
    for (let last = ''; ;) {
      const rows = await this.#database.all(
        `SELECT ${BLOB_COLUMNS} FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?`,
        [last, LIST_PAGE],
      );
      for (const row of rows) {
        const info = blobOf(row);
        last = info.digest;
        yield info;
      }
      if (rows.length < LIST_PAGE) return;
    }
  }

  async update(digest: Digest, { labels }: { readonly labels: Labels }): Promise<BlobInfo> {
    const info = await this.info(digest);
    const text = JSON.stringify(labels);
    const change = await this.#database.run('UPDATE blobs SET labels = ? WHERE digest = ?', [text, digest]);
    if (info === undefined || change.changes === 0) throw blobNotFound(digest);
    return { ...info, labels: { ...labels } };
  }

  async delete(digest: Digest): Promise<void> {
    if (this.#inFlight.has(digest)) throw inUse(digest);
    // Under the lock of its ingest, so that no other process commits the blob between the two steps below.
    const directory = await IngestDirectory.tryLock(ingestPath(this.root, digest), { create: true });
    if (directory === undefined) throw inUse(digest);
    try {
      // The row first: a crash in between leaves a file that nothing names, never a name without its file.
      await this.#database.run('DELETE FROM blobs WHERE digest = ?', [digest]);
      // Were the row to come back by a power cut, it would be taken for that of the next file.
      await this.#database.sync();
      const path = blobPath(this.root, digest);
      await unlessMissing(unlink(path)).catch((error: unknown) => {
        throw fileError(error, 'remove a blob', path);
      });
    } finally {
      await directory.leave();
    }
  }

  /** What every commit of this store has in common. */
  get #shared(): { root: string; records: BlobRecords; notDurable: string | undefined } {
    return { root: this.root, records: this.#records, notDurable: this.#notDurable };
  }

  async #progressOf(digest: Digest, { writer }: InFlight): Promise<IngestProgress | undefined> {
    return writer?.progress ?? (await partialProgress(ingestPath(this.root, digest)));
  }

  /** @throws ContentError SIZE_MISMATCH where it is here in another size than the descriptor says */
  async #isHere(descriptor: Descriptor): Promise<boolean> {
    const info = await this.info(descriptor.digest);
    if (info !== undefined) checkSize(descriptor, info.size);
    return info !== undefined;
  }

  /** Must be called without waiting after the look at `#inFlight`. */
  async #begin(descriptor: Descriptor, options: IngestOptions): Promise<IngestWriter | undefined> {
    const { digest } = descriptor;
    const ended = deferred<undefined>();
    const inFlight: InFlight = { ended: ended.promise };
    this.#inFlight.set(digest, inFlight);
    const onEnd = (): void => {
      this.#inFlight.delete(digest);
      ended.resolve(undefined);
    };
    try {
      const writer = await this.#lockAndBegin(descriptor, options, onEnd);
      if (writer === undefined) onEnd();
      else inFlight.writer = writer;
      return writer;
    } catch (error) {
      onEnd();
      throw error;
    }
  }

  async #lockAndBegin(
    descriptor: Descriptor,
    options: IngestOptions,
    onEnd: () => void,
  ): Promise<LocalIngest | undefined> {
    const path = ingestPath(this.root, descriptor.digest);
    const { signal, source } = options;
    const directory = await whileWaiting({
      ...options,
      wait: (o) => IngestDirectory.lock(path, o),
      look: () => partialProgress(path),
      undo: (locked) => locked.leave(),
    });
    const download = { descriptor, source, signal };
    try {
      // Whoever had the lock before may have committed the blob, or died on the last steps of that.
      if (
        (await this.#isHere(descriptor)) ||
        (await adoptBlob({ ...download, root: this.root, database: this.#database }))
      ) {
        await directory.remove();
        return undefined;
      }
      return await LocalIngest.begin({ ...download, ...this.#shared, directory, onEnd });
    } catch (error) {
      await directory.leave();
      throw error;
    }
  }
}

function inUse(digest: Digest): ContentError {
  return new ContentError('IN_USE', `the blob ${digest} is being written`, {
    details: { digest },
    retryable: true,
    hint: 'Wait for the pull that writes it.',
  });
}

const PIECE_BYTES = 1024 * 1024;

interface AdoptBlobOptions extends Abortable {
  readonly root: string;
  readonly database: MetadataDatabase;
  /** Of a blob that is not here, as the database says, and whose ingest the caller has locked. */
  readonly descriptor: Descriptor;
  readonly source?: string | undefined;
}

/**
 * Takes over the file of a blob whose process died after it gave the file its name and before it recorded it:
 * what has the right digest need not come again. A file of the right length that has another digest is
 * removed.
 *
 * @returns whether the blob is here now
 * @throws ContentError NO_SPACE, FILESYSTEM; LandfallError ABORTED
 */
async function adoptBlob(options: AdoptBlobOptions): Promise<boolean> {
  const { root, database, descriptor, source } = options;
  const { digest, size } = descriptor;
  const path = blobPath(root, digest);
  try {
    const found = await unlessMissing(lstat(path));
    if (found?.isFile() !== true || found.size !== size) return false;
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      if (!(await hasDigest(file, options))) {
        await unlink(path);
        return false;
      }
      // As the commit would have gone on. The row comes last here too.
      await file.chmod(0o444);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncDirectory(blobDirectory(root, digest));
  } catch (error) {
    throw fileError(error, 'take over a blob', path);
  }
  await database.transaction((transaction) => recordBlob(transaction, { digest, size, source }));
  return true;
}

async function hasDigest(file: FileHandle, { descriptor, signal }: AdoptBlobOptions): Promise<boolean> {
  const digester = createDigester(descriptor.digest);
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  for (let at = 0; ;) {
    throwIfAborted(signal);
    const { bytesRead } = await file.read(buffer, 0, PIECE_BYTES, at);
    if (bytesRead === 0) return at === descriptor.size && digester.digest() === descriptor.digest;
    digester.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}

async function seal(file: string, { sync }: { readonly sync: boolean }): Promise<void> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await handle.chmod(0o444);
    if (sync) await handle.sync();
  } finally {
    await handle.close();
  }
}
