import { setMaxListeners } from 'node:events';
import { Readable } from 'node:stream';
import { ResultCache } from '../../concurrency/index.js';
import { isLandfallError, SpecError, TrustError } from '../../errors.js';
import { availablePlatforms, noMatchingPlatform } from '../../engine/images/read-manifest.js';
import type { BudgetShare } from '../../engine/pull/pull-budget.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  isIndexType,
  isManifestType,
  LIMITS,
  type Platform,
} from '../../spec/index.js';
import { deliveredIn } from '../transports/declaration.js';
import {
  boundedReferrers,
  cosignReferrers,
  REFERRER_DEPTH,
  isComplete,
  type SelectedEntries,
} from '../transports/image-graph.js';
import type { Admitted, CopyAdmission } from './copy-admission.js';
import {
  type ContentOutcome,
  type ContentRole,
  type CopiedContent,
  type CopyEvent,
  copyOutcome,
  type CopyReport,
} from './copy-report.js';
import type { PlatformChoice, ReferrerChoice } from './copy-request.js';
import type { CopySession } from './copy-session.js';
import {
  type DestinationRepository,
  fetchedRight,
  type PutOptions,
  type SourceRepository,
} from '../transports/destination.js';
import { type ChosenEntries, selectEntries, wholeOf } from './select-platforms.js';

export interface ImageCopyOptions {
  readonly source: SourceRepository;
  readonly destination: DestinationRepository;
  readonly session: CopySession;
  readonly choice: PlatformChoice;
  /** What a policy has to say of what refers to the image; absent where it asks for nothing. */
  readonly admission?: CopyAdmission | undefined;
}

/**
 * One image on its way, with all that belongs to it. The first failure stops the rest of it, and of nothing
 * else.
 */
export class ImageCopy {
  readonly source: SourceRepository;
  readonly destination: DestinationRepository;
  readonly session: CopySession;
  readonly signal: AbortSignal;
  readonly choice: PlatformChoice;
  readonly admission: CopyAdmission | undefined;
  readonly #budget: BudgetShare;
  readonly #failed = new AbortController();

