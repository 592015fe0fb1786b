import { constants } from 'node:fs';
import { open, rename } from 'node:fs/promises';

import type { MetadataDatabase } from '../metadata/index.js';
import type { Descriptor } from '../spec/index.js';
import { faultPoint } from '../system/index.js';
import type { BlobRecords } from './blob-records.js';
import { hasSyncedRow } from './blob-rows.js';
import type { BlobInfo } from './content-store.js';
import { fileError } from './file-error.js';
import { makeBlobDirectory } from './ingest.js';
import { blobPath } from './store-paths.js';

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
