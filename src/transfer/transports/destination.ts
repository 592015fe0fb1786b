import type { Readable } from 'node:stream';
import type { BlobProvider, Lease } from '../../content/index.js';
import type { Store } from '../../engine/store.js';
import { type Abortable, isWrongContent } from '../../errors.js';
import type { FetchOptions, OpenContent } from '../../registry/index.js';
import type { Descriptor, Digest, Reference } from '../../spec/index.js';
import type { Declaration, DeclaredSet } from './declaration.js';
import type { PolicyImage, SignatureSource } from '../../trust/index.js';

export type { OpenContent };

export interface PutOptions extends Abortable {
  /** What the content is to be called in the repository. */
  readonly tag?: string | undefined;
  /**
   * Whether it is wanted by itself, and not only as a part of what has a tag: a referrer, or an image that is
   * known by its digest alone. Such content is listed where the place has lists.
   */
  readonly root?: boolean | undefined;
  /**
   * What a manifest or an index names that does not come along, on purpose; declared where the place can say
   * so.
   */
  readonly omitted?: readonly Descriptor[] | undefined;
  /**
   * Repositories that had the content in this run or the source's, in the same registry: `library/debian`.
   */
  readonly mountFrom?: readonly string[] | undefined;
  /** Whether the caller has just seen that it is not there, so that no second look is needed. */
  readonly absent?: boolean | undefined;
  /** The bytes of the content that have been taken; less than before when some must be sent again. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

export interface DeleteTagOptions extends Abortable {
  /**
   * What tags name that stay, for a place that can delete no tag but only what it names: that is then not
   * deleted. Without it the place looks for itself.
   */
  readonly kept?: ReadonlySet<Digest> | undefined;
}

/**
 * What became of content that was to be put. `mounted`: another repository of the registry had it; `exists`:
 * this one had.
 */
export type PutOutcome = 'copied' | 'mounted' | 'exists';

export interface SourceFetchOptions extends FetchOptions {
  /**
   * Whether content that was never verified is digested before its first byte: for bytes that leave this
   * machine. Default false: what takes them verifies them.
   */
  readonly verifiedFirst?: boolean;
}

/**
 * One repository, to write. What a manifest names is put before it. Nothing becomes visible that does not
 * have its descriptor's size and digest.
 */
export interface DestinationRepository {
  /** As in {@link SourceRepository.name}. */
  readonly name: string;
  readonly location: string;
  readonly transport: DestinationTransport;
  /**
   * What is there, where that is on this machine, so that copies look whether all of it is. A registry is
   * believed: it has what its manifests name.
   */
  readonly blobs?: Pick<BlobProvider, 'info' | 'open'>;
  /**
   * Reads back what is there, and what refers to it there; absent where nothing can be read before the end.
   */
  readonly readBack?: Pick<SourceRepository, 'fetch' | 'referrers'>;
  /** What remembers which of its images were verified; absent where nothing does. */
  readonly memory?: SignatureMemory;
  /** What a tag or a digest of a manifest names now; undefined where it names nothing. */
  stored(tagOrDigest: string, options?: Abortable): Promise<Descriptor | undefined>;
  /** Whether content is in this repository, a manifest by its digest. */
  has(descriptor: Descriptor, options?: Abortable): Promise<boolean>;
  /**
   * Puts content there unless it is there.
   * Errors: those of the place; DIGEST_MISMATCH, SIZE_MISMATCH; what `open` and its stream throw; ABORTED.
   */
  put(descriptor: Descriptor, open: OpenContent, options?: PutOptions): Promise<PutOutcome>;
  /** Its tags, in any order; none where there is no such repository. */
  tags(options?: Abortable): AsyncIterable<string>;
  /**
   * Takes a tag away, and where the place can do no less, what it names too.
   * Errors: NOT_FOUND; UNSUPPORTED; IN_USE where what it names would have to go, and another tag names it.
   */
  deleteTag(tag: string, options?: DeleteTagOptions): Promise<void>;
  /** Takes a manifest away, and with it every tag that names it. Errors: NOT_FOUND, UNSUPPORTED. */
  deleteManifest(digest: Digest, options?: Abortable): Promise<void>;
}

export type TransportKind = 'registry' | 'store' | 'layout' | 'directory' | 'archive';

