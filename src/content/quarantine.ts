import { rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ContentError } from '../errors.js';
import { algorithmOf, type Digest, encodedOf } from '../spec/index.js';
import { fileError, unlessMissing } from './file-error.js';
import { IngestDirectory } from './ingest-directory.js';
import { syncDirectory } from './layout-files.js';
import { makeDirectory } from './make-directory.js';
import { blobDirectory, blobPath, ingestPath } from './store-paths.js';

/** Where damaged content is kept for whoever wants to look at it. Nothing reads it, and no collection touches it. */
export const QUARANTINE = 'quarantine';

/**
 * Moves a damaged blob's file out of `blobs/`, where other programs would read it, and says where it is now; undefined
 * where there is none. Its row stays: it says where the content came from, and a row without its file counts as absent.
 *
 * @throws ContentError IN_USE while the blob is being written; FILESYSTEM
 */
export async function quarantineBlob(root: string, digest: Digest): Promise<string | undefined> {
  const directory = await IngestDirectory.tryLock(ingestPath(root, digest), { create: true });
  if (directory === undefined) {
    throw new ContentError('IN_USE', `the blob ${digest} is being written`, { retryable: true });
  }
  const path = blobPath(root, digest);
  const away = join(root, QUARANTINE, `${algorithmOf(digest)}-${encodedOf(digest)}.${Date.now()}`);
  try {
    await makeDirectory(join(root, QUARANTINE), 0o700);
    const moved = await unlessMissing(rename(path, away).then(() => true));
    if (moved !== true) return undefined;
    await syncDirectory(join(root, QUARANTINE));
    await syncDirectory(blobDirectory(root, digest));
    return away;
  } catch (error) {
    throw fileError(error, 'put a damaged blob aside', path);
  } finally {
    await directory.leave();
  }
}

/** Throws away what was put aside, since there is something better now. */
export async function discardQuarantined(path: string): Promise<void> {
  await unlessMissing(unlink(path)).catch((error: unknown) => {
    throw fileError(error, 'remove a damaged blob', path);
  });
}
