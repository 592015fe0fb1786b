import { join } from 'node:path';
import { MetadataDatabase } from '../../src/metadata/index.js';
import type { Place } from './mount-namespace.js';

/** What the database of a store says. */
export interface StoreTables {
  /** Canonical names, sorted. */
  readonly images: readonly { readonly name: string; readonly digest: string }[];
  readonly blobs: readonly { readonly digest: string; readonly size: number }[];
  /** The snapshot's number is the name of its directory. */
  readonly chains: readonly { readonly chainId: string; readonly number: number }[];
  /** Digests of layers that were dropped on purpose. */
  readonly discarded: readonly string[];
  readonly snapshots: readonly { readonly number: number; readonly name: string; readonly kind: string }[];
}

/** Reads the tables of a store as they are, whatever landfall would make of them. */
export async function readTables(root: string): Promise<StoreTables> {
  const database = await MetadataDatabase.open(join(root, 'metadata.db'), { create: false });
  const rows = async <T>(sql: string): Promise<T[]> => (await database.all(sql)) as unknown as T[];
  try {
    return {
      images: await rows('SELECT name, digest FROM images ORDER BY name'),
      blobs: await rows('SELECT digest, size FROM blobs ORDER BY digest'),
      chains: await rows(
        'SELECT chain_id AS chainId, snapshot_id AS number FROM chains ORDER BY snapshot_id',
      ),
      discarded: (await rows<{ digest: string }>('SELECT digest FROM discarded')).map(({ digest }) => digest),
      snapshots: await rows('SELECT id AS number, name, kind FROM snapshots ORDER BY id'),
    };
  } finally {
    await database.close();
  }
}

/**
 * {@link readTables} in the process that stays in a place: SQLite resolves its path, and so would not find
 * one that leads into another namespace.
 */
export async function storeTables(place: Place, root: string): Promise<StoreTables> {
  return await place.landfall.tables(root);
}
