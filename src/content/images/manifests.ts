import {
  integerOf,
  jsonOf,
  type MetadataDatabase,
  optionalTextOf,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import {
  type Descriptor,
  type Digest,
  isIndexType,
  isManifestType,
  parseDescriptor,
  parseDigest,
} from '../../spec/index.js';

/** A blob that a manifest lists. */
export interface ManifestChild {
  readonly digest: Digest;
  /** Bytes, as the manifest says. */
  readonly size: number;
}

/**
 * What an index or a manifest says, as far as the store needs to know it (image-spec: image-index.md,
 * manifest.md).
 */
export interface ManifestInfo {
  readonly digest: Digest;
  readonly mediaType: string;
  /** What a referrer refers to; also what a signature is for that refers to it by its tag alone. */
  readonly subject?: Digest | undefined;
  /** Of an image manifest whose config is known, as text. */
  readonly platform?: string | undefined;
  /** The digest of an image manifest's config. */
  readonly imageId?: Digest;
  /** In the manifest's order: config and then layers, or the entries of an index. */
  readonly children: readonly ManifestChild[];
  /** Of an image manifest's layers, bottom first; empty for all else. */
  readonly chainIds: readonly Digest[];
}

/**
 * What the manifests of a store say, so that they need not be read again, and are still known when their
 * blobs are damaged. Facts are found by reading a verified manifest once; see `recordManifests` in the
 * engine.
 *
 * Every method takes the transaction to ask in, where what is found has to stay true.
 */
export class ManifestStore {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  async get(digest: Digest, statements: Statements = this.#database): Promise<ManifestInfo | undefined> {
    const row = await statements.get('SELECT * FROM documents WHERE digest = ?', [digest]);
    return row === undefined ? undefined : infoOf(row);
  }

  /** All of them, by digest. */
  async all(statements: Statements = this.#database): Promise<ReadonlyMap<Digest, ManifestInfo>> {
    const rows = await statements.all('SELECT * FROM documents');
    return new Map(rows.map((row) => [parseDigest(textOf(row, 'digest')), infoOf(row)]));
  }

  /** Records manifests; what of one that is known already was unknown is added. */
  async put(manifests: readonly ManifestInfo[]): Promise<void> {
    if (manifests.length === 0) return;
    await this.#database.transaction(async (transaction) => {
      for (const info of manifests) await insert(transaction, info);
    });
  }

  /** The images of which nothing is recorded: pulled by an older program, or no manifests at all. */
  async unrecorded(
    statements: Statements = this.#database,
  ): Promise<readonly { name: string; target: Descriptor }[]> {
    const rows = await statements.all(
      'SELECT name, target FROM images WHERE NOT EXISTS (SELECT 1 FROM documents WHERE documents.digest = images.digest)',
    );
    return rows
      .map((row) => ({ name: textOf(row, 'name'), target: parseDescriptor(jsonOf(row, 'target'), 'target') }))
      .filter(({ target }) => isIndexType(target.mediaType) || isManifestType(target.mediaType));
  }

  /** The manifests that list a blob. */
  async holders(child: Digest, statements: Statements = this.#database): Promise<readonly ManifestInfo[]> {
    const rows = await statements.all(
      'SELECT documents.* FROM links JOIN documents ON documents.id = links.document WHERE links.child = ?',
      [child],
    );
    return rows.map(infoOf);
  }

  /**
   * The manifests that refer to a digest (image-spec: manifest.md, subject), in the order of their digests.
   */
  async referrers(
    subject: Digest,
    statements: Statements = this.#database,
  ): Promise<readonly ManifestInfo[]> {
    const rows = await statements.all('SELECT * FROM documents WHERE subject = ? ORDER BY digest', [subject]);
    return rows.map(infoOf);
  }

  /** The image manifests that are unpacked to a chain, or through it. */
  async chainHolders(
    chainId: Digest,
    statements: Statements = this.#database,
  ): Promise<readonly ManifestInfo[]> {
    const rows = await statements.all(
      `SELECT documents.* FROM chain_links JOIN documents ON documents.id = chain_links.document
       WHERE chain_links.chain_id = ?`,
      [chainId],
    );
    return rows.map(infoOf);
  }

  /** Forgets a manifest, with its links; unknown is not an error. */
  async delete(digest: Digest, statements: Statements): Promise<void> {
    const row = await statements.get('SELECT * FROM documents WHERE digest = ?', [digest]);
    if (row === undefined) return;
    const id = integerOf(row, 'id');
    const { children, chainIds } = infoOf(row);
    await statements.run(
      'DELETE FROM links WHERE document = ? AND child IN (SELECT value FROM json_each(?))',
      [id, JSON.stringify(children.map((child) => child.digest))],
    );
    await statements.run(
      'DELETE FROM chain_links WHERE document = ? AND chain_id IN (SELECT value FROM json_each(?))',
      [id, JSON.stringify(chainIds)],
    );
    await statements.run('DELETE FROM documents WHERE id = ?', [id]);
  }
}

