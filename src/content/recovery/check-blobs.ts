import { stat } from 'node:fs/promises';
import { type Abortable, ContentError, throwIfAborted } from '../../errors.js';
import type { MetadataDatabase } from '../../metadata/index.js';
import { createDigester, type Digest, exactSize } from '../../spec/index.js';
import { openBlobFile } from '../store/blob-stream.js';
import { blobFiles, blobPath, unlessMissing } from '../store/layout-files.js';
import { type SizedBlob, sizedBlobOf } from '../store/blob-records.js';

/** What is wrong with a blob that the database lists. */
export interface BlobFault {
  readonly digest: Digest;
  readonly kind: 'blob-missing' | 'blob-size' | 'blob-digest' | 'blob-unreadable';
  /** What was found, for people. */
  readonly detail: string;
}

/** What a check found. */
export interface BlobCheck {
  readonly checked: number;
  readonly faults: readonly BlobFault[];
}

/**
 * Files that are looked at, at once; and files that are read, which is bounded by the disk and the digest.
 */
const LOOKS = 16;
const READS = 4;
const PAGE = 1000;

/** Blobs of the database that have no file. Directories are listed rather than each file asked for. */
export async function findMissingBlobs(
  root: string,
  database: MetadataDatabase,
  o: Abortable = {},
): Promise<BlobCheck> {
  const files: ReadonlySet<Digest> = new Set(await blobFiles(root));
  const absent: Digest[] = [];
  let checked = 0;
  for await (const { digest } of recordedBlobs(database)) {
    throwIfAborted(o.signal);
    checked += 1;
    if (!files.has(digest)) absent.push(digest);
  }
  const faults: BlobFault[] = [];
  for (const digest of absent) {
    // It may have been removed, or have come, since the directories were listed.
    if ((await unlessMissing(stat(blobPath(root, digest)))) !== undefined) continue;
    if (!(await isRecorded(database, digest))) continue;
    faults.push({ digest, kind: 'blob-missing', detail: 'its file is missing' });
  }
  return { checked, faults };
}

/**
 * Holds the file of each blob against its size, and unless `quick` against its digest. One without a file is
 * passed over.
 */
export async function checkBlobs(
  root: string,
  database: MetadataDatabase,
  o: Abortable & { readonly quick: boolean },
): Promise<BlobCheck> {
  const faults: BlobFault[] = [];
  let checked = 0;
  const blobs = recordedBlobs(database);
  const work = async (): Promise<void> => {
    for (let next = await blobs.next(); next.done !== true; next = await blobs.next()) {
      throwIfAborted(o.signal);
      const first = await checkBlob(root, next.value, o);
      if (first === 'absent') continue;
      checked += 1;
      // One that is removed or repaired at this moment looks damaged for a moment.
      const fault = first === undefined ? undefined : await checkBlob(root, next.value, o);
      if (fault === undefined || fault === 'absent') continue;
      if (await isRecorded(database, fault.digest)) faults.push(fault);
    }
  };
  await Promise.all(Array.from({ length: o.quick ? LOOKS : READS }, work));
  return { checked, faults: faults.sort((a, b) => a.digest.localeCompare(b.digest)) };
}

async function checkBlob(
  root: string,
  { digest, size }: SizedBlob,
  o: Abortable & { readonly quick: boolean },
): Promise<BlobFault | 'absent' | undefined> {
  const path = blobPath(root, digest);
  try {
    const file = await unlessMissing(stat(path));
    if (file === undefined) return 'absent';
    if (!file.isFile()) return { digest, kind: 'blob-unreadable', detail: 'it is not a file' };
    if (file.size !== size) {
      return {
        digest,
        kind: 'blob-size',
        detail: `it has ${exactSize(file.size)}, and should have ${exactSize(size)}`,
      };
    }
    if (o.quick) return undefined;
    const actual = await digestOfFile(path, { digest, size }, o);
    if (actual === digest) return undefined;
    return { digest, kind: 'blob-digest', detail: `its content reads as ${actual}` };
  } catch (error) {
    throwIfAborted(o.signal);
    if (error instanceof ContentError && error.code === 'BLOB_NOT_FOUND') return 'absent';
    const reason = error instanceof Error ? error.message : String(error);
    return { digest, kind: 'blob-unreadable', detail: `it cannot be read: ${reason}` };
  }
}

async function digestOfFile(path: string, { digest, size }: SizedBlob, o: Abortable): Promise<Digest> {
  const digester = createDigester(digest);
  for await (const chunk of await openBlobFile(path, { mediaType: '', digest, size })) {
    throwIfAborted(o.signal);
    digester.update(chunk as Buffer);
  }
  return digester.digest();
}

async function* recordedBlobs(database: MetadataDatabase): AsyncGenerator<SizedBlob, void, undefined> {
  for (let last = ''; ;) {
    const rows = await database.all(
      'SELECT digest, size FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?',
      [last, PAGE],
    );
    for (const row of rows) {
      const blob = sizedBlobOf(row);
      last = blob.digest;
      yield blob;
    }
    if (rows.length < PAGE) return;
  }
}

async function isRecorded(database: MetadataDatabase, digest: Digest): Promise<boolean> {
  return (await database.get('SELECT 1 FROM blobs WHERE digest = ?', [digest])) !== undefined;
}
