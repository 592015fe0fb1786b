import { type Abortable, isLandfallError, throwIfAborted } from '../../errors.js';
import { type Descriptor, type Digest, isDigest, isIndexType } from '../../spec/index.js';
import type { CopySession } from '../copy/copy-session.js';
import type { DestinationTransport, DestinationRepository } from '../transports/destination.js';
import type { ManifestReader } from '../transports/manifest-reader.js';
import { type MirrorDestination, type MirrorSource, subjectOfTag } from './mirror-file.js';
import { formatTransport } from './transport-name.js';
import {
  mapElsewhere,
  type MappedImage,
  mayGoTo,
  type MirrorPlan,
  type PlannedRepository,
  targetsOf,
} from './planned.js';
import type { PrunedTag, SyncedImage, UnprunedRepository } from './sync-result.js';

export interface PlanPrunesOptions {
  readonly destination: MirrorDestination;
  readonly images: readonly MappedImage[];
  readonly plan: MirrorPlan;
  /** What became of the images, in their order. */
  readonly done: readonly SyncedImage[];
  readonly session: CopySession;
}

/**
 * What is to be deleted at a destination: only in repositories that images of the file go to. Nothing is
 * deleted of a source that could not be listed in full in this run, nor in a repository in which something
 * failed.
 *
 * Errors: ABORTED
 */
export async function planPrunes(
  transport: DestinationTransport,
  options: PlanPrunesOptions,
): Promise<{ prunes: RepositoryPrune[]; unpruned: UnprunedRepository[] }> {
  const { session } = options;
  const prunes: RepositoryPrune[] = [];
  const unpruned: UnprunedRepository[] = [];
  const elsewhere = mapElsewhere(options.plan, options.destination);
  for (const [name, sources] of contributors(options)) {
    const repository = transport.repository(name);
    const obstacle = obstacleOf(transport, { name, sources }, options);
    if (obstacle !== undefined) {
      unpruned.push({ destination: repository.location, reason: obstacle });
      continue;
    }
    const images = [...options.images, ...elsewhere]
      .filter(({ to }) => to === name)
      .map(({ image }) => image);
    try {
      const wanted = new Set(images.flatMap(({ tag }) => tag ?? []));
      const digests = images.flatMap(({ from }) => (isDigest(from) ? [from] : []));
      const found = await planPrune({ repository, wanted, digests, ...readingWith(session) });
      if (found.tags.length > 0) prunes.push(found);
    } catch (error) {
      throwIfAborted(session.signal);
      const reason = isLandfallError(error) ? error.message : String(error);
      unpruned.push({ destination: repository.location, reason });
    }
  }
  return { prunes, unpruned };
}

function readingWith({ manifests, signal }: CopySession): Abortable & Pick<CopySession, 'manifests'> {
  return { manifests, signal };
}

/** By the repository at the destination: those that go to it. */
function contributors({ plan, destination }: PlanPrunesOptions): Map<string, PlannedRepository[]> {
  const all = new Map<string, PlannedRepository[]>();
  for (const planned of plan.repositories) {
    for (const name of targetsOf(planned, destination)) all.set(name, [...(all.get(name) ?? []), planned]);
  }
  return all;
}

/** Why nothing is deleted there, in words. */
function obstacleOf(
  transport: DestinationTransport,
  { name, sources }: { readonly name: string; readonly sources: readonly PlannedRepository[] },
  { plan, images, done, destination }: PlanPrunesOptions,
): string | undefined {
  const location = transport.repository(name).location;
  if (plan.repositories.some(({ repository }) => repository.location === location))
    return 'images are read from there too';
  const unlisted = sources.find(({ source }) => isUnlisted(source, plan));
  if (unlisted !== undefined && plan.partial.includes(unlisted.source)) return partialReason(unlisted.source);
  if (unlisted !== undefined) {
    return `of the source of ${unlisted.repository.location} not all could be listed in this run`;
  }
  // One of which nothing is known may be why a tag is there.
  const other = unlistedSources(plan).find((source) => mayGoTo(name, { source, plan, destination }));
  if (other !== undefined && plan.partial.includes(other)) return partialReason(other);
  if (other !== undefined) {
    return `${formatTransport(other.transport)}, which goes there too, could not be listed in full in this run`;
  }
  const failed = images.findIndex(({ to }, at) => to === name && done[at]?.outcome === 'failed');
  const image = done[failed];
  return image === undefined ? undefined : `${image.source} could not be copied`;
}

