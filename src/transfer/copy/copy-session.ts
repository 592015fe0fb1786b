import { untilAborted } from '../../concurrency/index.js';
import { type Abortable, isLandfallError, throwIfAborted } from '../../errors.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import type { PolicyFile } from '../../trust/index.js';
import { type BudgetShare, PullBudget } from '../../engine/pull/pull-budget.js';
import type { ContentOutcome, CopyEvent } from './copy-report.js';
import type { DestinationRepository, SourceRepository } from '../transports/destination.js';
import { ManifestReader } from '../transports/manifest-reader.js';

export interface CopySessionOptions extends Abortable {
  /** Blobs that are on their way at once. Default: that of pulls. */
  readonly concurrency?: number | undefined;
  /**
   * What the far side is known to have, each with a repository there: it is left out, and declared so.
   * Manifests are not left out.
   */
  readonly without?: ReadonlyMap<Digest, string> | undefined;
  /** Looks at everything and puts nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Looks at all parts of what a registry's tag names already, in place of believing it. Default false. */
  readonly recheck?: boolean | undefined;
  /** What says which signatures each image needs before anything of it is copied; without it, none. */
  readonly policy?: PolicyFile | undefined;
  readonly onEvent?: ((event: CopyEvent) => void) | undefined;
}

/** What the copies of one run have in common: how much is on its way at once, and what has arrived. */
export class CopySession {
  readonly signal: AbortSignal | undefined;
  readonly dryRun: boolean;
  readonly recheck: boolean;
  readonly without: ReadonlyMap<Digest, string>;
  /** By the name of a registry: the repository there that has what a delta lacks, as the delta declares. */
  readonly delivered: Map<string, ReadonlyMap<Digest, string>> = new Map<
    string,
    ReadonlyMap<Digest, string>
  >();
  readonly policy: PolicyFile | undefined;
  readonly flights: SharedCopies = new SharedCopies();
  readonly manifests: ManifestReader;
  readonly #budget: PullBudget;
  readonly #onEvent: CopySessionOptions['onEvent'];
  readonly #tags: Map<string, Promise<ReadonlySet<string> | undefined>>;

  /** @param before a session of the same run: what that has read and listed is known here too */
  constructor(options: CopySessionOptions = {}, before?: CopySession) {
    this.manifests = before?.manifests ?? new ManifestReader();
    this.#tags =
      before === undefined ? new Map<string, Promise<ReadonlySet<string> | undefined>>() : before.#tags;
    const {
      signal,
      dryRun = false,
      recheck = false,
      without = new Map<Digest, string>(),
      concurrency,
      onEvent,
    } = options;
    this.signal = signal;
    this.dryRun = dryRun;
    this.recheck = recheck;
    this.without = without;
    this.policy = options.policy;
    this.#budget = new PullBudget({ concurrency });
    this.#onEvent = onEvent;
  }

  /** For a first look in the same run, which puts nothing and tells nothing. */
  looking(): CopySession {
    const { signal, recheck, without } = this;
    return new CopySession({ signal, recheck, without, dryRun: true }, this);
  }

  /** For one image: what is free goes to each in turn. */
  share(): BudgetShare {
    return this.#budget.share();
  }

  emit(event: CopyEvent): void {
    this.#onEvent?.(event);
  }

  /** The tags of a source, listed once in a run; undefined where they cannot be listed. Errors: ABORTED. */
  async tagsOf(source: SourceRepository): Promise<ReadonlySet<string> | undefined> {
    const known = this.#tags.get(source.location);
    if (known !== undefined) return await known;
    const listing = this.#listTags(source);
    this.#tags.set(source.location, listing);
    return await listing;
  }

  /**
   * The tags of a source, where they were listed in this run; undefined where nobody has asked, or they
   * cannot be listed.
   */
  async knownTagsOf(source: SourceRepository): Promise<ReadonlySet<string> | undefined> {
    return await this.#tags.get(source.location);
  }

  /** Notes tags that this run has listed already. */
  noteTags(source: SourceRepository, tags: Iterable<string>): void {
    this.#tags.set(source.location, Promise.resolve(new Set(tags)));
  }

  async #listTags(source: SourceRepository): Promise<ReadonlySet<string> | undefined> {
    const tags = new Set<string>();
    try {
      for await (const tag of source.tags({ signal: this.signal })) tags.add(tag);
      return tags;
    } catch (error) {
      // Credentials that may read a repository may not always list it.
      if (isLandfallError(error) && error.code !== 'ABORTED') return undefined;
      throw error;
    }
  }
}

/** Puts content, which some repositories of the same registry have already: `docker.io/library/debian`. */
export type PutFrom = (repositories: readonly string[]) => Promise<ContentOutcome>;

/**
 * What is on its way or has arrived in a run, so that each blob moves once however many images share it: who
 * wants it in the same repository waits for it, and who wants it in another one mounts it from there.
 */
export class SharedCopies {
  /**
   * By place, digest and size, since two manifests may not agree on that: the repositories, each with what
   * became of it there.
   */
  readonly #flights = new Map<string, Map<string, Promise<ContentOutcome>>>();

  /**
   * @param put called unless the content is there by another flight; a flight that fails is only its own
   *   image's failure, and who waited for it tries by itself
   */
  async bring(
    destination: Pick<DestinationRepository, 'name' | 'transport'>,
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
    put: PutFrom,
    { signal }: Abortable = {},
  ): Promise<ContentOutcome> {
    const flights = this.#of(`${destination.transport.name} ${digest} ${size}`);
    for (;;) {
      const known = flights.get(destination.name);
      if (known === undefined) break;
      if (await succeeds(known, signal)) return 'exists';
    }
    const others = [...flights];
    const flight = this.#begin(destination, others, put, signal);
    flights.set(destination.name, flight);
    try {
      return await flight;
    } catch (error) {
      if (flights.get(destination.name) === flight) flights.delete(destination.name);
      throw error;
    }
  }

  async #begin(
    { transport }: Pick<DestinationRepository, 'transport'>,
    others: readonly (readonly [string, Promise<ContentOutcome>])[],
    put: PutFrom,
    signal: AbortSignal | undefined,
  ): Promise<ContentOutcome> {
    for (const [repository, flight] of others) {
      if (!(await succeeds(flight, signal))) continue;
      // Only a registry tells its repositories apart.
      return transport.kind === 'registry' ? await put([repository]) : 'exists';
    }
    return await put([]);
  }

  #of(key: string): Map<string, Promise<ContentOutcome>> {
    const known = this.#flights.get(key);
    if (known !== undefined) return known;
    const made = new Map<string, Promise<ContentOutcome>>();
    this.#flights.set(key, made);
    return made;
  }
}

/** @throws LandfallError ABORTED while it waits */
async function succeeds(flight: Promise<unknown>, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await untilAborted(flight, signal);
    return true;
  } catch {
    throwIfAborted(signal);
    return false;
  }
}
