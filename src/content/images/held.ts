import { type Row, type Statements, textOf } from '../../metadata/index.js';
import { type Digest, parseDigest } from '../../spec/index.js';
import type { Reachable } from './documents.js';

/*
 * The graph of documents as the database walks it, from one point only: what a single image reaches, and whether somebody
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
const heldFrom = (starts: string): string => `
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

const HELD_BLOBS = heldFrom('SELECT value, value FROM json_each(?1)');

const HELD_CHAINS = `${heldFrom(
  `SELECT wanted.value, documents.digest FROM json_each(?1) AS wanted
   JOIN chain_links ON chain_links.chain_id = wanted.value JOIN documents ON documents.id = chain_links.document`,
)}
UNION
SELECT wanted.value FROM json_each(?1) AS wanted
JOIN lease_resources ON lease_resources.kind = 'snapshot' AND lease_resources.key = wanted.value
JOIN leases ON leases.id = lease_resources.lease_id WHERE leases.expires_at > ?2`;

/** Those of some blobs that an image or a lease still reaches. Ask in the transaction that removes the others. */
export async function heldBlobs(
  statements: Statements,
  digests: Iterable<Digest>,
): Promise<ReadonlySet<Digest>> {
  return originsOf(await statements.all(HELD_BLOBS, [JSON.stringify([...digests]), Date.now()]));
}

/** Those of some chains that an image still is unpacked to, or that a lease protects. */
export async function heldChains(
  statements: Statements,
  chainIds: Iterable<Digest>,
): Promise<ReadonlySet<Digest>> {
  return originsOf(await statements.all(HELD_CHAINS, [JSON.stringify([...chainIds]), Date.now()]));
}

function originsOf(rows: readonly Row[]): ReadonlySet<Digest> {
  return new Set(rows.map((row) => parseDigest(textOf(row, 'origin'))));
}