function partialReason({ transport }: MirrorSource): string {
  return `${formatTransport(transport)} does not say which images of its set were delivered apart from it`;
}

function unlistedSources(plan: MirrorPlan): MirrorSource[] {
  const all = [...plan.failures, ...plan.repositories].map(({ source }) => source).concat(plan.partial);
  return [...new Set(all)].filter((source) => isUnlisted(source, plan));
}

function isUnlisted(source: MirrorSource, plan: MirrorPlan): boolean {
  return (
    plan.partial.includes(source) ||
    plan.failures.some((failure) => failure.source === source) ||
    plan.repositories.some((planned) => planned.source === source && planned.failure !== undefined)
  );
}

/** What is to go of one repository. */
export interface RepositoryPrune {
  readonly repository: DestinationRepository;
  /** First what refers to images, so that what is left of a run that was killed is still found. */
  readonly tags: readonly { readonly tag: string; readonly descriptor: Descriptor }[];
  /** What must not go with them. */
  readonly kept: ReadonlySet<Digest>;
}

export interface PlanPruneOptions extends Abortable {
  readonly repository: DestinationRepository;
  /** Tags that the file asks for. */
  readonly wanted: ReadonlySet<string>;
  /** Images that it asks for by their digests alone. */
  readonly digests: readonly Digest[];
  readonly manifests: ManifestReader;
}

/**
 * Finds the tags of a repository that the file asks for no more. Tags that stand for what refers to an image
 * go with it and stay with it: what refers to something that is neither kept nor deleted is left alone.
 *
 * Errors: those of the place, of reading manifests there; ABORTED
 */
async function planPrune(options: PlanPruneOptions): Promise<RepositoryPrune> {
  const { repository, wanted, signal } = options;
  const all: string[] = [];
  for await (const tag of repository.tags({ signal })) all.push(tag);
  const images = all.filter((tag) => subjectOfTag(tag) === undefined);
  const going = images.filter((tag) => !wanted.has(tag));
  if (going.length === 0) return { repository, tags: [], kept: new Set() };
  const look = new Look(options);
  const referring = all.filter((tag) => subjectOfTag(tag) !== undefined && !wanted.has(tag));
  const kept = new Set(options.digests);
  for (const tag of all.filter((one) => wanted.has(one))) await look.add(tag, kept);
  for (const digest of options.digests) await look.add(digest, kept);
  await look.addReferring(referring, kept, () => true);
  const gone = new Set<Digest>();
  for (const tag of going) await look.add(tag, gone);
  const goneReferring = await look.addReferring(referring, gone, (subject) => !kept.has(subject));
  const tags = [...goneReferring, ...going].flatMap((tag) => {
    const descriptor = look.known(tag);
    return descriptor === undefined ? [] : [{ tag, descriptor }];
  });
  return { repository, tags, kept };
}

/**
 * Deletes what was planned, one tag after the other. What cannot be deleted without something that stays is
 * kept.
 */
export async function prune(
  { repository, tags, kept }: RepositoryPrune,
  { signal, onPruned }: Abortable & { readonly onPruned?: ((pruned: PrunedTag) => void) | undefined } = {},
): Promise<PrunedTag[]> {
  const done: PrunedTag[] = [];
  for (const { tag, descriptor } of tags) {
    const named = { destination: `${repository.location}:${tag}`, digest: descriptor.digest };
    const pruned = { ...named, ...(await deleteTag(repository, tag, { kept, signal })) };
    done.push(pruned);
    onPruned?.(pruned);
    if (signal?.aborted === true) break;
  }
  return done;
}

