import { isWrongContent } from '../errors.js';
import type { LayerSource } from '../unpack/index.js';
import type { BlobArrival } from './blob-arrivals.js';

/**
 * A layer of which nothing is read before all of its bytes were found right, by the digest of its blob.
 *
 * Errors: those of its arrival; DIGEST_MISMATCH where nobody has the right bytes
 */
export async function verifyFirst(arrival: BlobArrival): Promise<LayerSource> {
  await arrival.done;
  for (let source = await arrival.readable; ;) {
    try {
      await source.verified;
      return source;
    } catch (error) {
      const next = isWrongContent(error) ? await source.replacement?.() : undefined;
      if (next === undefined) throw error;
      source = next;
    }
  }
}
