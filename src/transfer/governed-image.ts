import type { Lease } from '../content/index.js';
import type { Store } from '../engine/store.js';
import type { PolicyImage, SignatureSource } from '../trust/index.js';

/** What a signature policy is to know of an image of a repository. */
export interface GovernedImage {
  readonly image: PolicyImage;
  /** The tag that it has there; undefined where it was named by its digest alone. */
  readonly tag: string | undefined;
  /** Where its signatures are looked for, in this order, beside those that {@link GovernedImage.memory} keeps. */
  readonly signatures: readonly SignatureSource[];
  readonly memory?: SignatureMemory | undefined;
}

/** A store, which remembers what was verified and keeps signatures beside its images. */
export interface SignatureMemory {
  readonly store: Store;
  /** Protects what is kept until the image that it is for has its name. */
  readonly lease: () => Promise<Lease>;
}