  constructor({ source, destination, session, choice, admission }: ImageCopyOptions) {
    this.source = source;
    this.destination = destination;
    this.session = session;
    this.choice = choice;
    this.admission = admission;
    this.#budget = session.share();
    this.signal =
      session.signal === undefined
        ? this.#failed.signal
        : AbortSignal.any([session.signal, this.#failed.signal]);
    // That all its parts wait for one signal is no leak.
    setMaxListeners(0, this.signal);
  }

  /** Lets go of what is still under way. */
  end(): void {
    this.#failed.abort();
  }

  /** Errors: as {@link copy}. */
  async root(root: CopyRoot): Promise<CopyReport> {
    const { target, resolved, from, tag, referrers, isReferrer = false, admitted } = root;
    const { destination, source, session } = this;
    const names = { source: nameAt(source, from), destination: nameAt(destination, tag ?? target.digest) };
    session.emit({ type: 'image', ...names, descriptor: target });
    const parts = new CopiedParts(isReferrer ? wholeOf(this.choice) : this.choice, admitted?.digests);
    const state = await this.#stateOf(root, parts);
    const there = state === 'there';
    if (there) this.#note(parts, target, roleOf(target), 'exists');
    else {
      const put = { tag, root: true, absent: state === 'absent' };
      await this.#manifest(target, { parts, depth: 0, put });
    }
    const { contents, omitted } = parts;
    const copied =
      referrers === undefined ? [] : await new ReferrerCopy(this).of(target, referrers, { isThere: there });
    return {
      ...names,
      target,
      resolved,
      outcome: copyOutcome(there || this.#isUnchanged(contents), contents, copied),
      contents,
      omitted,
      referrers: copied,
      referrersLeftOut: isReferrer ? undefined : referrers === undefined,
    };
  }

  /** Runs all of them; when one fails, breaks off the others and waits until they have stopped. */
  async all<T>(tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
    const results = await Promise.allSettled(
      tasks.map(async (task) => {
        try {
          return await task();
        } catch (error) {
          if (!this.#failed.signal.aborted) this.#failed.abort(error);
          throw error;
        }
      }),
    );
    return results.map((result) => {
      if (result.status === 'fulfilled') return result.value;
      throw this.session.signal?.aborted === true ? result.reason : this.#failed.signal.reason;
    });
  }

  /** The entries of an index, which lies so deep in others, that come along. */
  async select(
    target: Descriptor,
    index: ImageIndex,
    { choice, depth }: { readonly choice: PlatformChoice; readonly depth: number },
  ): Promise<ChosenEntries> {
    return await selectEntries(target, index, {
      choice,
      depth,
      has: async ({ digest }) => (await this.source.resolve(digest, this)) !== undefined,
      read: (descriptor) => this.session.manifests.bytes(this.source, descriptor, this),
    });
  }

  /**
   * Whether all of it is at the destination under the name that it is to have, or that name is known to lead
   * elsewhere.
   */
  async #stateOf(
    { target, tag, listed, admitted }: CopyRoot,
    { choice }: CopiedParts,
  ): Promise<'there' | 'absent' | 'unknown'> {
    const { destination, session } = this;
    if (listed === false) return 'unknown';
    const believed = session.recheck ? 'unknown' : 'there';
    // A registry lists what it has.
    if (listed === true && destination.blobs === undefined) return believed;
    const known = admitted?.stored ?? { descriptor: await destination.stored(tag ?? target.digest, this) };
    if (known.descriptor?.digest !== target.digest) return 'absent';
    if (destination.blobs === undefined) return believed;
    const whole = await isComplete(destination.blobs, target, {
      select: (of, index, depth) => this.select(of, index, { choice, depth }),
    });
    return whole ? 'there' : 'unknown';
  }

  /** Whether a second look has found that nothing was missing. */
  #isUnchanged(contents: readonly CopiedContent[]): boolean {
    return this.session.recheck && contents.every(({ outcome }) => outcome === 'exists');
  }

  /** A manifest or an index: first all that it names, then itself. */
  async #manifest(descriptor: Descriptor, { parts, depth, put }: Part): Promise<void> {
    if (depth > LIMITS.indexDepth) {
      throw new SpecError('LIMIT_EXCEEDED', `indexes are nested more than ${LIMITS.indexDepth} deep`);
    }
    const { session, source, signal } = this;
    const bytes = await session.manifests.bytes(source, descriptor, { signal });
    const manifest = await session.manifests.manifest(source, descriptor, { signal });
    const { kept, omitted } = await this.#chosen(descriptor, manifest, { parts, depth });
    await this.all(
      kept.map((child) => async () => {
        await this.#child(child, manifest, { parts, depth: depth + 1, put: {} });
      }),
    );
    if (depth === 0 && manifest.kind === 'index') parts.requirePlatforms(descriptor, manifest);
    parts.omitted.push(...omitted);
    const outcome = session.dryRun
      ? 'planned'
      : await this.destination.put(
          descriptor,
          (offset) => Promise.resolve(Readable.from([bytes.subarray(offset)])),
          { ...put, omitted, signal },
        );
    this.#note(parts, descriptor, roleOf(descriptor), outcome);
  }

  async #chosen(
    descriptor: Descriptor,
    manifest: ImageManifest | ImageIndex,
    { parts, depth }: Omit<Part, 'put'>,
  ): Promise<SelectedEntries> {
    if (manifest.kind === 'index') {
      const chosen = await this.select(descriptor, manifest, { choice: parts.choice, depth });
      parts.match(chosen.unmatched);
      return chosen;
    }
    const { without } = this.session;
    const children = childrenOf(manifest);
    return {
      kept: children.filter(({ digest }) => !without.has(digest)),
      omitted: children.flatMap((child) => {
        const repository = without.get(child.digest);
        return repository === undefined ? [] : [deliveredIn(child, repository)];
      }),
    };
  }

