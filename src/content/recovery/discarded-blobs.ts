import {
  dateOf,
  integerOf,
  type MetadataDatabase,
  optionalTextOf,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import { type Digest, parseDigest, parseReference, repositoryName } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import { ABOVE_BLOB, type ManifestStore } from '../images/manifests.js';
import { blobsAmong, dropBlobs, removeBlobFiles, type SweptBlob } from './sweep-blobs.js';

/** A blob that was dropped on purpose, so that its absence is no damage. */
export interface DiscardedBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** `registry/repository` it came from. */
  readonly source?: string | undefined;
  readonly discardedAt: Date;
}

export interface DiscardOptions {
  /**
   * The lease of who discards. It lets go of the blobs, which a name reaches by now; any other one keeps
   * them.
   */
  readonly leaseId: string;
}

export interface DiscardedBlobsOptions {
  readonly root: string;
  readonly database: MetadataDatabase;
  readonly manifests: ManifestStore;
}

/**
 * The blobs that a store goes without, since their layers are snapshots. What is committed again leaves the
 * list in the same step; what no image reaches any more leaves it with the next collection.
 */
export class DiscardedBlobs {
  readonly #root: string;
  readonly #database: MetadataDatabase;
  readonly #manifests: ManifestStore;

  constructor({ root, database, manifests }: DiscardedBlobsOptions) {
    this.#root = root;
    this.#database = database;
    this.#manifests = manifests;
  }

  async get(digest: Digest): Promise<DiscardedBlob | undefined> {
    const row = await this.#database.get('SELECT * FROM discarded WHERE digest = ?', [digest]);
    return row === undefined ? undefined : discardedOf(row);
  }

  /** Those of some digests that were discarded. */
  async among(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, DiscardedBlob>> {
    const rows = await this.#database.all(
      'SELECT * FROM discarded WHERE digest IN (SELECT value FROM json_each(?))',
      [JSON.stringify(digests)],
    );
    return new Map(rows.map((row) => [parseDigest(textOf(row, 'digest')), discardedOf(row)]));
  }

  /** Where all of them came from: `registry/repository` each, once. */
  async sources(): Promise<readonly string[]> {
    const rows = await this.#database.all(
      'SELECT DISTINCT source FROM discarded WHERE source IS NOT NULL ORDER BY source',
    );
    return rows.map((row) => textOf(row, 'source'));
  }

  /**
   * The repositories of the images that reach a blob, `registry/repository` each: where it may be when nobody
   * noted where it came from.
   */
  async repositoriesOf(digest: Digest): Promise<readonly string[]> {
    const rows = await this.#database.all(
      `${ABOVE_BLOB} SELECT DISTINCT name FROM up JOIN images ON images.digest = up.digest`,
      [digest],
    );
    const names = rows.map((row) => repositoryName(parseReference(textOf(row, 'name'))));
    return [...new Set(names)].sort();
  }

  /** Lists blobs that never came, since their layers were snapshots already. What is here is not listed. */
  async note(
    blobs: readonly { readonly digest: Digest; readonly size: number }[],
    source: string,
  ): Promise<void> {
    if (blobs.length === 0) return;
    await this.#database.transaction(async (transaction) => {
      for (const { digest, size } of blobs) {
        await transaction.run(
          `INSERT OR IGNORE INTO discarded (digest, size, source, discarded_at)
           SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE digest = ?1)`,
          [digest, size, source, Date.now()],
        );
      }
    });
  }

  /**
   * Drops those of some blobs that nobody needs: no image that was not pulled lean reaches them, every image
   * that lists one has it as a snapshot, and no other lease protects it. Listed and out of the database in
   * one step, and only then removed: whenever it breaks off, either the blob is here or its absence is known,
   * and a file that is left is garbage. Of several pulls that end at the same moment, the last one drops what
   * they share.
   *
   * @returns bytes that were given back
   */
  async discard(digests: readonly Digest[], { leaseId }: DiscardOptions): Promise<number> {
    const dropped = await this.#database.transaction(async (transaction) => {
      await transaction.run(
        `DELETE FROM lease_resources
         WHERE lease_id = ? AND kind = 'blob' AND key IN (SELECT value FROM json_each(?))`,
        [leaseId, JSON.stringify(digests)],
      );
      const unneeded = await unneededAmong(transaction, this.#manifests, digests);
      await drop(transaction, unneeded);
      return unneeded;
    });
    faultPoint('discard-layers:recorded');
    const removed = await removeBlobFiles(
      this.#root,
      this.#database,
      dropped.map(({ digest }) => digest),
    );
    faultPoint('discard-layers:removed');
    return removed.reduce((sum, { size }) => sum + size, 0);
  }
}

