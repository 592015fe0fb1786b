import {
  corruptDatabase,
  type DamagedDatabase,
  type MetadataDatabase,
  jsonOf,
  type Row,
} from '../metadata/index.js';
import { type Digest, parseDigest } from '../spec/index.js';
import { type DiscardedBlob, discardedOf } from './discarded-blobs.js';
import { type DocumentChild, type DocumentFacts, DocumentStore, headOf } from './documents.js';

/**
 * Takes over from the old database what it says of documents whose blobs are damaged: it is all that is left of them, and by
 * it what they list is still known. What could be read from a blob is recorded before, and stays.
 */
export async function rebuildDocuments(
  database: MetadataDatabase,
  old: DamagedDatabase | undefined,
): Promise<void> {
  const documents = new DocumentStore(database);
  const known = await documents.all();
  const left = (await old?.read('documents', 'digest', documentOf))?.values ?? [];
  await documents.put(left.filter(({ digest }) => !known.has(digest)));
}

/** Takes over which blobs were dropped on purpose. Whether that could be read as a whole. */
export async function rebuildDiscarded(
  database: MetadataDatabase,
  old: DamagedDatabase | undefined,
): Promise<boolean> {
  const known = await old?.read('discarded', 'digest', discardedOf);
  await recordDiscarded(database, known?.values ?? []);
  return known?.complete ?? false;
}

/** Lists blobs as dropped on purpose, but for those that are here or are listed already. */
export async function recordDiscarded(
  database: MetadataDatabase,
  blobs: readonly DiscardedBlob[],
): Promise<void> {
  const rows = blobs.map(({ digest, size, source, discardedAt }) => {
    return [digest, size, source ?? null, discardedAt.getTime()];
  });
  await database.run(
    `INSERT OR IGNORE INTO discarded (digest, size, source, discarded_at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)
     WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = value ->> 0)`,
    [JSON.stringify(rows)],
  );
}

function documentOf(row: Row): DocumentFacts {
  return {
    ...headOf(row),
    children: listOf(row, 'children').map(childOf),
    chainIds: listOf(row, 'chain_ids').map(digestOf),
  };
}

function listOf(row: Row, column: string): readonly unknown[] {
  const value = jsonOf(row, column);
  if (!Array.isArray(value)) throw senseless();
  return value;
}

function childOf(value: unknown): DocumentChild {
  if (!Array.isArray(value)) throw senseless();
  const [digest, size] = value as readonly unknown[];
  if (!Number.isSafeInteger(size)) throw senseless();
  return { digest: digestOf(digest), size: Number(size) };
}

function digestOf(value: unknown): Digest {
  if (typeof value !== 'string') throw senseless();
  return parseDigest(value);
}

function senseless(): Error {
  return corruptDatabase('of this store', 'has a document that makes no sense');
}
