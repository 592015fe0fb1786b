import type { Readable } from 'node:stream';

import type { Abortable } from '../../errors.js';
import type { Descriptor, Digest } from '../../spec/index.js';

/** Where signatures are looked for: the repository of the image, at its registry, in a store, a layout or an archive. */
export interface SignatureSource {
  /** How a person would write it: `docker://quay.io/team/app`. */
  readonly location: string;
  /** What a tag names; undefined where it names nothing. Errors: those of the place, NOT_FOUND not among them. */
  resolve(tag: string, options?: Abortable): Promise<Descriptor | undefined>;
  /** What refers to a digest (distribution-spec: Listing Referrers). */
  referrers(subject: Digest, options?: Abortable): AsyncIterable<Descriptor>;
  /** The bytes of content. Whoever receives them verifies them. Errors: BLOB_NOT_FOUND or NOT_FOUND, and those of the place. */
  fetch(descriptor: Descriptor, options?: Abortable): Promise<Readable>;
}