/**
 * For a collection, in its transaction and once the snapshots are swept: drops the blobs of lean images that
 * came back, or that a pull which was cut off left. Their files are orphans from then on.
 *
 * @param o `dryRun`: only say which
 */
export async function discardAgain(
  transaction: Statements,
  manifests: ManifestStore,
  o: { readonly dryRun?: boolean } = {},
): Promise<readonly SweptBlob[]> {
  const rows = await transaction.all(
    `WITH RECURSIVE down (digest) AS (
       SELECT digest FROM images WHERE discard_layers = 1
       UNION
       SELECT json_extract(child.value, '$[0]')
       FROM down JOIN documents ON documents.digest = down.digest, json_each(documents.children) AS child
     )
     SELECT DISTINCT blobs.digest FROM down JOIN blobs ON blobs.digest = down.digest
     JOIN links ON links.child = down.digest JOIN documents ON documents.id = links.document
     WHERE documents.chain_ids <> '[]'`,
  );
  const digests = rows.map((row) => parseDigest(textOf(row, 'digest')));
  const unneeded = await unneededAmong(transaction, manifests, digests);
  if (o.dryRun !== true) await drop(transaction, unneeded);
  return unneeded;
}

/**
 * For a collection, in its transaction: forgets discarded blobs that nothing reaches any more, and says
 * which.
 */
export async function dropUnreachableDiscarded(
  transaction: Statements,
  keep: (digest: Digest) => boolean,
): Promise<readonly Digest[]> {
  const rows = await transaction.all('SELECT digest FROM discarded');
  const gone = rows.map((row) => parseDigest(textOf(row, 'digest'))).filter((digest) => !keep(digest));
  if (gone.length === 0) return gone;
  await transaction.run('DELETE FROM discarded WHERE digest IN (SELECT value FROM json_each(?))', [
    JSON.stringify(gone),
  ]);
  return gone;
}

/** Those of some blobs that are here and could go. */
async function unneededAmong(
  transaction: Statements,
  manifests: ManifestStore,
  digests: readonly Digest[],
): Promise<readonly SweptBlob[]> {
  const unneeded: SweptBlob[] = [];
  for (const blob of await blobsAmong(transaction, digests)) {
    if (await isLeased(transaction, blob.digest)) continue;
    if (!(await isNeeded(transaction, blob.digest, manifests))) unneeded.push(blob);
  }
  return unneeded;
}

async function drop(transaction: Statements, blobs: readonly SweptBlob[]): Promise<void> {
  if (blobs.length === 0) return;
  await transaction.run(
    `INSERT OR REPLACE INTO discarded (digest, size, source, discarded_at)
     SELECT digest, size, source, ? FROM blobs WHERE digest IN (SELECT value FROM json_each(?))`,
    [Date.now(), JSON.stringify(blobs.map(({ digest }) => digest))],
  );
  await dropBlobs(transaction, blobs);
}

async function isLeased(transaction: Statements, digest: Digest): Promise<boolean> {
  const row = await transaction.get(
    `SELECT 1 FROM lease_resources JOIN leases ON leases.id = lease_resources.lease_id
     WHERE lease_resources.kind = 'blob' AND lease_resources.key = ? AND leases.expires_at > ?`,
    [digest, Date.now()],
  );
  return row !== undefined;
}

async function isNeeded(transaction: Statements, digest: Digest, manifests: ManifestStore): Promise<boolean> {
  const whole = await transaction.get(
    `${ABOVE_BLOB} SELECT 1 FROM up JOIN images ON images.digest = up.digest
     WHERE images.discard_layers = 0 LIMIT 1`,
    [digest],
  );
  if (whole !== undefined) return true;
  const chains: Digest[] = [];
  for (const { children, chainIds } of await manifests.holders(digest, transaction)) {
    for (const [at, child] of children.entries()) {
      if (child.digest !== digest) continue;
      // A manifest's config comes before its layers; a manifest that is no image has no chains.
      const chainId = at === 0 ? undefined : chainIds[at - 1];
      if (chainId === undefined) return true;
      chains.push(chainId);
    }
  }
  const missing = await transaction.get(
    `SELECT 1 FROM json_each(?) AS wanted
     WHERE NOT EXISTS (SELECT 1 FROM chains WHERE chains.chain_id = wanted.value) LIMIT 1`,
    [JSON.stringify(chains)],
  );
  return missing !== undefined;
}

export function discardedOf(row: Row): DiscardedBlob {
  return {
    digest: parseDigest(textOf(row, 'digest')),
    size: integerOf(row, 'size'),
    source: optionalTextOf(row, 'source'),
    discardedAt: dateOf(row, 'discarded_at'),
  };
}
