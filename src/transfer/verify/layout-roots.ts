import { mapLimited } from '../../concurrency/index.js';
import { rawNamesOf } from '../../content/index.js';
import { type Abortable, isLandfallError } from '../../errors.js';
import { formatReference, shortDigest } from '../../spec/index.js';
import type { GovernedImage, SourceRepository } from '../transports/destination.js';
import type { JudgedRoot } from './judge-images.js';
import { type LayoutTransport, policyName } from '../transports/layout-transport.js';
import type { RegistryTransport } from '../transports/registry-transport.js';

/** All that a layout or an archive lists, each with the name that people know it by. */
export async function layoutRoots(transport: LayoutTransport, o: Abortable = {}): Promise<JudgedRoot[]> {
  const repository = transport.repository('');
  const entries = await transport.entries(o);
  return entries.map((entry) => {
    const { target, reference } = entry;
    const [raw] = rawNamesOf(target);
    const canonical = raw === undefined || reference === undefined ? undefined : formatReference(reference);
    return {
      name: canonical ?? raw ?? shortDigest(target.digest),
      target,
      repository,
      governed: () => transport.governed(policyName(entry)),
    };
  });
}

/** Repositories whose tags are listed and resolved at once. */
const CONCURRENCY = 8;

/**
 * Every tag of every repository of a registry below a path, as far as the registry lists them. A repository
 * that lists no tags has none, also where the registry says so by an error: some list what was deleted.
 *
 * @param path `''` for all, `hub/` for those below it
 */
export async function registryRoots(
  transport: RegistryTransport,
  path: string,
  { signal }: Abortable = {},
): Promise<readonly JudgedRoot[]> {
  const all = await transport.repositories({ signal });
  const below = all.filter((name) => name.startsWith(`${transport.host}/${path}`));
  const roots = await mapLimited(below, CONCURRENCY, (name) => tagged(transport.repository(name), signal));
  return roots.flat();
}

async function tagged(
  repository: SourceRepository,
  signal: AbortSignal | undefined,
): Promise<readonly JudgedRoot[]> {
  const roots: JudgedRoot[] = [];
  for (const tag of await tagsOf(repository, signal)) {
    const target = await repository.resolve(tag, { signal });
    const governed = (): Promise<GovernedImage> => repository.governed(tag);
    const name = `${repository.location}:${tag}`;
    if (target !== undefined) roots.push({ name, target, repository, governed });
  }
  return roots;
}

async function tagsOf(repository: SourceRepository, signal: AbortSignal | undefined): Promise<string[]> {
  const tags: string[] = [];
  try {
    for await (const tag of repository.tags({ signal })) tags.push(tag);
  } catch (error) {
    if (!isLandfallError(error) || error.code !== 'NOT_FOUND') throw error;
  }
  return tags;
}
