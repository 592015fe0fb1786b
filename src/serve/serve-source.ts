import type { BlobProvider } from '../content/index.js';
import type { Descriptor } from '../spec/index.js';

/**
 * What a registry server reads from: a store, or an OCI layout directory. Repository names are canonical,
 * `docker.io/library/alpine`. Every call looks anew, so that an image which arrives while the server runs is served.
 */
export interface ServeSource {
  /** What is here. Documents are read from it. */
  readonly blobs: BlobProvider;
  /** The same, with blobs that have to be brought here first; absent where there are none. */
  readonly restoring?: BlobProvider;
  /** What a tag points to; undefined when there is no such repository or tag. */
  resolve(repository: string, tag: string): Promise<Descriptor | undefined>;
  /** The tags of a repository, in any order; undefined when nothing here has that name. */
  tags(repository: string): Promise<readonly string[] | undefined>;
  /** All that a repository holds by tag or by digest, in any order; nothing where there is no such repository. */
  targets(repository: string): Promise<readonly Descriptor[]>;
  /** Every repository that has an image here, in any order. */
  repositories(): Promise<readonly string[]>;
}