async function insert(transaction: Statements, info: ManifestInfo): Promise<void> {
  const { digest, mediaType, subject, platform, imageId, children, chainIds } = info;
  await transaction.run(
    `INSERT INTO documents (digest, media_type, subject, platform, image_id, children, chain_ids)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
     ON CONFLICT (digest) DO UPDATE SET subject = coalesce(subject, ?3), platform = coalesce(?4, platform),
       image_id = coalesce(?5, image_id),
       chain_ids = CASE WHEN ?7 = '[]' THEN chain_ids ELSE ?7 END`,
    [
      digest,
      mediaType,
      subject ?? null,
      platform ?? null,
      imageId ?? null,
      JSON.stringify(children.map((child) => [child.digest, child.size])),
      JSON.stringify(chainIds),
    ],
  );
  const row = await transaction.get('SELECT id FROM documents WHERE digest = ?', [digest]);
  if (row === undefined) throw new Error(`the document ${digest} vanished while it was recorded`);
  const id = integerOf(row, 'id');
  // One statement for all, however many there are: json_each makes rows of a list.
  await transaction.run('INSERT OR IGNORE INTO links (child, document) SELECT value, ? FROM json_each(?)', [
    id,
    JSON.stringify(children.map((child) => child.digest)),
  ]);
  await transaction.run(
    'INSERT OR IGNORE INTO chain_links (chain_id, document) SELECT value, ? FROM json_each(?)',
    [id, JSON.stringify(chainIds)],
  );
}

function infoOf(row: Row): ManifestInfo {
  return {
    ...headOf(row),
    // Only this class writes the two columns, and what they hold was parsed before: reading it again for each
    // of 100,000 blobs would be most of the time that a collection takes.
    children: (jsonOf(row, 'children') as [Digest, number][]).map(([digest, size]) => ({ digest, size })),
    chainIds: jsonOf(row, 'chain_ids') as Digest[],
  };
}

/** All that a row says but for its lists. */
export function headOf(row: Row): Omit<ManifestInfo, 'children' | 'chainIds'> {
  const subject = optionalTextOf(row, 'subject');
  const platform = optionalTextOf(row, 'platform');
  const imageId = optionalTextOf(row, 'image_id');
  return {
    digest: parseDigest(textOf(row, 'digest')),
    mediaType: textOf(row, 'media_type'),
    ...(subject === undefined ? {} : { subject: parseDigest(subject) }),
    ...(platform === undefined ? {} : { platform }),
    ...(imageId === undefined ? {} : { imageId: parseDigest(imageId) }),
  };
}

/** What some blobs hold: blobs, and the chains that their layers are unpacked to. */
export interface Reachable {
  readonly blobs: Set<Digest>;
  readonly chains: Set<Digest>;
}