  async #child(child: Descriptor, parent: ImageManifest | ImageIndex, part: Part): Promise<void> {
    if (parent.kind === 'index') part.parts.requireAdmitted(child);
    if (isManifestType(child.mediaType) || isIndexType(child.mediaType)) {
      await part.parts.once(child, () => this.#childManifest(child, part));
      return;
    }
    const role = parent.kind === 'index' ? 'other' : child === parent.config ? 'config' : 'layer';
    const { flights } = this.session;
    const put = (repositories: readonly string[]): Promise<ContentOutcome> =>
      this.#blob(child, role, repositories);
    const outcome = await flights.bring(this.destination, child, put, this);
    this.#note(part.parts, child, role, outcome);
  }

  async #childManifest(child: Descriptor, part: Part): Promise<void> {
    const { destination, session } = this;
    const { parts, depth: begin } = part;
    const { choice } = parts;
    const select = async (of: Descriptor, index: ImageIndex, depth: number): Promise<SelectedEntries> =>
      await this.select(of, index, { choice, depth });
    const there =
      destination.blobs === undefined
        ? !session.recheck && (await destination.has(child, this))
        : await isComplete(destination.blobs, child, { select, depth: begin });
    if (!there) {
      const absent = destination.blobs === undefined && !session.recheck;
      await this.#manifest(child, { ...part, put: { absent } });
      return;
    }
    if (isIndexType(child.mediaType)) parts.match();
    this.#note(parts, child, roleOf(child), 'exists');
  }

  async #blob(
    descriptor: Descriptor,
    role: ContentRole,
    repositories: readonly string[],
  ): Promise<ContentOutcome> {
    const { destination, source, session, signal } = this;
    if (session.dryRun) {
      if (await destination.has(descriptor, this)) return 'exists';
      return repositories.length > 0 ? 'mounted' : 'planned';
    }
    const progress = new PutProgress(descriptor, role, (event) =>
      session.emit({ ...event, destination: destination.location }),
    );
    // An archive opens its blobs when it is written, after this image is done with.
    const isArchive = destination.transport.kind === 'archive';
    const opening = isArchive ? session.signal : signal;
    const verifiedFirst = destination.transport.kind === 'registry';
    const put = async (): Promise<ContentOutcome> =>
      await destination.put(
        descriptor,
        (offset) => source.fetch(descriptor, { offset: offset ?? 0, signal: opening, verifiedFirst }),
        {
          mountFrom: this.#mountable(descriptor, repositories),
          signal,
          onProgress: (bytes) => {
            if (isArchive && bytes === descriptor.size) this.#tell(descriptor, role, 'copied');
            else progress.at(bytes);
          },
        },
      );
    return await this.#budget.download({ bytes: descriptor.size, signal }, () =>
      fetchedRight(source, descriptor, put),
    );
  }

  /**
   * Without the registry's own name; the source's repository too, where it is in the same registry, and the
   * one that an earlier delivery was to.
   */
  #mountable({ digest }: Descriptor, repositories: readonly string[]): readonly string[] {
    const { transport } = this.destination;
    if (transport.kind !== 'registry') return [];
    const { registry, name } = this.source;
    const from = registry !== undefined && transport.name === `docker://${registry}` ? [name] : [];
    const before = this.session.delivered.get(transport.name)?.get(digest) ?? [];
    return [...repositories, ...from]
      .concat(before)
      .map((repository) => repository.slice(repository.indexOf('/') + 1));
  }

  #note(parts: CopiedParts, descriptor: Descriptor, role: ContentRole, outcome: ContentOutcome): void {
    parts.add({ descriptor, role, outcome });
    // A blob is written into an archive, and told of, only when all images are known.
    const isLater = this.destination.transport.kind === 'archive' && outcome === 'copied';
    if (!isLater || isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType))
      this.#tell(descriptor, role, outcome);
  }

  #tell(descriptor: Descriptor, role: ContentRole, outcome: ContentOutcome): void {
    const { location: destination } = this.destination;
    const content = { descriptor, role, state: outcome, bytes: descriptor.size };
    this.session.emit({ type: 'content', destination, ...content });
  }
}

