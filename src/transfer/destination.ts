import type { BlobProvider } from '../content/index.js';
import type { Abortable } from '../errors.js';
import type { OpenContent } from '../registry/index.js';
import type { Descriptor, Digest } from '../spec/index.js';
import type { SignatureMemory } from './governed-image.js';
import type { SourceRepository } from './source.js';

export type { OpenContent };

export interface PutOptions extends Abortable {
  /** What the content is to be called in the repository. */
  readonly tag?: string | undefined;
  /**
   * Whether it is wanted by itself, and not only as a part of what has a tag: a referrer, or an image that is known by its
   * digest alone. Such content is listed where the place has lists.
   */
  readonly root?: boolean | undefined;
  /** What a manifest or an index names that does not come along, on purpose; declared where the place can say so. */
  readonly omitted?: readonly Descriptor[] | undefined;
  /** Repositories that had the content in this run or the source's, in the same registry: `library/debian`. */
  readonly mountFrom?: readonly string[] | undefined;
  /** Whether the caller has just seen that it is not there, so that nobody looks again. */
  readonly absent?: boolean | undefined;
  /** The bytes of the content that have been taken; less than before when some must be sent again. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

export interface DeleteTagOptions extends Abortable {
  /**
   * What tags name that stay, for a place that can delete no tag but only what it names: that is then not deleted. Without it
   * the place looks for itself.
   */
  readonly kept?: ReadonlySet<Digest> | undefined;
}

/** What became of content that was to be put. `mounted`: another repository of the registry had it; `exists`: this one had. */
export type PutOutcome = 'copied' | 'mounted' | 'exists';

/**
 * One repository, to write. What a manifest names is put before it. Nothing becomes visible that does not have its
 * descriptor's size and digest.
 */
export interface DestinationRepository {
  /** As in {@link SourceRepository.name}. */
  readonly name: string;
  readonly location: string;
  readonly place: DestinationPlace;
  /**
   * What is there, where that is on this machine, so that copies look whether all of it is. A registry is believed: it has
   * what its manifests name.
   */
  readonly blobs?: Pick<BlobProvider, 'info' | 'open'>;
  /** Reads back what is there, and what refers to it there; absent where nothing can be read before the end. */
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

export type PlaceKind = 'registry' | 'store' | 'layout' | 'archive';

/** Where images are written. Whoever opens one disposes of it, after `finish` or instead of it. */
export interface DestinationPlace extends AsyncDisposable {
  readonly kind: PlaceKind;
  /** The same for all that shares blobs: those of one registry, store, layout or archive. */
  readonly name: string;
  repository(name: string): DestinationRepository;
  /**
   * Ends the writing: afterwards all that was put survives a power cut, where the place is on this machine. An archive is
   * written only now. What was put before stays where it fails, except in an archive, of which nothing is left.
   */
  finish(options?: Abortable): Promise<void>;
}