async function deleteTag(
  repository: DestinationRepository,
  tag: string,
  options: Abortable & { readonly kept: ReadonlySet<Digest> },
): Promise<Pick<PrunedTag, 'outcome' | 'error'>> {
  try {
    await repository.deleteTag(tag, options);
    return { outcome: 'deleted' };
  } catch (error) {
    if (isLandfallError(error) && error.code === 'IN_USE') return { outcome: 'kept', error };
    // It may have gone with another tag of its digest.
    if (options.signal?.aborted !== true && (await isGone(repository, tag, options)))
      return { outcome: 'deleted' };
    return { outcome: 'failed', error };
  }
}

async function isGone(repository: DestinationRepository, tag: string, options: Abortable): Promise<boolean> {
  try {
    return (await repository.stored(tag, options)) === undefined;
  } catch {
    return false;
  }
}

/** What tags of one repository stand for, and what that consists of. */
class Look {
  readonly #repository: DestinationRepository;
  readonly #manifests: ManifestReader;
  readonly #signal: AbortSignal | undefined;
  readonly #stored = new Map<string, Descriptor | undefined>();

  constructor({ repository, manifests, signal }: PlanPruneOptions) {
    this.#repository = repository;
    this.#manifests = manifests;
    this.#signal = signal;
  }

  known(tag: string): Descriptor | undefined {
    return this.#stored.get(tag);
  }

  /** Adds the manifests that a tag or a digest stands for, those within an index too. */
  async add(tagOrDigest: string, digests: Set<Digest>): Promise<void> {
    throwIfAborted(this.#signal);
    const signal = this.#signal;
    const stored = this.#stored.has(tagOrDigest)
      ? this.#stored.get(tagOrDigest)
      : await this.#repository.stored(tagOrDigest, { signal });
    this.#stored.set(tagOrDigest, stored);
    if (stored !== undefined) await this.#addAll(stored, digests);
  }

  /**
   * Adds what refers to what is there already, and what refers to that, until nothing more is found.
   *
   * @returns the tags by which it was found
   */
  async addReferring(
    tags: readonly string[],
    digests: Set<Digest>,
    counts: (subject: Digest) => boolean,
  ): Promise<string[]> {
    const bySubject = new Map<string, string[]>();
    for (const tag of tags) {
      const key = keyOf(subjectOfTag(tag) ?? '');
      bySubject.set(key, [...(bySubject.get(key) ?? []), tag]);
    }
    const found = new Set<string>();
    // What is added meanwhile is looked at too.
    for (const digest of digests) {
      for (const tag of counts(digest) ? (bySubject.get(keyOf(digest)) ?? []) : []) {
        found.add(tag);
        await this.add(tag, digests);
      }
    }
    return [...found];
  }

  async #addAll(descriptor: Descriptor, digests: Set<Digest>, depth = 0): Promise<void> {
    const isNew = !digests.has(descriptor.digest);
    digests.add(descriptor.digest);
    const { readBack } = this.#repository;
    if (!isNew && depth > 0) return;
    if (!isIndexType(descriptor.mediaType) || readBack === undefined || depth > MAX_DEPTH) return;
    const manifest = await this.#manifests.manifest(readBack, descriptor, { signal: this.#signal });
    if (manifest.kind !== 'index') return;
    for (const child of manifest.manifests) await this.#addAll(child, digests, depth + 1);
  }
}

const MAX_DEPTH = 8;

/** In the tag of a list of referrers a long digest is cut after 64 digits. */
function keyOf(digest: string): string {
  return digest.slice(0, digest.indexOf(':') + 1 + 64);
}
