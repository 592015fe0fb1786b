import { type Abortable, ContentError, RegistryError } from '../../errors.js';
import type { Descriptor } from '../../spec/index.js';
import type { PlatformChoice, ReferrerChoice } from '../copy-request.js';
import type { SourceRepository } from '../source.js';
import type { MirrorSource, Position } from './mirror-file.js';

/** One image of a source that is wanted, whatever the destinations are. */
export interface WantedImage {
  /** A tag or a digest. */
  readonly from: string;
  readonly tag: string | undefined;
  readonly platforms: PlatformChoice;
  readonly rewriteIndex: boolean | undefined;
  readonly referrers: ReferrerChoice | undefined;
  /** A template of the repository at the destination, where the file has one. */
  readonly to: string | undefined;
  /** What of the file asks for it. */
  readonly at: Position;
}

/** What is to be done with one repository of a source. */
export class PlannedRepository {
  readonly source: MirrorSource;
  readonly repository: SourceRepository;
  /** Before the repository's own name: `quay.io`; undefined where that is no reference. */
  readonly registry: string | undefined;
  /** `team/app` */
  readonly path: string;
  readonly images: readonly WantedImage[];
  /** Why its tags are not known, or not all. */
  readonly failure: unknown;
  readonly #resolved = new Map<string, Descriptor>();

  constructor(o: {
    readonly source: MirrorSource;
    readonly repository: SourceRepository;
    readonly images: readonly WantedImage[];
    readonly failure?: unknown;
    /** What is known already of its tags. */
    readonly resolved?: ReadonlyMap<string, Descriptor>;
  }) {
    const { name } = o.repository;
    const slash = name.indexOf('/');
    this.source = o.source;
    this.repository = o.repository;
    this.registry = slash < 0 ? undefined : name.slice(0, slash);
    this.path = slash < 0 ? name : name.slice(slash + 1);
    this.images = o.images;
    this.failure = o.failure;
    for (const [tag, descriptor] of o.resolved ?? []) this.#resolved.set(tag, descriptor);
  }

  /**
   * What a tag or a digest of it stands for. The source is asked once in a run, however many destinations there are and
   * whatever the plan looked at: registries count such requests, and a tag that moves meanwhile is the same image everywhere.
   *
   * Errors: NOT_FOUND or BLOB_NOT_FOUND; those of the place
   */
  async resolve(from: string, options: Abortable): Promise<Descriptor> {
    const known = this.#resolved.get(from);
    if (known !== undefined) return known;
    const found = await this.repository.resolve(from, options);
    if (found === undefined) throw this.#absent(from);
    this.#resolved.set(from, found);
    return found;
  }

  #absent(from: string): RegistryError | ContentError {
    const { location, registry } = this.repository;
    const message = `${location} has no ${from}`;
    const hint = 'Check the spelling of repository and tag.';
    return registry === undefined
      ? new ContentError('BLOB_NOT_FOUND', message, { hint })
      : new RegistryError('NOT_FOUND', message, { hint });
  }
}

/** What could not be found out about a source as a whole. */
export interface SourceFailure {
  readonly source: MirrorSource;
  /** `docker://quay.io`, or `docker://quay.io/team/*`. */
  readonly subject: string;
  readonly error: unknown;
}

/** All that the file asks for, as its sources are now. */
export interface MirrorPlan {
  readonly repositories: readonly PlannedRepository[];
  readonly failures: readonly SourceFailure[];
  readonly warnings: readonly string[];
}
