import { mapLimited } from '../../concurrency/index.js';
import { rawNamesOf } from '../../content/index.js';
import type { Abortable } from '../../errors.js';
import { formatReference, shortDigest } from '../../spec/index.js';
import type { GovernedImage, SourceRepository } from '../transports/destination.js';
import type { JudgedRoot } from './judge-images.js';
import { type LayoutPlace, policyName } from '../transports/layout-place.js';
import type { RegistryPlace } from '../transports/registry-place.js';

/** All that a layout or an archive lists, each with the name that people know it by. */
export async function layoutRoots(place: LayoutPlace, o: Abortable = {}): Promise<JudgedRoot[]> {
  const repository = place.repository('');
  const entries = await place.entries(o);
  return entries.map((entry) => {
    const { target, reference } = entry;
    const [raw] = rawNamesOf(target);
    const canonical = raw === undefined || reference === undefined ? undefined : formatReference(reference);
    return {
      name: canonical ?? raw ?? shortDigest(target.digest),
      target,
      repository,
      governed: () => place.governed(policyName(entry)),
    };
  });
}

/** Repositories whose tags are listed and resolved at once. */
const CONCURRENCY = 8;

/**
 * Every tag of every repository of a registry below a path, as far as the registry lists them.
 *
 * @param path `''` for all, `hub/` for those below it
 */
export async function registryRoots(
  place: RegistryPlace,
  path: string,
  { signal }: Abortable = {},
): Promise<readonly JudgedRoot[]> {
  const all = await place.repositories({ signal });
  const below = all.filter((name) => name.startsWith(`${place.host}/${path}`));
  const roots = await mapLimited(below, CONCURRENCY, (name) => tagged(place.repository(name), signal));
  return roots.flat();
}

async function tagged(
  repository: SourceRepository,
  signal: AbortSignal | undefined,
): Promise<readonly JudgedRoot[]> {
  const roots: JudgedRoot[] = [];
  for await (const tag of repository.tags({ signal })) {
    const target = await repository.resolve(tag, { signal });
    const governed = (): Promise<GovernedImage> => repository.governed(tag);
    const name = `${repository.location}:${tag}`;
    if (target !== undefined) roots.push({ name, target, repository, governed });
  }
  return roots;
}
