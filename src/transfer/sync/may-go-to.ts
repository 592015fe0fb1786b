import { isLandfallError } from '../../errors.js';
import type { MirrorDestination, MirrorSource, Selection } from './mirror-file.js';
import { type MappedFrom, mapRepository } from './path-template.js';
import type { MirrorPlan } from './planned.js';

export interface MayGoToOptions {
  readonly source: MirrorSource;
  readonly plan: MirrorPlan;
  readonly destination: MirrorDestination;
}

/**
 * Whether images of a source may belong into a repository at a destination, as far as the file tells without the source being
 * asked. A pattern of repositories that nobody could list may mean any.
 */
export function mayGoTo(name: string, options: MayGoToOptions): boolean {
  return options.source.selections.some((selection) => {
    const repositories = repositoriesOf(selection, options);
    return repositories?.some((from) => goesTo(from, selection, options) === name) ?? true;
  });
}

/** Undefined where that could not be found out. */
function repositoriesOf({ name, matches }: Selection, o: MayGoToOptions): readonly MappedFrom[] | undefined {
  const { source, plan } = o;
  if (name !== undefined) {
    if (source.place.kind === 'registry') return [{ registry: source.place.host, repository: name }];
    const slash = name.indexOf('/');
    return [{ registry: slash < 0 ? undefined : name.slice(0, slash), repository: name.slice(slash + 1) }];
  }
  if (plan.failures.some((failure) => failure.source === source)) return undefined;
  return plan.repositories
    .filter((planned) => planned.source === source && matches?.(shortName(source, planned)) === true)
    .map(({ registry, path }) => ({ registry, repository: path }));
}

/** As patterns see it: without the place, which is no part of names only where it is a registry. */
function shortName(
  { place }: MirrorSource,
  { path, repository }: MirrorPlan['repositories'][number],
): string {
  return place.kind === 'registry' ? path : repository.name;
}

/** Undefined where it can go nowhere. */
function goesTo(from: MappedFrom, { to }: Selection, { destination }: MayGoToOptions): string | undefined {
  try {
    return mapRepository(from, to, destination);
  } catch (error) {
    if (isLandfallError(error)) return undefined;
    throw error;
  }
}
