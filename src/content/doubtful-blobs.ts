import { rename } from 'node:fs/promises';

import { integerOf, IN_DOUBT, type MetadataDatabase, optionalTextOf, textOf } from '../metadata/index.js';
import { type Digest, parseDigest } from '../spec/index.js';
import { unlessMissing } from './file-error.js';
import { IngestDirectory } from './ingest-directory.js';
import { blobPath, ingestPath } from './store-paths.js';

/** Nobody noted it, and whoever goes on with the partial knows. */
const MEDIA_TYPE = 'application/octet-stream';

/**
 * Makes partials of the blobs that are in doubt (src/metadata/unsynced.ts), whole as they may be: each then counts as missing,
 * and whoever wants it has it digested first and only what that refutes fetched anew. Their rows stay as they are; the caller
 * has the store's root locked.
 *
 * @param boot this one
 * @returns how many there are
 */
export async function putBackDoubtfulBlobs(
  root: string,
  database: MetadataDatabase,
  boot: string,
): Promise<number> {
  const rows = await database.all(`SELECT digest, size, source FROM blobs WHERE ${IN_DOUBT}`, [boot]);
  for (const row of rows) {
    await putBack(root, {
      digest: parseDigest(textOf(row, 'digest')),
      size: integerOf(row, 'size'),
      source: optionalTextOf(row, 'source'),
    });
  }
  return rows.length;
}

interface DoubtfulBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly source: string | undefined;
}

async function putBack(root: string, { digest, size, source }: DoubtfulBlob): Promise<void> {
  const directory = await IngestDirectory.tryLock(ingestPath(root, digest), { create: true });
  // Somebody brings it, since its file is missing already.
  if (directory === undefined) return;
  try {
    await directory.writeState({
      mediaType: MEDIA_TYPE,
      size,
      startedAt: Date.now(),
      ...(source === undefined ? {} : { source }),
    });
    await unlessMissing(rename(blobPath(root, digest), directory.dataPath));
  } finally {
    await directory.leave();
  }
}