/** All manifests of a store at one moment, and who leads to whom. */
export class ManifestGraph {
  readonly #manifests: ReadonlyMap<Digest, ManifestInfo>;
  readonly #referrers = new Map<Digest, Digest[]>();

  constructor(manifests: ReadonlyMap<Digest, ManifestInfo>) {
    this.#manifests = manifests;
    for (const { digest, subject } of manifests.values()) {
      if (subject === undefined) continue;
      const known = this.#referrers.get(subject);
      if (known === undefined) this.#referrers.set(subject, [digest]);
      else known.push(digest);
    }
  }

  /** The digests of all manifests. */
  digests(): Iterable<Digest> {
    return this.#manifests.keys();
  }

  /**
   * All that is reached from some blobs, themselves included: what they list, and what refers to it by its
   * `subject`.
   */
  reach(roots: Iterable<Digest>): Reachable {
    const blobs = new Set<Digest>();
    const chains = new Set<Digest>();
    const waiting = [...roots];
    for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
      if (blobs.has(digest)) continue;
      blobs.add(digest);
      for (const referrer of this.#referrers.get(digest) ?? []) waiting.push(referrer);
      const info = this.#manifests.get(digest);
      if (info === undefined) continue;
      for (const child of info.children) waiting.push(child.digest);
      for (const chainId of info.chainIds) chains.add(chainId);
    }
    return { blobs, chains };
  }

  /** The image manifests below a target that are known, in the index's order. */
  manifests(target: Digest): readonly ManifestInfo[] {
    const found: ManifestInfo[] = [];
    const seen = new Set<Digest>();
    const visit = (digest: Digest): void => {
      const info = this.#manifests.get(digest);
      if (info === undefined || seen.has(digest)) return;
      seen.add(digest);
      if (info.platform !== undefined) found.push(info);
      else for (const child of info.children) visit(child.digest);
    };
    visit(target);
    return found;
  }
}

/*
 * From some blobs up, as the beginning of a question to the database: table `up` has, by their digests, the blobs
 * themselves, the manifests that list them, and what those refer to by their `subject`.
 */

const above = (start: string): string => `
WITH RECURSIVE up (digest) AS (
  ${start}
  UNION
  SELECT documents.digest FROM up JOIN links ON links.child = up.digest JOIN documents ON documents.id = links.document
  UNION
  SELECT documents.subject FROM up JOIN documents ON documents.digest = up.digest WHERE documents.subject IS NOT NULL
)`;

/** Its one parameter is the digest of a blob. */
export const ABOVE_BLOB: string = above('VALUES (?)');

/** Its one parameter is a chain ID: from the image manifests up that are unpacked to it, or through it. */
const ABOVE_CHAIN: string = above(
  `SELECT documents.digest FROM chain_links JOIN documents ON documents.id = chain_links.document
   WHERE chain_links.chain_id = ?`,
);

/**
 * From a blob up through the manifests that list it only: a subject does not list what refers to it. Its one
 * parameter is the digest.
 */
const LISTED_ABOVE_BLOB = `
WITH RECURSIVE up (digest) AS (
  VALUES (?)
  UNION
  SELECT documents.digest FROM up JOIN links ON links.child = up.digest JOIN documents ON documents.id = links.document
)`;

const NAMES =
  'SELECT DISTINCT images.name FROM up JOIN images ON images.digest = up.digest ORDER BY images.name';

/** Names of the images that need a blob, by the manifests that list it. */
export async function imagesWithBlob(database: Statements, digest: Digest): Promise<readonly string[]> {
  return (await database.all(`${ABOVE_BLOB} ${NAMES}`, [digest])).map((row) => textOf(row, 'name'));
}

/**
 * Names of the images that are a blob or list it, directly or through what they list; what only refers to one
 * of them is left out.
 */
export async function imagesListing(database: Statements, digest: Digest): Promise<readonly string[]> {
  return (await database.all(`${LISTED_ABOVE_BLOB} ${NAMES}`, [digest])).map((row) => textOf(row, 'name'));
}

