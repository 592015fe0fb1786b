import type { Position } from './mirror-file.js';
import { newestFirst, type Version, type VersionRange, versionOf } from './version.js';

/** Which of a repository's tags are wanted. */
export interface TagRules {
  /** Wanted by their names, whatever else there is. */
  readonly list: readonly { readonly tag: string; readonly at: Position }[];
  /** What all the tags are held against; absent where the list is all that is wanted. */
  readonly listed?: ListedTags | undefined;
}

export interface ListedTags {
  /** Whether a tag is wanted by its name; all of these have to say so. */
  readonly tests: readonly ((tag: string) => boolean)[];
  readonly range?: VersionRange | undefined;
  /** With `newest` by version: whether versions with a hyphen count. */
  readonly prereleases: boolean;
  /** Whether one number alone is a version, as skopeo has it. */
  readonly loose?: boolean | undefined;
  /** Milliseconds since 1970. */
  readonly since?: number | undefined;
  readonly newest?: { readonly count: number; readonly by: 'semver' | 'created' } | undefined;
  /** Whether tags that stand for what refers to a digest are taken like any other. */
  readonly digestTags: boolean;
}

/** Finds when the image of a tag was made, in milliseconds since 1970; undefined where nothing says so. */
export type CreatedOf = (tag: string) => Promise<number | undefined>;

/**
 * Tags by which clients find what refers to a digest: the list of the distribution specification (Referrers Tag Schema), and
 * cosign's `sha256-….sig`, `.att`, `.sbom`. The digest, or undefined for any other tag.
 */
export function subjectOfTag(tag: string): string | undefined {
  const [, algorithm, hex] = /^(sha256|sha512)-([a-f0-9]{64,128})(?:\.[a-z0-9]+)?$/.exec(tag) ?? [];
  return algorithm === undefined || hex === undefined ? undefined : `${algorithm}:${hex}`;
}

/**
 * The tags that are wanted of those that there are, in order: by name, by version, by date, then the newest. The list comes
 * first, and is not held against anything.
 *
 * @param createdOf called for those tags only that all else left, and only where a rule is about dates
 */
export async function selectTags(
  rules: TagRules,
  all: readonly string[],
  createdOf: CreatedOf,
): Promise<string[]> {
  const wanted = new Set(rules.list.map(({ tag }) => tag));
  if (rules.listed !== undefined) {
    for (const tag of await listedTags(rules.listed, all, createdOf)) wanted.add(tag);
  }
  return [...wanted];
}

async function listedTags(
  rules: ListedTags,
  all: readonly string[],
  createdOf: CreatedOf,
): Promise<string[]> {
  const named = [...new Set(all)].filter(
    (tag) => (rules.digestTags || subjectOfTag(tag) === undefined) && rules.tests.every((test) => test(tag)),
  );
  const { range, since, newest } = rules;
  const within = range === undefined ? named : named.filter((tag) => isWithin(tag, range, rules));
  const recent = since === undefined ? within : await madeSince(within, since, createdOf);
  if (newest === undefined) return recent;
  return newest.by === 'semver'
    ? newestVersions(recent, newest.count, rules)
    : await newestMade(recent, newest.count, createdOf);
}

function isWithin(tag: string, range: VersionRange, { loose = false }: ListedTags): boolean {
  const version = versionOf(tag, { loose });
  return version !== undefined && range.test(version);
}

/** An image of which nobody says when it was made is taken: a mirror lacks nothing that it might have been meant to have. */
async function madeSince(tags: readonly string[], since: number, createdOf: CreatedOf): Promise<string[]> {
  const dated = await datesOf(tags, createdOf);
  return dated.filter(({ made }) => made === undefined || made >= since).map(({ tag }) => tag);
}

function newestVersions(
  tags: readonly string[],
  count: number,
  { loose = false, prereleases, range }: ListedTags,
): string[] {
  const versions: { tag: string; version: Version }[] = [];
  for (const tag of tags) {
    const version = versionOf(tag, { loose });
    // A range has said already which versions with a hyphen it means.
    if (version === undefined || (version.prerelease.length > 0 && !prereleases && range === undefined))
      continue;
    versions.push({ tag, version });
  }
  versions.sort((a, b) => newestFirst(a.version, b.version) || compareText(a.tag, b.tag));
  return versions.slice(0, count).map(({ tag }) => tag);
}

/** Those of unknown date come last. */
async function newestMade(tags: readonly string[], count: number, createdOf: CreatedOf): Promise<string[]> {
  const dated = await datesOf(tags, createdOf);
  dated.sort((a, b) => (b.made ?? -Infinity) - (a.made ?? -Infinity) || compareText(a.tag, b.tag));
  return dated.slice(0, count).map(({ tag }) => tag);
}

async function datesOf(
  tags: readonly string[],
  createdOf: CreatedOf,
): Promise<{ tag: string; made: number | undefined }[]> {
  return await Promise.all(tags.map(async (tag) => ({ tag, made: await createdOf(tag) })));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
