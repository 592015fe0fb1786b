import { outputAt, type Place } from './mount-namespace.js';

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

const DATABASE = new URL('../../dist/src/metadata/index.js', import.meta.url);

/**
 * Runs in a child, since SQLite resolves its path and so would not find one that leads into another
 * namespace.
 */
const SCRIPT = `
import { MetadataDatabase } from ${JSON.stringify(DATABASE.href)};
const database = await MetadataDatabase.open(process.argv[1] + '/metadata.db', { create: false });
console.log(JSON.stringify({
  images: await database.all('SELECT name, digest FROM images ORDER BY name'),
  blobs: await database.all('SELECT digest, size FROM blobs ORDER BY digest'),
  chains: await database.all('SELECT chain_id AS chainId, snapshot_id AS number FROM chains ORDER BY snapshot_id'),
  discarded: (await database.all('SELECT digest FROM discarded')).map(({ digest }) => digest),
  snapshots: await database.all('SELECT id AS number, name, kind FROM snapshots ORDER BY id'),
}));
await database.close();
`;

/** Reads the tables of a store as they are, whatever landfall would make of them. */
export async function storeTables(place: Place, root: string): Promise<StoreTables> {
  const args = ['--input-type=module', '-e', SCRIPT, root];
  return JSON.parse(await outputAt(place, process.execPath, ...args)) as StoreTables;
}