/** Names of the images that are unpacked to a chain, or through it. */
export async function imagesWithChain(database: Statements, chainId: Digest): Promise<readonly string[]> {
  return (await database.all(`${ABOVE_CHAIN} ${NAMES}`, [chainId])).map((row) => textOf(row, 'name'));
}

/*
 * The graph of manifests as the database walks it, from one point only: what a single image reaches, and whether somebody
 * else reaches it too. `DocumentGraph` does it for all images at once.
 */

/** What a target reaches, itself included, with what refers to it. */
export async function reachedBy(statements: Statements, target: Digest): Promise<Reachable> {
  const blobs = await statements.all(
    `WITH RECURSIVE down (digest) AS (
       VALUES (?)
       UNION
       SELECT json_extract(child.value, '$[0]')
       FROM down JOIN documents ON documents.digest = down.digest, json_each(documents.children) AS child
       UNION
       SELECT documents.digest FROM down JOIN documents ON documents.subject = down.digest
     ) SELECT digest FROM down`,
    [target],
  );
  const digests = blobs.map((row) => parseDigest(textOf(row, 'digest')));
  const chains = await statements.all(
    `SELECT DISTINCT chain.value AS chain_id FROM json_each(?) AS wanted
     JOIN documents ON documents.digest = wanted.value, json_each(documents.chain_ids) AS chain`,
    [JSON.stringify(digests)],
  );
  return {
    blobs: new Set(digests),
    chains: new Set(chains.map((row) => parseDigest(textOf(row, 'chain_id')))),
  };
}

/** From each of some starts up, as `ABOVE_BLOB` does it for one; `origin` says from which. */
const referencedFrom = (starts: string): string => `
WITH RECURSIVE up (origin, digest) AS (
  ${starts}
  UNION
  SELECT up.origin, documents.digest
  FROM up JOIN links ON links.child = up.digest JOIN documents ON documents.id = links.document
  UNION
  SELECT up.origin, documents.subject
  FROM up JOIN documents ON documents.digest = up.digest WHERE documents.subject IS NOT NULL
)
SELECT DISTINCT origin FROM up
WHERE EXISTS (SELECT 1 FROM images WHERE images.digest = up.digest)
   OR EXISTS (
     SELECT 1 FROM leases JOIN lease_resources ON lease_resources.lease_id = leases.id
     WHERE leases.expires_at > ?2 AND lease_resources.kind = 'blob' AND lease_resources.key = up.digest)`;

const HELD_BLOBS = referencedFrom('SELECT value, value FROM json_each(?1)');

const HELD_CHAINS = `${referencedFrom(
  `SELECT wanted.value, documents.digest FROM json_each(?1) AS wanted
   JOIN chain_links ON chain_links.chain_id = wanted.value JOIN documents ON documents.id = chain_links.document`,
)}
UNION
SELECT wanted.value FROM json_each(?1) AS wanted
JOIN lease_resources ON lease_resources.kind = 'snapshot' AND lease_resources.key = wanted.value
JOIN leases ON leases.id = lease_resources.lease_id WHERE leases.expires_at > ?2`;

/**
 * Those of some blobs that an image or a lease still reaches. Ask in the transaction that removes the others.
 */
export async function referencedBlobs(
  statements: Statements,
  digests: Iterable<Digest>,
): Promise<ReadonlySet<Digest>> {
  return originsOf(await statements.all(HELD_BLOBS, [JSON.stringify([...digests]), Date.now()]));
}

/** Those of some chains that an image still is unpacked to, or that a lease protects. */
export async function referencedChains(
  statements: Statements,
  chainIds: Iterable<Digest>,
): Promise<ReadonlySet<Digest>> {
  return originsOf(await statements.all(HELD_CHAINS, [JSON.stringify([...chainIds]), Date.now()]));
}

function originsOf(rows: readonly Row[]): ReadonlySet<Digest> {
  return new Set(rows.map((row) => parseDigest(textOf(row, 'origin'))));
}
