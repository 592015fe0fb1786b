import {
  dateOf,
  integerOf,
  labelsOf,
  optionalTextOf,
  type Row,
  type Statements,
  textOf,
} from '../metadata/index.js';
import { type Digest, parseDigest } from '../spec/index.js';
import type { BlobInfo } from './content-store.js';

/** The columns of table `blobs` that {@link blobOf} reads. */
export const BLOB_COLUMNS = 'digest, size, created_at, source, labels';

/** @throws ContentError STORE_CORRUPT */
export function blobOf(row: Row): BlobInfo {
  const source = optionalTextOf(row, 'source');
  return {
    digest: parseDigest(textOf(row, 'digest')),
    size: integerOf(row, 'size'),
    createdAt: dateOf(row, 'created_at'),
    labels: labelsOf(row, 'labels'),
    ...(source === undefined ? {} : { source }),
  };
}

export async function findBlob(statements: Statements, digest: Digest): Promise<BlobInfo | undefined> {
  const row = await statements.get(`SELECT ${BLOB_COLUMNS} FROM blobs WHERE digest = ?`, [digest]);
  return row === undefined ? undefined : blobOf(row);
}

/** Whether a blob has a row that says that its file is on the disk, which need not be true of one that is missing. */
export async function hasSyncedRow(statements: Statements, digest: Digest): Promise<boolean> {
  const row = await statements.get('SELECT 1 FROM blobs WHERE digest = ? AND unsynced IS NULL', [digest]);
  return row !== undefined;
}

export interface RecordedBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** `registry/repository`; where it is not known, what was known before stays. */
  readonly source?: string | undefined;
  /** The boot in which its file was written, where nobody has synced it; see src/metadata/unsynced.ts. */
  readonly unsynced?: string | undefined;
}

/**
 * Names a blob whose file is in place. A row that is there already, of a blob that was damaged, keeps its labels; the note that
 * the blob was dropped on purpose goes.
 */
export async function recordBlob(
  transaction: Statements,
  { digest, size, source, unsynced }: RecordedBlob,
): Promise<BlobInfo> {
  const recorded = await transaction.get(
    `INSERT INTO blobs (digest, size, created_at, source, unsynced)
     VALUES (?1, ?2, ?3, coalesce(?4, (SELECT source FROM discarded WHERE digest = ?1)), ?5)
     ON CONFLICT (digest) DO UPDATE SET
       size = excluded.size, created_at = excluded.created_at, source = coalesce(excluded.source, source),
       unsynced = excluded.unsynced
     RETURNING ${BLOB_COLUMNS}`,
    [digest, size, Date.now(), source ?? null, unsynced ?? null],
  );
  await transaction.run('DELETE FROM discarded WHERE digest = ?', [digest]);
  if (recorded === undefined) throw new Error(`the blob ${digest} got no row`);
  return blobOf(recorded);
}
