import { type Statements, textOf } from '../metadata/index.js';
import type { Digest } from '../spec/index.js';
import { ABOVE_BLOB, ABOVE_CHAIN, LISTED_ABOVE_BLOB } from './above.js';

const NAMES =
  'SELECT DISTINCT images.name FROM up JOIN images ON images.digest = up.digest ORDER BY images.name';

/** Names of the images that need a blob, by the documents that list it. */
export async function imagesWithBlob(database: Statements, digest: Digest): Promise<readonly string[]> {
  return (await database.all(`${ABOVE_BLOB} ${NAMES}`, [digest])).map((row) => textOf(row, 'name'));
}

/** Names of the images that are a blob or list it, directly or through what they list; what only refers to one of them is left out. */
export async function imagesListing(database: Statements, digest: Digest): Promise<readonly string[]> {
  return (await database.all(`${LISTED_ABOVE_BLOB} ${NAMES}`, [digest])).map((row) => textOf(row, 'name'));
}

/** Names of the images that are unpacked to a chain, or through it. */
export async function imagesWithChain(database: Statements, chainId: Digest): Promise<readonly string[]> {
  return (await database.all(`${ABOVE_CHAIN} ${NAMES}`, [chainId])).map((row) => textOf(row, 'name'));
}