interface Part {
  readonly parts: CopiedParts;
  readonly depth: number;
  readonly put: PutOptions;
}

function roleOf({ mediaType }: Descriptor): ContentRole {
  if (isIndexType(mediaType)) return 'index';
  return isManifestType(mediaType) ? 'manifest' : 'other';
}

/** What refers to something: by its `subject`, or by cosign's scheme of tags. */
interface Found {
  readonly descriptor: Descriptor;
  readonly tag?: string;
  /** Whether the destination lists it already; for what is found by a tag it has no list. */
  readonly listed?: boolean | undefined;
}

interface ReferrerCopyOptions {
  /** Digests and tags that have been found before, and are not looked at again. */
  readonly seen: Set<string>;
  readonly depth: number;
}

/** Carries along what refers to an image, to its platforms, and to that in turn; each once. */
class ReferrerCopy {
  readonly #image: ImageCopy;
  readonly #seen: Set<string>;
  readonly #depth: number;

  constructor(image: ImageCopy, { seen, depth }: ReferrerCopyOptions = { seen: new Set(), depth: 0 }) {
    this.#image = image;
    this.#seen = seen;
    this.#depth = depth;
  }

  /**
   * @param o `isThere`: whether the destination has what they refer to, so that its manifests need not be
   *   read at the source
   */
  async of(
    target: Descriptor,
    choice: ReferrerChoice,
    { isThere }: { readonly isThere: boolean },
  ): Promise<readonly CopyReport[]> {
    const { session } = this.#image;
    if (this.#depth === REFERRER_DEPTH) {
      const message = `what refers to referrers more than ${REFERRER_DEPTH} deep is not copied`;
      session.emit({ type: 'warning', message });
      return [];
    }
    this.#seen.add(target.digest);
    const subjects = new Set<Digest>();
    await this.#addSubjects(target, { subjects, isThere, depth: 0 });
    const found = (
      await this.#image.all([...subjects].map((subject) => () => this.#find(subject, choice)))
    ).flat();
    const fresh = found.filter(({ descriptor: { digest }, tag }) => {
      // A tag is wanted too where what it names came by itself; it may name what it is for, or that in turn.
      const isNew = !this.#seen.has(tag ?? digest);
      this.#seen.add(tag ?? digest).add(digest);
      return isNew;
    });
    return (await this.#image.all(fresh.map((referrer) => () => this.#copy(referrer, choice)))).flat();
  }

  /** Nothing where a policy would have to know more of it. */
  async #copy(found: Found, choice: ReferrerChoice): Promise<readonly CopyReport[]> {
    const { descriptor, tag } = found;
    const admitted = await this.#admitted(found);
    if (admitted === 'refused') return [];
    const report = await this.#image.root({
      target: descriptor,
      resolved: descriptor,
      from: tag ?? descriptor.digest,
      tag,
      referrers: undefined,
      isReferrer: true,
      admitted,
      listed: found.listed,
    });
    const below = new ReferrerCopy(this.#image, { seen: this.#seen, depth: this.#depth + 1 });
    const { cosignTags = true } = choice;
    const referrers = await below.of(descriptor, { cosignTags }, { isThere: report.outcome === 'exists' });
    return [{ ...report, referrers }];
  }

  /**
   * An image may refer to another one, and would come past a policy by that. It is left out: whoever may
   * write to the source's repository should not be able to hold up the images that are in order either. What
   * the destination has already is not looked at.
   */
  async #admitted({ descriptor, tag, listed }: Found): Promise<Admitted | 'refused' | undefined> {
    const { admission, session, source, destination, signal } = this.#image;
    if (admission === undefined || listed === true) return undefined;
    const stored = tag === undefined ? undefined : { descriptor: await destination.stored(tag, { signal }) };
    const isThere = stored?.descriptor?.digest === descriptor.digest;
    if (isThere || (await admission.letsAlong(descriptor, tag))) return { digests: undefined, stored };
    const name = nameAt(source, tag ?? descriptor.digest);
    const message = `${name} is an image of its own, and no signature of it was verified: it is not copied along`;
    session.emit({ type: 'warning', message });
    return 'refused';
  }

  /** Adds something, and of an index what it lists that comes along, and what that lists. */
  async #addSubjects(
    target: Descriptor,
    o: { readonly subjects: Set<Digest>; readonly isThere: boolean; readonly depth: number },
  ): Promise<void> {
    const { subjects, isThere, depth } = o;
    if (subjects.has(target.digest)) return;
    subjects.add(target.digest);
    if (!isIndexType(target.mediaType) || depth > LIMITS.indexDepth) return;
    const { session, source, destination, signal } = this.#image;
    // Registries count what is read of the source, and the destination has the same.
    const from = isThere ? (destination.readBack ?? source) : source;
    const manifest = await session.manifests.manifest(from, target, { signal });
    if (manifest.kind !== 'index') return;
    const choice = this.#depth === 0 ? this.#image.choice : wholeOf(this.#image.choice);
    const { kept } = await this.#image.select(target, manifest, { choice, depth });
    for (const child of kept) await this.#addSubjects(child, { ...o, depth: depth + 1 });
  }

  async #find(subject: Digest, choice: ReferrerChoice): Promise<readonly Found[]> {
    const byList = await this.#listed(subject, choice.artifactTypes);
    const byTag = choice.cosignTags === false ? [] : await this.#tagged(subject);
    return [...byList, ...byTag];
  }

  async #listed(subject: Digest, types: readonly string[] | undefined): Promise<readonly Found[]> {
    const { source, session, signal } = this.#image;
    const found: Descriptor[] = [];
    const tags = await session.tagsOf(source);
    for await (const referrer of boundedReferrers(source, subject, { signal, tags })) {
      const { mediaType, digest, size, artifactType } = referrer;
      if (types === undefined || types.includes(artifactType ?? '')) found.push({ mediaType, digest, size });
    }
    if (found.length === 0) return [];
    const there = await this.#listedThere(subject);
    return found.map((descriptor) => ({ descriptor, listed: there.has(descriptor.digest) }));
  }

  async #listedThere(subject: Digest): Promise<ReadonlySet<Digest>> {
    const { destination, signal } = this.#image;
    const there = new Set<Digest>();
    if (destination.readBack === undefined) return there;
    try {
      for await (const { digest } of destination.readBack.referrers(subject, { signal })) there.add(digest);
    } catch (error) {
      // A run that only looks has made no repository.
      if (!isLandfallError(error) || error.code !== 'NOT_FOUND') throw error;
    }
    return there;
  }

  async #tagged(subject: Digest): Promise<readonly Found[]> {
    const { session, source, signal } = this.#image;
    // A store keeps signatures that no name of it leads to, and a layout may have them under another
    // repository's name.
    const tags = source.registry === undefined ? undefined : await session.tagsOf(source);
    return await cosignReferrers(source, subject, { signal, tags });
  }
}

