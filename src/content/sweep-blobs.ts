import { readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type Abortable, throwIfAborted } from '../errors.js';
import { integerOf, type MetadataDatabase, type Statements, textOf } from '../metadata/index.js';
import { type Digest, isDigest, parseDigest } from '../spec/index.js';
import { fileError, unlessMissing } from './file-error.js';
import { IngestDirectory } from './ingest-directory.js';
import { BLOBS, ingestPath } from './store-paths.js';

/** A blob that a collection takes. */
export interface SweptBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Rows are removed so many at a time. */
const BATCH = 500;

/** The blobs that nobody keeps, by the database. Ask in the transaction that removes them. */
export async function unkeptBlobs(
  statements: Statements,
  keep: (digest: Digest) => boolean,
): Promise<readonly SweptBlob[]> {
  const rows = await statements.all('SELECT digest, size FROM blobs');
  return rows
    .map((row) => ({ digest: parseDigest(textOf(row, 'digest')), size: integerOf(row, 'size') }))
    .filter(({ digest }) => !keep(digest));
}

/** Takes blobs out of the database; their files are orphans from then on. */
export async function dropBlobs(transaction: Statements, blobs: readonly SweptBlob[]): Promise<void> {
  for (let at = 0; at < blobs.length; at += BATCH) {
    const digests = blobs.slice(at, at + BATCH).map(({ digest }) => digest);
    await transaction.run(`DELETE FROM blobs WHERE digest IN (${digests.map(() => '?').join(',')})`, digests);
  }
}

/**
 * Removes the files in `blobs/` that the database does not name, and says which. Each goes under the lock of its
 * ingest, and only if it is still not named then: the commit of a blob renames the file before it writes the row, and
 * holds that lock from before the one until after the other.
 */
export async function removeOrphanBlobs(
  root: string,
  database: MetadataDatabase,
  o: Abortable & { readonly dryRun?: boolean } = {},
): Promise<readonly SweptBlob[]> {
  const orphans: SweptBlob[] = [];
  // The files first: what is committed after this look is not among them.
  const files = await blobFiles(root);
  const named = new Set((await database.all('SELECT digest FROM blobs')).map((row) => textOf(row, 'digest')));
  for (const { digest, path } of files) {
    throwIfAborted(o.signal);
    if (named.has(digest)) continue;
    const size = await removeIfOrphan(root, database, digest, path, o.dryRun === true);
    if (size !== undefined) orphans.push({ digest, size });
  }
  return orphans;
}

async function removeIfOrphan(
  root: string,
  database: MetadataDatabase,
  digest: Digest,
  path: string,
  dryRun: boolean,
): Promise<number | undefined> {
  const directory = await IngestDirectory.tryLock(ingestPath(root, digest), { create: true });
  if (directory === undefined) return undefined;
  try {
    if ((await database.get('SELECT 1 FROM blobs WHERE digest = ?', [digest])) !== undefined)
      return undefined;
    const file = await unlessMissing(stat(path));
    if (file?.isFile() !== true) return undefined;
    if (!dryRun) await unlessMissing(unlink(path));
    return file.size;
  } catch (error) {
    throw fileError(error, 'remove a blob', path);
  } finally {
    await directory.leave();
  }
}

async function blobFiles(root: string): Promise<readonly { digest: Digest; path: string }[]> {
  const blobs = join(root, BLOBS);
  const files: { digest: Digest; path: string }[] = [];
  for (const algorithm of (await unlessMissing(readdir(blobs))) ?? []) {
    for (const encoded of (await unlessMissing(readdir(join(blobs, algorithm)))) ?? []) {
      const digest = `${algorithm}:${encoded}`;
      if (isDigest(digest)) files.push({ digest, path: join(blobs, algorithm, encoded) });
    }
  }
  return files;
}
