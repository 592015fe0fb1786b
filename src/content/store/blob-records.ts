import { rename } from 'node:fs/promises';
import {
  dateOf,
  IN_DOUBT,
  integerOf,
  labelsOf,
  type MetadataDatabase,
  optionalTextOf,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import { type Digest, parseDigest } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import type { BlobInfo } from './content-store.js';
import {
  blobDirectory,
  blobPath,
  fileError,
  ingestPath,
  syncDirectory,
  unlessMissing,
} from './layout-files.js';
import { IngestDirectory, writeIngestState } from './ingest-directory.js';

interface Waiting {
  readonly blob: RecordedBlob;
  readonly resolve: (info: BlobInfo) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Gives blobs their rows, in groups: while one is under way, all that is asked for waits for the next one.
 * Many small blobs that become whole together then share the sync of their directory and a transaction, and
 * none waits for others to become whole.
 */
export class BlobRecords {
  readonly #root: string;
  readonly #database: MetadataDatabase;
  readonly #waiting: Waiting[] = [];
  #running = false;

  constructor(root: string, database: MetadataDatabase) {
    this.#root = root;
    this.#database = database;
  }

  /**
   * Names a blob whose file is in place, once the file's name is durable too; the content has to be before.
   * Of one that is `notDurable` nothing is made durable. Resolves when the row is, as far as the database is.
   *
   * @throws ContentError FILESYSTEM, and those of the database: then it has no row, and neither have those of
   *   its group
   */
  record(blob: RecordedBlob): Promise<BlobInfo> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ blob, resolve, reject });
      if (!this.#running) void this.#recordAll();
    });
  }

  /**
   * Whether a blob has a row that says that its file is on the disk, which need not be true of one that is
   * missing. Such a row would go on saying so if the power failed now, so the file that takes the lost one's
   * place has to be synced.
   */
  async isSynced(digest: Digest): Promise<boolean> {
    const sql = 'SELECT 1 FROM blobs WHERE digest = ? AND unsynced IS NULL';
    return (await this.#database.get(sql, [digest])) !== undefined;
  }

  async #recordAll(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) await this.#recordGroup(this.#waiting.splice(0));
    this.#running = false;
  }

  async #recordGroup(group: readonly Waiting[]): Promise<void> {
    try {
      await this.#syncNames(group);
      faultPoint('blob-commit:directory-synced');
      const recorded = await this.#database.transaction(async (transaction) => {
        const infos: (readonly [Waiting, BlobInfo])[] = [];
        for (const waiting of group) infos.push([waiting, await recordBlob(transaction, waiting.blob)]);
        return infos;
      });
      for (const [waiting, info] of recorded) waiting.resolve(info);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  async #syncNames(group: readonly Waiting[]): Promise<void> {
    const synced = group.filter(({ blob }) => blob.notDurable === undefined);
    for (const directory of new Set(synced.map(({ blob }) => blobDirectory(this.#root, blob.digest)))) {
      await syncDirectory(directory).catch((error: unknown) => {
        throw fileError(error, 'commit a blob', directory);
      });
    }
  }
}

/** The columns of table `blobs` that {@link blobOf} reads. */
export const BLOB_COLUMNS = 'digest, size, created_at, source, labels';

/** @throws ContentError STORE_CORRUPT */
export function blobOf(row: Row): BlobInfo {
  const source = optionalTextOf(row, 'source');
  return {
    ...sizedBlobOf(row),
    createdAt: dateOf(row, 'created_at'),
    labels: labelsOf(row, 'labels'),
    ...(source === undefined ? {} : { source }),
  };
}

export type SizedBlob = Pick<BlobInfo, 'digest' | 'size'>;

/** @throws ContentError STORE_CORRUPT */
export function sizedBlobOf(row: Row): SizedBlob {
  return { digest: parseDigest(textOf(row, 'digest')), size: integerOf(row, 'size') };
}

export async function findBlob(statements: Statements, digest: Digest): Promise<BlobInfo | undefined> {
  const row = await statements.get(`SELECT ${BLOB_COLUMNS} FROM blobs WHERE digest = ?`, [digest]);
  return row === undefined ? undefined : blobOf(row);
}

interface RecordedBlob extends SizedBlob {
  /** `registry/repository`; where it is not known, what was known before stays. */
  readonly source?: string | undefined;
  /** The boot in which its file was written, where nobody has synced it; see src/metadata/database.ts. */
  readonly notDurable?: string | undefined;
}

/**
 * Names a blob whose file is in place. A row that is there already, of a blob that was damaged, keeps its
 * labels; the note that the blob was dropped on purpose goes.
 */
export async function recordBlob(
  transaction: Statements,
  { digest, size, source, notDurable }: RecordedBlob,
): Promise<BlobInfo> {
  const recorded = await transaction.get(
    `INSERT INTO blobs (digest, size, created_at, source, unsynced)
     VALUES (?1, ?2, ?3, coalesce(?4, (SELECT source FROM discarded WHERE digest = ?1)), ?5)
     ON CONFLICT (digest) DO UPDATE SET
       size = excluded.size, created_at = excluded.created_at, source = coalesce(excluded.source, source),
       unsynced = excluded.unsynced
     RETURNING ${BLOB_COLUMNS}`,
    [digest, size, Date.now(), source ?? null, notDurable ?? null],
  );
  await transaction.run('DELETE FROM discarded WHERE digest = ?', [digest]);
  if (recorded === undefined) throw new Error(`the blob ${digest} got no row`);
  return blobOf(recorded);
}

/** Nobody noted it, and whoever goes on with the partial knows. */
const MEDIA_TYPE = 'application/octet-stream';

/**
 * Makes partials of the blobs that are in doubt (src/metadata/database.ts), whole as they may be: each then
 * counts as missing, and whoever wants it has it digested first and only what that refutes fetched anew.
 * Their rows stay as they are; the caller has the store's root locked.
 *
 * @param boot this one
 * @returns how many there are
 */
export async function putBackNotDurableBlobs(
  root: string,
  database: MetadataDatabase,
  boot: string,
): Promise<number> {
  const rows = await database.all(`SELECT digest, size, source FROM blobs WHERE ${IN_DOUBT}`, [boot]);
  for (const row of rows) {
    await putBack(root, { ...sizedBlobOf(row), source: optionalTextOf(row, 'source') });
  }
  return rows.length;
}

async function putBack(root: string, { digest, size, source }: RecordedBlob): Promise<void> {
  const directory = await IngestDirectory.tryLock(ingestPath(root, digest), { create: true });
  // Somebody brings it, since its file is missing already.
  if (directory === undefined) return;
  try {
    await writeIngestState(directory.path, { mediaType: MEDIA_TYPE, size, startedAt: Date.now(), source });
    await unlessMissing(rename(blobPath(root, digest), directory.dataPath));
  } finally {
    await directory.leave();
  }
}
