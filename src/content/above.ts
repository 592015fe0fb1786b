/*
 * From some blobs up, as the beginning of a question to the database: table `up` has, by their digests, the blobs
 * themselves, the documents that list them, and what those refer to by their `subject`.
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
export const ABOVE_CHAIN: string = above(
  `SELECT documents.digest FROM chain_links JOIN documents ON documents.id = chain_links.document
   WHERE chain_links.chain_id = ?`,
);

/** From a blob up through the documents that list it only: a subject does not list what refers to it. Its one parameter is the digest. */
export const LISTED_ABOVE_BLOB = `
WITH RECURSIVE up (digest) AS (
  VALUES (?)
  UNION
  SELECT documents.digest FROM up JOIN links ON links.child = up.digest JOIN documents ON documents.id = links.document
)`;
