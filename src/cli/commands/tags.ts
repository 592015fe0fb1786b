import { resolveReference } from '../../engine/images/read-manifest.js';
import { LandfallError } from '../../errors.js';
import { parseLoginTarget } from '../../registry/index.js';
import {
  formatPlatform,
  formatReference,
  matchesGlob,
  parsePlatform,
  parseReference,
  quoted,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { printable } from '../format/text.js';
import { openRegistry } from '../images/open-registry.js';
import { invalidConfig } from '../config/settings.js';

export interface TagsFlags {
  readonly limit?: number;
  readonly sort?: 'name' | 'version';
  /** `*` and `?` stand for any characters, and for one. */
  readonly filter?: string;
  /** A range of versions. */
  readonly semver?: string;
}

/** Lists the tags of a repository, in the registry's order or sorted; unsorted text while they come. */
export async function tagsCommand(name: string, flags: TagsFlags, context: CommandContext): CommandResult {
  const { signal, settings, stdout } = context;
  const { isWanted, order } = await choiceOf(flags);
  const reference = parseRepositoryName(name);
  const repository = repositoryName(reference);
  await using registry = await openRegistry(context, [repository]);
  const tags: string[] = [];
  let left = flags.limit ?? Number.POSITIVE_INFINITY;
  const waits = settings.output === 'json' || order !== undefined;
  for await (const tag of registry.repository(reference).tags({ signal })) {
    if (!isWanted(tag)) continue;
    if (waits) tags.push(tag);
    else stdout.write(`${printable(tag)}\n`);
    left -= 1;
    if (left === 0 && order === undefined) break;
  }
  if (!waits) return 0;
  const listed = order === undefined ? tags : tags.sort(order).slice(0, flags.limit);
  answer(context, { repository, tags: listed }, () => listed.map((tag) => `${printable(tag)}\n`).join(''));
  return 0;
}

export interface CatalogFlags {
  readonly limit?: number;
  /** `*` and `?` stand for any characters, and for one. */
  readonly filter?: string;
}

/** Lists the repositories of a registry, in its order; text while they come. */
export async function catalogCommand(
  host: string,
  { limit = Number.POSITIVE_INFINITY, filter }: CatalogFlags,
  context: CommandContext,
): CommandResult {
  const { signal, settings, stdout } = context;
  const { registry: name } = parseLoginTarget(host.replace(/^docker:\/\//, '').replace(/\/$/, ''));
  await using registry = await openRegistry(context, []);
  const repositories: string[] = [];
  for await (const repository of registry.catalog(name, { signal })) {
    if (filter !== undefined && !matchesGlob(filter, repository)) continue;
    repositories.push(repository);
    if (settings.output === 'text') stdout.write(`${printable(repository)}\n`);
    if (repositories.length === limit) break;
  }
  if (settings.output === 'json') answer(context, { registry: name, repositories }, () => '');
  return 0;
}

interface TagChoice {
  readonly isWanted: (tag: string) => boolean;
  /** Absent for the registry's own. */
  readonly order: ((a: string, b: string) => number) | undefined;
}

async function choiceOf({ sort, filter, semver }: TagsFlags): Promise<TagChoice> {
  // What reads versions is loaded only where there are some to be read.
  const versions =
    sort === 'version' || semver !== undefined
      ? await import('../../transfer/sync/mirror-file.js')
      : undefined;
  const range = semver === undefined ? undefined : versions?.versionRange(semver);
  if (semver !== undefined && (range === undefined || semver.trim() === '')) {
    throw invalidConfig(`${quoted(semver)} is not a range of versions`, {
      hint: 'Write for example ">=1.2 <3", "^1.4 || ~2.0" or "1.x".',
    });
  }
  return {
    isWanted: (tag) =>
      (filter === undefined || matchesGlob(filter, tag)) &&
      (range === undefined || versions?.isVersionWithin(tag, range) === true),
    order: sort === 'name' ? byName : sort === 'version' ? versions?.byVersion : undefined,
  };
}

function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Asks a registry what a name leads to. The text is the digest alone, so that a script can take it as it is.
 */
export async function resolveCommand(
  name: string,
  flags: { readonly platform?: string },
  context: CommandContext,
): CommandResult {
  const reference = parseRegistryName(name);
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  await using registry = await openRegistry(context, [formatReference(reference)]);
  const { digest, mediaType, size } = await resolveReference({
    registry,
    reference,
    ...(platform === undefined ? {} : { platform }),
    signal: context.signal,
  });
  const json = {
    reference: formatReference(reference),
    digest,
    mediaType,
    size,
    platform: platform && formatPlatform(platform),
  };
  answer(context, json, () => `${digest}\n`);
  return 0;
}

const TRANSPORT = 'docker://';
const FILES = /^(?:oci|oci-archive|docker-archive|dir|docker-daemon|containers-storage):/;

/**
 * Reads what is always at a registry: `REF`, or `docker://REF` as skopeo has it.
 *
 * @throws {LandfallError} INVALID_CONFIG for a file; {SpecError} INVALID_REFERENCE
 */
export function parseRegistryName(text: string): Reference {
  if (text.startsWith(TRANSPORT)) return parseReference(text.slice(TRANSPORT.length), { defaultTag: true });
  if (FILES.test(text)) {
    throw new LandfallError('INVALID_CONFIG', `${quoted(text)} is not at a registry`, {
      hint: `Name an image at a registry; docker://${text} is one of this name.`,
    });
  }
  return parseReference(text, { defaultTag: true });
}

/**
 * The same for a repository, without tag and digest.
 *
 * @throws {LandfallError} as {@link parseRegistryName}; INVALID_CONFIG where there is a tag or a digest
 */
export function parseRepositoryName(text: string): Reference {
  const named = parseRegistryName(text);
  const bare = { registry: named.registry, repository: named.repository };
  const { tag, digest } = parseReference(text.startsWith(TRANSPORT) ? text.slice(TRANSPORT.length) : text);
  if (tag === undefined && digest === undefined) return bare;
  throw invalidConfig(`${quoted(text)} is an image, not a repository`, {
    hint: 'Leave out the tag and the digest.',
  });
}
