import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import {
  IN_DOUBT,
  integerOf,
  jsonOf,
  type MetadataDatabase,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import { MEDIA_TYPES } from '../../spec/index.js';
import { bootId, faultPoint } from '../../system/index.js';
import {
  INDEX_FILE,
  REF_NAME,
  unlessMissing,
  withRootLocked,
  writeLayoutFile,
} from '../store/layout-files.js';

const TASK = INDEX_FILE;

/**
 * Notes, in the transaction that changes images, that `index.json` is out of date. {@link renderIndex} takes
 * the note away; one that a crash leaves behind is found when the store is opened next.
 */
export async function markIndexStale(transaction: Statements): Promise<void> {
  await transaction.run(
    `INSERT INTO pending (task, token) VALUES (?, 1)
     ON CONFLICT (task) DO UPDATE SET token = token + 1, unsynced = NULL`,
    [TASK],
  );
}

export interface RenderIndexOptions {
  /**
   * This boot, where the file is not to be synced. Then it is written once more when the store is opened in
   * another boot.
   */
  readonly notDurable?: string | undefined;
}

/**
 * Brings `index.json` up to what the database says, if it is not.
 *
 * Processes take turns by a lock on the root and read the images after they have it, so the last of them
 * writes everything that was committed before, and one that finds the work done returns at once. It does not
 * happen inside the transaction that changes the images: the index would then name an image that a rollback
 * takes back, and all other processes would wait with their writes for two fsyncs.
 */
export async function renderIndex(
  root: string,
  database: MetadataDatabase,
  o: RenderIndexOptions = {},
): Promise<void> {
  await withRootLocked(root, () => renderIndexLocked(root, database, o));
}

/** {@link renderIndex} for a caller that has the root's lock already. */
export async function renderIndexLocked(
  root: string,
  database: MetadataDatabase,
  { notDurable }: RenderIndexOptions = {},
): Promise<void> {
  const token = await staleToken(database);
  const file = await unlessMissing(stat(join(root, INDEX_FILE)));
  if (token === undefined && file !== undefined && file.size > 0) return;
  // After the token: an image that is put in between gets listed now, and its newer token makes its own turn
  // list it again.
  await writeLayoutFile(root, INDEX_FILE, await indexText(database), { sync: notDurable === undefined });
  faultPoint('image-put:index-written');
  if (token === undefined) return;
  if (notDurable === undefined) {
    await database.run('DELETE FROM pending WHERE task = ? AND token = ?', [TASK, token]);
  } else {
    const update = 'UPDATE pending SET unsynced = ? WHERE task = ? AND token = ?';
    await database.run(update, [notDurable, TASK, token]);
  }
}

/** What `index.json` is to say. */
export async function indexText(database: Statements): Promise<string> {
  const rows = await database.all(
    `SELECT name, digest, media_type, size, json_extract(target, '$.platform') AS platform FROM images ORDER BY name`,
  );
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: rows.map(entryOf),
  });
}

/** Whether a change of images has not reached `index.json` yet. */
export async function isIndexStale(database: MetadataDatabase): Promise<boolean> {
  return (await staleToken(database)) !== undefined;
}

async function staleToken(database: MetadataDatabase): Promise<number | undefined> {
  const row = await database.get(
    `SELECT token FROM pending WHERE task = ?2 AND (unsynced IS NULL OR ${IN_DOUBT})`,
    [bootId(), TASK],
  );
  return row === undefined ? undefined : integerOf(row, 'token');
}

/**
 * Only what says where the content is, and its name: other annotations are those of the index it came from.
 */
function entryOf(row: Row): object {
  return {
    mediaType: textOf(row, 'media_type'),
    digest: textOf(row, 'digest'),
    size: integerOf(row, 'size'),
    platform: row['platform'] === null ? undefined : jsonOf(row, 'platform'),
    annotations: { [REF_NAME]: textOf(row, 'name') },
  };
}
