import type { BlobProvider } from '../../content/index.js';
import type { Descriptor, Digest } from '../../spec/index.js';

/**
 * The content behind a registry server: a store, an OCI layout directory, or a store that fills itself. Every
 * call looks anew, so that an image which arrives while the server runs is served.
 *
 * Repository names are canonical, `docker.io/library/alpine`, whatever the path of the request said:
 *
 * - with `ns`, the host that the client means, which containerd sends to a mirror, the path is the repository
 *   at that host: `library/alpine` with `ns=docker.io` is `docker.io/library/alpine`;
 * - without it a path is read as a person would write it after `pull`: one whose first component has a `.` or
 *   a `:`, or is `localhost`, names its registry, `quay.io/x/y`; any other is at docker.io, `team/app` as
 *   `docker.io/team/app`, `alpine` as `docker.io/library/alpine`.
 *
 * What is pushed gets its name by the same rule, so that it can be pulled by the path it was pushed to.
 */
export interface ServeSource {
  /** The blobs that are here. Manifests are read from it. */
  readonly blobs: BlobProvider;
  /** The same, with blobs that have to be brought here first; absent where there are none. */
  readonly restoring?: Pick<BlobProvider, 'info' | 'open'> | undefined;
  /** What a tag points to; undefined when there is no such repository or tag. */
  resolve(repository: string, tag: string): Promise<Descriptor | undefined>;
  /** The tags of a repository, in any order; undefined when nothing here has that name. */
  tags(repository: string): Promise<readonly string[] | undefined>;
  /**
   * All that a repository holds by tag or by digest, in any order; nothing where there is no such repository.
   */
  targets(repository: string): Promise<readonly Descriptor[]>;
  /**
   * What refers to something that a repository has and has no name itself, such as signatures that were kept
   * when an image was verified; absent where there is no such thing.
   */
  readonly keptBeside?: ((repository: string, subject: Digest) => Promise<readonly Descriptor[]>) | undefined;
  /** Every repository that has an image here, in any order. */
  repositories(): Promise<readonly string[]>;
  /**
   * Whether what is here was deleted from a repository, which is to answer as if it were gone; absent where
   * nothing can be.
   */
  readonly isWithheld?: ((repository: string, blob: Digest) => Promise<boolean>) | undefined;
  /**
   * Refuses to give a blob that is here to a client; absent where none is refused. Its presence is no secret.
   *
   * @throws RegistryFault 403 DENIED
   */
  readonly admitBlob?: ((repository: string, blob: Digest) => Promise<void>) | undefined;
  /** Whether a manifest that is here is one of a repository's; absent where all are every repository's. */
  readonly hasManifest?: ((repository: string, manifest: Digest) => Promise<boolean>) | undefined;
  /**
   * The media type that a manifest was described or pushed with; undefined where that is not known, and its
   * body has to say.
   */
  readonly mediaTypeOf?: ((digest: Digest) => Promise<string | undefined>) | undefined;
}
