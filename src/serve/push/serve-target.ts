import type { Uploads } from '../../content/index.js';
import type { Descriptor, Digest, ImageIndex, ImageManifest } from '../../spec/index.js';

/** A manifest that was read whole, and is what its digest says. */
export interface PushedManifest {
  /** Canonical. */
  readonly repository: string;
  /** Tags that it gets. */
  readonly tags: readonly string[];
  /** Whether it was pushed by its digest, and is to be had by that though no tag names it. */
  readonly byDigest: boolean;
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly manifest: ImageIndex | ImageManifest;
}

/**
 * `unknown`: it is not there; `needed`: an image that the repository names consists of it; `elsewhere`: it
 * cannot be changed here.
 */
export type Deletion = 'deleted' | 'unknown' | 'needed' | 'elsewhere';

/**
 * The destination of pushes. Repository names are canonical, as in `ServeSource`.
 *
 * What was uploaded or mounted and no manifest names yet is kept for a day, so that a push can go on after it
 * broke off. What neither a tag nor a digest names any more is collected with the next collection of garbage.
 *
 * Errors of all methods: ContentError NO_SPACE, FILESYSTEM, and those of the database.
 */
export interface ServeTarget {
  readonly uploads: Uploads;
  /** A blob is here now for a repository: it was uploaded, or mounted. */
  accept(repository: string, digest: Digest): Promise<void>;
  /**
   * Lets a repository have a blob that is here, whichever repository brought it. False where it is not here.
   */
  mount(repository: string, digest: Digest): Promise<boolean>;
  /**
   * Keeps a blob that a client has seen here from being collected before a manifest names it. Unknown is not
   * an error.
   */
  keep(digest: Digest): Promise<void>;
  /**
   * Stores a manifest and names it.
   *
   * @returns the blobs that it needs and that are not here: where there are any, nothing was stored. Entries
   *   of an index, a subject and layers that need not be distributed may be absent.
   */
  putManifest(manifest: PushedManifest): Promise<readonly Descriptor[]>;
  deleteTag(repository: string, tag: string): Promise<Deletion>;
  /** Deletes a manifest, with all tags of the repository that point to it. */
  deleteManifest(repository: string, digest: Digest): Promise<Deletion>;
  deleteBlob(repository: string, digest: Digest): Promise<Deletion>;
}
