import { imagesListing } from '../../content/index.js';
import { type Digest, formatReference, parseReference } from '../../spec/index.js';
import type { SnapshotImage } from '../../unpack/index.js';
import type { StoreParts } from '../store.js';
import { indexesAbove } from './indexes-above.js';

/**
 * The images of a store whose topmost layer a chain is, under each name that leads to them, or under which they were once verified: these
 * first. An image whose layers only begin so is another one.
 */
export async function imagesEndingIn(
  { documents, database, verifications }: Pick<StoreParts, 'documents' | 'database' | 'verifications'>,
  chainId: Digest,
): Promise<readonly SnapshotImage[]> {
  const holders = await documents.chainHolders(chainId);
  const found: SnapshotImage[] = [];
  for (const { digest } of holders.filter((facts) => facts.chainIds.at(-1) === chainId)) {
    const path = [...(await indexesAbove(documents, digest)).toReversed(), digest];
    const verified = (await verifications.about(path)).map(({ name }) => name).filter((name) => isName(name));
    const names = new Set([...verified, ...(await imagesListing(database, digest))]);
    found.push(...[...names].map((name) => ({ name, path })));
  }
  return found;
}

/** What was verified in a file may be called something else. */
function isName(text: string): boolean {
  try {
    return formatReference(parseReference(text)) === text;
  } catch {
    return false;
  }
}
