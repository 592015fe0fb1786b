import { type Abortable, isLandfallError, throwIfAborted } from '../../errors.js';
import { isDigest } from '../../spec/index.js';
import type { CopySession } from '../copy-session.js';
import type { DestinationPlace } from '../destination.js';
import { type MappedImage, targetsOf } from './map-images.js';
import type { MirrorDestination, MirrorSource } from './mirror-file.js';
import { mayGoTo } from './may-go-to.js';
import { formatPlace } from './place-name.js';
import type { MirrorPlan, PlannedRepository } from './planned.js';
import { planPrune, type RepositoryPrune } from './prune.js';
import type { SyncedImage, UnprunedRepository } from './sync-result.js';

export interface PlanPrunesOptions {
  readonly destination: MirrorDestination;
  readonly images: readonly MappedImage[];
  readonly plan: MirrorPlan;
  /** What became of the images, in their order. */
  readonly done: readonly SyncedImage[];
  readonly session: CopySession;
}

/**
 * What is to be deleted at a destination: only in repositories that images of the file go to. Nothing is deleted of a source that
 * could not be listed in full in this run, nor in a repository in which something failed.
 *
 * Errors: ABORTED
 */
export async function planPrunes(
  place: DestinationPlace,
  options: PlanPrunesOptions,
): Promise<{ prunes: RepositoryPrune[]; unpruned: UnprunedRepository[] }> {
  const { session } = options;
  const prunes: RepositoryPrune[] = [];
  const unpruned: UnprunedRepository[] = [];
  for (const [name, sources] of contributors(options)) {
    const repository = place.repository(name);
    const obstacle = obstacleOf(place, { name, sources }, options);
    if (obstacle !== undefined) {
      unpruned.push({ destination: repository.location, reason: obstacle });
      continue;
    }
    const images = options.images.filter(({ to }) => to === name).map(({ image }) => image);
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

function readingWith({ documents, signal }: CopySession): Abortable & Pick<CopySession, 'documents'> {
  return { documents, signal };
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
  place: DestinationPlace,
  { name, sources }: { readonly name: string; readonly sources: readonly PlannedRepository[] },
  { plan, images, done, destination }: PlanPrunesOptions,
): string | undefined {
  const location = place.repository(name).location;
  if (plan.repositories.some(({ repository }) => repository.location === location))
    return 'images are read from there too';
  const unlisted = sources.find(({ source }) => isUnlisted(source, plan));
  if (unlisted !== undefined) {
    return `of the source of ${unlisted.repository.location} not all could be listed in this run`;
  }
  // One of which nothing is known may be why a tag is there.
  const other = unlistedSources(plan).find((source) => mayGoTo(name, { source, plan, destination }));
  if (other !== undefined) {
    return `${formatPlace(other.place)}, which goes there too, could not be listed in full in this run`;
  }
  const failed = images.findIndex(({ to }, at) => to === name && done[at]?.outcome === 'failed');
  const image = done[failed];
  return image === undefined ? undefined : `${image.source} could not be copied`;
}

function unlistedSources(plan: MirrorPlan): MirrorSource[] {
  const all = [...plan.failures, ...plan.repositories].map(({ source }) => source);
  return [...new Set(all)].filter((source) => isUnlisted(source, plan));
}

function isUnlisted(source: MirrorSource, plan: MirrorPlan): boolean {
  return (
    plan.failures.some((failure) => failure.source === source) ||
    plan.repositories.some((planned) => planned.source === source && planned.failure !== undefined)
  );
}
