import type { Readable } from 'node:stream';
import { type Abortable, isWrongContent } from '../errors.js';
import type { FetchOptions } from '../registry/index.js';
import type { Descriptor, Digest, Reference } from '../spec/index.js';
import type { GovernedImage } from './governed-image.js';

/*
 * Vocabulary. A *place* is what images lie in: a registry, a store, an OCI layout, an archive. In a place there are
 * *repositories*, and in a repository content has digests and some of it has tags. Repository names are canonical,
 * `docker.io/library/alpine`, where the place has such names; the one repository of a layout or an archive that has none is
 * `''`, and then its tags are the names that stand in its index, whatever they are (image-spec: image-layout.md).
 */

export interface ReferrersOptions extends Abortable {
  /** The repository's tags, where the caller has listed them: what keeps lists of referrers as tags need then not be asked in vain. */
  readonly tags?: ReadonlySet<string> | undefined;
}

export interface ResolveOptions extends Abortable {
  readonly byGet?: boolean | undefined;
}

export interface GovernedOptions extends Abortable {
  /** What the image is called by whoever reads it, where its place has no name for it. */
  readonly calledAs?: Reference | undefined;
}

/** One repository, to read. */
export interface SourceRepository {
  /** `docker.io/library/alpine`; `''` for that of a layout whose names are no references. */
  readonly name: string;
  /** How a person would write it: `docker://quay.io/team/app`, `oci:/srv/layout`. */
  readonly location: string;
  /** Where it is mounted from, should the destination be the same registry. */
  readonly registry?: string;
  /**
   * What a tag or a digest names; undefined where it names nothing. A registry is asked by one HEAD; with `byGet`, for the
   * manifest itself. Errors: those of the place, NOT_FOUND not among them.
   */
  resolve(tagOrDigest: string, options?: ResolveOptions): Promise<Descriptor | undefined>;
  /** Its tags, in any order. Errors: NOT_FOUND where there is no such repository. */
  tags(options?: Abortable): AsyncIterable<string>;
  /** What refers to a digest, as far as the place knows (distribution-spec: Listing Referrers). */
  referrers(subject: Digest, options?: ReferrersOptions): AsyncIterable<Descriptor>;
  /** Whether it has content, where repositories of its place may differ in that; absent where they cannot. */
  has?(descriptor: Descriptor, options?: Abortable): Promise<boolean>;
  /** How many bytes a blob has; undefined where it is not there. Absent where a place's content tells. Errors: those of the place. */
  blobSize?(digest: Digest, options?: Abortable): Promise<number | undefined>;
  /**
   * The bytes of content, from an offset on. Whoever receives them verifies them.
   * Errors: BLOB_NOT_FOUND or NOT_FOUND, and those of the place.
   */
  fetch(descriptor: Descriptor, options?: FetchOptions): Promise<Readable>;
  /**
   * Says that what was fetched was not the content. Whether asking again can bring something else, from another host or after a
   * mishap on the way; absent where content is read where it lies.
   */
  distrust?(descriptor: Descriptor): Promise<boolean>;
  /** What a signature policy is to know of what a tag or a digest names. Nothing is asked of a registry. Errors: those of the place. */
  governed(tagOrDigest: string, options?: GovernedOptions): Promise<GovernedImage>;
}

/** Where images are read. Whoever opens one disposes of it. */
export interface SourcePlace extends AsyncDisposable {
  /** `docker://`, `oci-archive:/media/images.tar`: the beginning of the location of all that lies there. */
  readonly name: string;
  repository(name: string): SourceRepository;
  /** Canonical names, in order. Errors: UNSUPPORTED where the place does not tell. */
  repositories(options?: Abortable): Promise<readonly string[]>;
}

/** Does what fetches content, and does it again where the content was wrong and its source may bring something else. */
export async function fetchedRight<T>(
  source: Pick<SourceRepository, 'distrust'>,
  descriptor: Descriptor,
  action: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!isWrongContent(error) || (await source.distrust?.(descriptor)) !== true) throw error;
    }
  }
}
