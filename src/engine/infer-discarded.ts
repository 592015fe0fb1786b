import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type DiscardedBlob,
  DocumentGraph,
  DocumentStore,
  type ImageRecord,
  recordDiscarded,
} from '../content/index.js';
import { integerOf, type MetadataDatabase } from '../metadata/index.js';
import { type Digest, parseReference, repositoryName } from '../spec/index.js';

/**
 * Takes layers whose snapshot is here and whose blob is not for such as were dropped once they were unpacked, since a store
 * that lost its list of these would otherwise call each of them damaged. Returns how many.
 */
export async function inferDiscarded(
  root: string,
  database: MetadataDatabase,
  images: readonly ImageRecord[],
): Promise<number> {
  const graph = new DocumentGraph(await new DocumentStore(database).all());
  const found = new Map<Digest, DiscardedBlob>();
  for (const { name, target } of images) {
    const source = repositoryName(parseReference(name));
    for (const { children, chainIds } of graph.manifests(target.digest)) {
      // A manifest's config comes before its layers.
      for (const [i, { digest, size }] of children.slice(1).entries()) {
        const chainId = chainIds[i];
        if (chainId === undefined || found.has(digest) || (await isBlobHere(database, digest))) continue;
        if (!(await isUnpackedHere(root, database, chainId))) continue;
        found.set(digest, { digest, size, source, discardedAt: new Date() });
      }
    }
  }
  await recordDiscarded(database, [...found.values()]);
  return found.size;
}

async function isBlobHere(database: MetadataDatabase, digest: Digest): Promise<boolean> {
  return (await database.get('SELECT 1 FROM blobs WHERE digest = ?', [digest])) !== undefined;
}

/** Whether a chain has a snapshot whose files lie below this root. Those of an additional store have their blobs there. */
async function isUnpackedHere(root: string, database: MetadataDatabase, chainId: Digest): Promise<boolean> {
  for (const row of await database.all('SELECT snapshot_id FROM chains WHERE chain_id = ?', [chainId])) {
    const content = join(root, 'snapshots', String(integerOf(row, 'snapshot_id')), 'fs');
    const found = await lstat(content).catch(() => undefined);
    if (found?.isDirectory() === true) return true;
  }
  return false;
}