/** Where images are written. The caller that opens it disposes of it, after `finish` or instead of it. */
export interface DestinationTransport extends AsyncDisposable {
  readonly kind: TransportKind;
  /** The same for all that shares blobs: those of one registry, store, layout or archive. */
  readonly name: string;
  /** False where nothing can be but container images, so that what refers to them stays behind. */
  readonly holdsArtifacts?: boolean | undefined;
  repository(name: string): DestinationRepository;
  /**
   * Refuses what has no room there, before anything is put; absent where that cannot be told, and for an
   * archive, which tells when it is written.
   *
   * @param blobs that are not there; of them `unpacked` are unpacked too
   * @throws ContentError NO_SPACE, with the bytes that are `needed` and `available`
   */
  requireRoom?(
    blobs: readonly Descriptor[],
    unpacked: readonly Descriptor[],
    options?: Abortable,
  ): Promise<void>;
  /** Writes down what set its images are of, where the place can say so. Before `finish`. */
  declare?(set: DeclaredSet): Promise<void>;
  /**
   * Ends the writing: afterwards all that was put survives a power cut, where the place is on this machine.
   * An archive is written only now. What was put before stays where it fails, except in an archive, of which
   * nothing is left.
   */
  finish(options?: Abortable): Promise<void>;
}

/*
 * Vocabulary. A *place* is what images lie in: a registry, a store, an OCI layout, an archive. In a place there are
 * *repositories*, and in a repository content has digests and some of it has tags. Repository names are canonical,
 * `docker.io/library/alpine`, where the place has such names; the one repository of a layout or an archive that has none is
 * `''`, and then its tags are the names that stand in its index, whatever they are (image-spec: image-layout.md).
 */

export interface ReferrersOptions extends Abortable {
  /**
   * The repository's tags, where the caller has listed them: what keeps lists of referrers as tags need then
   * not be asked in vain.
   */
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
   * What a tag or a digest names; undefined where it names nothing. A registry is asked by one HEAD; with
   * `byGet`, for the manifest itself. Errors: those of the place, NOT_FOUND not among them.
   */
  resolve(tagOrDigest: string, options?: ResolveOptions): Promise<Descriptor | undefined>;
  /** Its tags, in any order. Errors: NOT_FOUND where there is no such repository. */
  tags(options?: Abortable): AsyncIterable<string>;
  /** What refers to a digest, as far as the place knows (distribution-spec: Listing Referrers). */
  referrers(subject: Digest, options?: ReferrersOptions): AsyncIterable<Descriptor>;
  /** Whether it has content, where repositories of its place may differ in that; absent where they cannot. */
  has?(descriptor: Descriptor, options?: Abortable): Promise<boolean>;
  /**
   * How many bytes a blob has; undefined where it is not there. Absent where a place's content tells. Errors:
   * those of the place.
   */
  blobSize?(digest: Digest, options?: Abortable): Promise<number | undefined>;
  /**
   * The bytes of content, from an offset on. Whoever receives them verifies them.
   * Errors: BLOB_NOT_FOUND or NOT_FOUND, and those of the place.
   */
  fetch(descriptor: Descriptor, options?: SourceFetchOptions): Promise<Readable>;
  /**
   * Says that what was fetched was not the content. Whether asking again can bring something else, from
   * another host or after a mishap on the way; absent where content is read where it lies.
   */
  distrust?(descriptor: Descriptor): Promise<boolean>;
  /**
   * What a signature policy is to know of what a tag or a digest names. Nothing is asked of a registry.
   * Errors: those of the place.
   */
  governed(tagOrDigest: string, options?: GovernedOptions): Promise<GovernedImage>;
}

/** Where images are read. The caller that opens it disposes of it. */
export interface SourceTransport extends AsyncDisposable {
  /** `docker://`, `oci-archive:/media/images.tar`: the beginning of the location of all that lies there. */
  readonly name: string;
  repository(name: string): SourceRepository;
  /** Canonical names, in order. Errors: UNSUPPORTED where the place does not tell. */
  repositories(options?: Abortable): Promise<readonly string[]>;
  /** What was left out there on purpose; absent where that is never so. */
  declaration?(): Promise<Declaration>;
}

/**
 * Does what fetches content, and does it again where the content was wrong and its source may bring something
 * else.
 */
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

/** What a signature policy is to know of an image of a repository. */
export interface GovernedImage {
  readonly image: PolicyImage;
  /** The tag that it has there; undefined where it was named by its digest alone. */
  readonly tag: string | undefined;
  /**
   * Where its signatures are looked for, in this order, beside those that {@link GovernedImage.memory} keeps.
   */
  readonly signatures: readonly SignatureSource[];
  readonly memory?: SignatureMemory | undefined;
}

/** A store, which remembers what was verified and keeps signatures beside its images. */
export interface SignatureMemory {
  readonly store: Store;
  /** Protects what is kept until the image that it is for has its name. */
  readonly lease: () => Promise<Lease>;
}
