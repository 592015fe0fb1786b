import { ResultCache } from '../concurrency/index.js';
import type { ContentStore } from '../content/index.js';
import { type Abortable, isLandfallError } from '../errors.js';
import type { Descriptor } from '../spec/index.js';
import { type DocumentSource, fetchVerified } from './resolve.js';
import { documentLimit, readVerified } from './read-document.js';

/** Gives the bytes of an index, a manifest or a config, verified. */
export type DocumentBytes = (descriptor: Descriptor) => Promise<Buffer>;

/** From the store where it has them, else from their registry; nothing is kept. */
export function documentBytes(
  content: Pick<ContentStore, 'info' | 'open'>,
  source: DocumentSource,
  options: Abortable,
): DocumentBytes {
  return async (descriptor) => {
    const limit = documentLimit(descriptor);
    if ((await content.info(descriptor.digest)) !== undefined) {
      try {
        return await readVerified(content, descriptor, limit);
      } catch (error) {
        // A damaged blob is fetched again by the pull that needs it.
        if (!isLandfallError(error)) throw error;
      }
    }
    return await fetchVerified(source, descriptor, limit, options);
  };
}

/** Each document once. */
export function onceEach(read: DocumentBytes): DocumentBytes {
  const known = new ResultCache<string, Buffer>();
  return (descriptor) => known.get(descriptor.digest, () => read(descriptor));
}
