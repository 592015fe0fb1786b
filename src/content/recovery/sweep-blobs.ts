import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Abortable, systemCode, throwIfAborted } from '../../errors.js';
import { type MetadataDatabase, type Statements, textOf } from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import { faultPoint, tryLock } from '../../system/index.js';
import { sizedBlobOf } from '../store/blob-records.js';
import {
  blobFiles,
  blobPath,
  fileError,
  INGEST,
  ingestPath,
  isTemporaryFile,
  unlessMissing,
  withRootLocked,
} from '../store/layout-files.js';
import { IngestDirectory, LOCK_FILE } from '../store/ingest-directory.js';

/** A blob that a collection takes. */
export interface SweptBlob {
  /** Of its bytes. */
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Files are removed so many at a time, which keeps the event loop waiting for some milliseconds. */
const AT_ONCE = 64;

/** The blobs that nobody keeps, by the database. Ask in the transaction that removes them. */
export async function unkeptBlobs(
  statements: Statements,
  keep: (digest: Digest) => boolean,
): Promise<readonly SweptBlob[]> {
  const rows = await statements.all('SELECT digest, size FROM blobs');
  return rows.map(sizedBlobOf).filter(({ digest }) => !keep(digest));
}

/** Those of some digests that are blobs here. */
export async function blobsAmong(
  statements: Statements,
  digests: Iterable<Digest>,
): Promise<readonly SweptBlob[]> {
  const rows = await statements.all(
    'SELECT digest, size FROM blobs WHERE digest IN (SELECT value FROM json_each(?))',
    [JSON.stringify([...digests])],
  );
  return rows.map(sizedBlobOf);
}

/** Takes blobs out of the database; their files are orphans from then on. */
export async function dropBlobs(transaction: Statements, blobs: readonly SweptBlob[]): Promise<void> {
  await transaction.run('DELETE FROM blobs WHERE digest IN (SELECT value FROM json_each(?))', [
    JSON.stringify(blobs.map(({ digest }) => digest)),
  ]);
}

/**
 * Removes the files in `blobs/` that the database does not name, and says which. Each goes under the lock of
 * its ingest, and only if it is still not named then: the commit of a blob renames the file before it writes
 * the row, and holds that lock from before the one until after the other.
 */
export async function removeOrphanBlobs(
  root: string,
  database: MetadataDatabase,
  o: Abortable & { readonly dryRun?: boolean } = {},
): Promise<readonly SweptBlob[]> {
  // The files first: what is committed after this look is not among them.
  const files = await blobFiles(root);
  const named = new Set((await database.all('SELECT digest FROM blobs')).map((row) => textOf(row, 'digest')));
  const orphans = files.filter((digest) => !named.has(digest));
  return await removeBlobFiles(root, database, orphans, o);
}

/**
 * Removes the files of blobs that were dropped, as {@link removeOrphanBlobs} does; one that came back stays.
 */
export async function removeBlobFiles(
  root: string,
  database: MetadataDatabase,
  digests: readonly Digest[],
  o: Abortable & { readonly dryRun?: boolean } = {},
): Promise<readonly SweptBlob[]> {
  const removed: SweptBlob[] = [];
  // Were a row to come back by a power cut, it would be taken for that of the file that is brought next.
  if (digests.length > 0 && o.dryRun !== true) await database.sync();
  for (let at = 0; at < digests.length; at += AT_ONCE) {
    throwIfAborted(o.signal);
    const some = digests.slice(at, at + AT_ONCE);
    removed.push(...(await removeSome(root, database, some, o.dryRun === true)));
  }
  return removed;
}

/** Of blobs that nobody has begun to bring again, several at a time; of the others one by one. */
async function removeSome(
  root: string,
  database: MetadataDatabase,
  digests: readonly Digest[],
  dryRun: boolean,
): Promise<readonly SweptBlob[]> {
  const claims = new Map<Digest, BriefClaim>();
  const removed: SweptBlob[] = [];
  try {
    for (const digest of digests) {
      const claim = BriefClaim.take(ingestPath(root, digest));
      if (claim !== undefined) claims.set(digest, claim);
    }
    const named = new Set((await blobsAmong(database, claims.keys())).map(({ digest }) => digest));
    for (const digest of claims.keys()) {
      const size = named.has(digest) ? undefined : removeFile(blobPath(root, digest), dryRun);
      if (size !== undefined) removed.push({ digest, size });
    }
  } catch (error) {
    throw fileError(error, 'remove blobs', root);
  } finally {
    for (const claim of claims.values()) claim.release();
  }
  for (const digest of digests.filter((each) => !claims.has(each))) {
    const size = await removeIfOrphan(root, database, digest, dryRun);
    if (size !== undefined) removed.push({ digest, size });
  }
  return removed;
}

/** The size of a file that was there. */
function removeFile(path: string, dryRun: boolean): number | undefined {
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (file?.isFile() !== true) return undefined;
  if (!dryRun) unlinkSync(path);
  faultPoint('gc:blob-removed');
  return file.size;
}

async function removeIfOrphan(
  root: string,
  database: MetadataDatabase,
  digest: Digest,
  dryRun: boolean,
): Promise<number | undefined> {
  const path = blobPath(root, digest);
  const directory = await IngestDirectory.tryLock(ingestPath(root, digest), { create: true });
  if (directory === undefined) return undefined;
  try {
    if ((await database.get('SELECT 1 FROM blobs WHERE digest = ?', [digest])) !== undefined)
      return undefined;
    return removeFile(path, dryRun);
  } catch (error) {
    throw fileError(error, 'remove a blob', path);
  } finally {
    await directory.leave();
  }
}

/**
 * The lock of an ingest that nobody has begun, held for a moment only. It does what `IngestDirectory.tryLock`
 * does, for who needs thousands of them one after the other: its nine calls are synchronous, which takes a
 * tenth of the time.
 */
class BriefClaim {
  readonly #path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  /** Undefined where there is such an ingest, begun or left by somebody. */
  static take(path: string): BriefClaim | undefined {
    let fd: number | undefined;
    try {
      mkdirSync(path, { mode: 0o700 });
      const lock = join(path, LOCK_FILE);
      fd = openSync(lock, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
      // Somebody may have come in before it was locked, and may even have removed it again.
      if (tryLock(fd, 'exclusive') && fstatSync(fd).ino === statSync(lock).ino)
        return new BriefClaim(path, fd);
    } catch (error) {
      const code = systemCode(error);
      if (code !== 'EEXIST' && code !== 'ENOENT') {
        if (fd !== undefined) closeSync(fd);
        throw error;
      }
    }
    if (fd !== undefined) closeSync(fd);
    return undefined;
  }

  /** Lets the next one in, who then makes the directory anew. */
  release(): void {
    try {
      unlinkSync(join(this.#path, LOCK_FILE));
      rmdirSync(this.#path);
    } catch (error) {
      // Somebody came in as soon as the lock file was gone, and the directory is theirs.
      const code = systemCode(error);
      if (code !== 'ENOTEMPTY' && code !== 'ENOENT') throw error;
    } finally {
      closeSync(this.#fd);
    }
  }
}

/**
 * Removes the temporary files that processes left which died while they wrote `index.json` or its like. These
 * are written under the lock of the root, so whoever has that knows that nobody is still at it.
 */
export async function sweepTemporaries(root: string, o: Abortable = {}): Promise<void> {
  const directory = join(root, INGEST);
  try {
    const names = (await unlessMissing(readdir(directory))) ?? [];
    if (!names.some(isTemporaryFile)) return;
    const sweep = async (): Promise<void> => {
      for (const name of await readdir(directory)) {
        if (isTemporaryFile(name)) await rm(join(directory, name), { force: true });
      }
    };
    await withRootLocked(root, sweep, o);
  } catch (error) {
    throw fileError(error, 'remove temporary files', directory);
  }
}