/** What has been found so far of one image, or of one referrer, that is being copied. */
class CopiedParts {
  readonly choice: PlatformChoice;
  readonly omitted: Descriptor[] = [];
  readonly #contents = new Map<Digest, CopiedContent>();
  readonly #manifests = new ResultCache<Digest, void>();
  readonly #matched = new Set<Platform>();
  /** Whether an index within it was not looked into. */
  #isPartlyKnown = false;

  readonly #admitted: ReadonlySet<Digest> | undefined;

  /** @param admitted what may be copied of indexes; absent: all */
  constructor(choice: PlatformChoice, admitted?: ReadonlySet<Digest>) {
    this.choice = choice;
    this.#admitted = admitted;
  }

  /**
   * A source that is written to meanwhile may have more of an index than it had when the image was verified.
   *
   * @throws {TrustError} POLICY_REJECTED for what of an index was not verified
   */
  requireAdmitted({ digest }: Descriptor): void {
    if (this.#admitted === undefined || this.#admitted.has(digest)) return;
    throw new TrustError(
      'POLICY_REJECTED',
      `${digest} came to the image after its signatures were verified`,
      {
        hint: 'Copy it again.',
        details: { image: digest },
      },
    );
  }

  get contents(): readonly CopiedContent[] {
    return [...this.#contents.values()];
  }

  add(content: CopiedContent): void {
    const { descriptor, outcome } = content;
    // What several of its manifests name is there for all but the first that brings it.
    if (!this.#contents.has(descriptor.digest) || outcome !== 'exists') {
      this.#contents.set(descriptor.digest, content);
    }
  }

  /**
   * Does what is to be done with a manifest once, however many indexes list it. No index leads to itself, so
   * none waits for itself.
   */
  async once({ digest }: Descriptor, action: () => Promise<void>): Promise<void> {
    await this.#manifests.get(digest, action);
  }

  /** Notes which platforms of the choice an index has something for; without a list that nobody knows. */
  match(unmatched?: readonly Platform[]): void {
    if (unmatched === undefined) this.#isPartlyKnown = true;
    else
      for (const platform of this.#platforms) if (!unmatched.includes(platform)) this.#matched.add(platform);
  }

  /**
   * @throws {SpecError} NO_MATCHING_PLATFORM where neither an index nor one within it has a platform of the
   *   choice
   */
  requirePlatforms(target: Descriptor, index: ImageIndex): void {
    const missing = this.#platforms.find((platform) => !this.#matched.has(platform));
    if (missing === undefined || this.#isPartlyKnown) return;
    throw noMatchingPlatform(target, missing, availablePlatforms(index));
  }

  get #platforms(): readonly Platform[] {
    return typeof this.choice === 'string' ? [] : this.choice;
  }
}

/** What is copied by itself: an image, or what refers to one. */
interface CopyRoot {
  readonly target: Descriptor;
  readonly resolved: Descriptor;
  /** What the source calls it. */
  readonly from: string;
  readonly tag: string | undefined;
  readonly referrers: ReferrerChoice | undefined;
  /** Whether the destination is known to list it among the referrers of its subject. */
  readonly listed?: boolean | undefined;
  /** Whether it refers to something, and so is for no platform: it comes whole. */
  readonly isReferrer?: boolean;
  /** Of an image that was verified. */
  readonly admitted?: Admitted | undefined;
}

/** How a person writes what a repository calls by a tag or a digest. */
function nameAt({ name, location }: { name: string; location: string }, tagOrDigest: string): string {
  if (name === '' && tagOrDigest === '') return location;
  return `${location}${tagOrDigest.includes(':') && name !== '' ? '@' : ':'}${tagOrDigest}`;
}

type ContentEvent = Omit<Extract<CopyEvent, { type: 'content' }>, 'destination'>;

/** A blob has at most one progress event in so many ms. */
const INTERVAL_MS = 50;

/** Tells how far a blob has come, now and then. */
class PutProgress {
  readonly #descriptor: Descriptor;
  readonly #role: ContentRole;
  readonly #emit: (event: ContentEvent) => void;
  #reported = 0;

  constructor(descriptor: Descriptor, role: ContentRole, emit: (event: ContentEvent) => void) {
    this.#descriptor = descriptor;
    this.#role = role;
    this.#emit = emit;
  }

  at(bytes: number): void {
    const now = performance.now();
    if (now - this.#reported < INTERVAL_MS) return;
    this.#reported = now;
    this.#emit({ type: 'content', descriptor: this.#descriptor, role: this.#role, state: 'copying', bytes });
  }
}
