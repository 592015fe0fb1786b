import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rename, unlink } from 'node:fs/promises';
import { type Abortable, throwIfAborted } from '../../errors.js';
import type { MetadataDatabase } from '../../metadata/index.js';
import { createDigester, type Descriptor } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import { type BlobRecords, hasSyncedRow, recordBlob } from './blob-records.js';
import type { BlobInfo } from './content-store.js';
import { fileError, unlessMissing } from './file-error.js';
import { makeBlobDirectory } from './ingest.js';
import { blobDirectory, blobPath, syncDirectory } from './layout-files.js';

const PIECE_BYTES = 1024 * 1024;

export interface AdoptBlobOptions extends Abortable {
  readonly root: string;
  readonly database: MetadataDatabase;
  /** Of a blob that is not here, as the database says, and whose ingest the caller has locked. */
  readonly descriptor: Descriptor;
  readonly source?: string | undefined;
}

/**
 * Takes over the file of a blob whose process died after it gave the file its name and before it recorded it: what has
 * the right digest need not come again. A file of the right length that has another digest is removed.
 *
 * @returns whether the blob is here now
 * @throws ContentError NO_SPACE, FILESYSTEM; LandfallError ABORTED
 */
export async function adoptBlob(options: AdoptBlobOptions): Promise<boolean> {
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

export interface AdoptFileOptions {
  readonly root: string;
  readonly database: MetadataDatabase;
  readonly records: BlobRecords;
  /** Of a blob that is not here, and whose ingest the caller has locked. */
  readonly descriptor: Descriptor;
  /** A file below the root that the caller alone has, and whose size and digest are the descriptor's. */
  readonly file: string;
  readonly source?: string | undefined;
  readonly unsynced?: string | undefined;
}

/**
 * Makes a blob of a file that is whole and verified already, by its name alone: as the commit of an ingest goes on once the
 * bytes are verified. Where it fails the file is where it was.
 *
 * @throws ContentError NO_SPACE, FILESYSTEM
 */
export async function adoptFile(options: AdoptFileOptions): Promise<BlobInfo> {
  const { root, database, records, descriptor, file, source } = options;
  const { digest, size } = descriptor;
  const target = blobPath(root, digest);
  // As for an ingest: what takes the place of a lost blob whose row says that it is on the disk has to be there.
  const unsynced =
    options.unsynced === undefined || (await hasSyncedRow(database, digest)) ? undefined : options.unsynced;
  faultPoint('blob-commit:verified');
  try {
    await seal(file, { sync: unsynced === undefined });
    faultPoint('blob-commit:synced');
    await makeBlobDirectory(root, descriptor);
    await rename(file, target);
    faultPoint('blob-commit:renamed');
  } catch (error) {
    throw fileError(error, 'commit a blob', target);
  }
  try {
    const info = await records.record({ digest, size, source, unsynced });
    faultPoint('blob-commit:recorded');
    return info;
  } catch (error) {
    // Where even that fails it is a file without a row, which the next ingest takes over.
    await rename(target, file).catch(() => undefined);
    throw error;
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
