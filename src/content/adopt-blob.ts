import { constants } from 'node:fs';
import { type FileHandle, lstat, open, unlink } from 'node:fs/promises';

import { type Abortable, throwIfAborted } from '../errors.js';
import type { MetadataDatabase } from '../metadata/index.js';
import { createDigester, type Descriptor } from '../spec/index.js';
import { recordBlob } from './blob-rows.js';
import { fileError, unlessMissing } from './file-error.js';
import { syncDirectory } from './layout-files.js';
import { blobDirectory, blobPath } from './store-paths.js';

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
