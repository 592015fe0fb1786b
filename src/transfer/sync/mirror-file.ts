import semver from 'semver';
import type { Digest } from '../../spec/index.js';
import type { CopyChoice } from '../copy/copy-request.js';

/** A place in the file. */
export interface Position {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** A place by its name in the file. Paths are absolute. */
export type TransportName =
  | { readonly kind: 'registry'; readonly host: string }
  | { readonly kind: 'layout' | 'archive'; readonly path: string }
  | { readonly kind: 'store' };

/** A password that is never in the file itself, but for skopeo's form, which knows no other way. */
export type PasswordFrom =
  { readonly env: string } | { readonly file: string } | { readonly literal: string };

/** How one registry is spoken to, where it is not as the command's own options say. Paths are absolute. */
export interface Connection {
  readonly authFile?: string | undefined;
  readonly credentials?: { readonly username: string; readonly password: PasswordFrom } | undefined;
  readonly ca?: string | undefined;
  /** A directory of `*.crt`, `*.cert` and `*.key`, as docker has it. */
  readonly certDirectory?: string | undefined;
  readonly clientCert?: { readonly cert: string; readonly key: string } | undefined;
  readonly insecure?: boolean | undefined;
  readonly plainHttp?: boolean | undefined;
  /** It may turn out to speak no TLS. */
  readonly mayBePlain?: boolean | undefined;
  /** Bytes per second, of all that is read there. */
  readonly rate?: number | undefined;
  readonly requestsPerSecond?: number | undefined;
  readonly connections?: number | undefined;
}

/** One or many repositories of a source, and what of them is wanted. */
export interface Selection extends CopyChoice {
  readonly at: Position;
  /** As it was written: `team/app`, `team/*`. */
  readonly text: string;
  /** Without the place: `team/app`; of a layout or store the canonical name. Undefined for a pattern. */
  readonly name?: string | undefined;
  /** For a pattern: whether a repository is meant, by its name without the place. */
  readonly matches?: ((name: string) => boolean) | undefined;
  /** Whether patterns do not mean the repository, since it is named by itself. */
  readonly isOwn?: boolean | undefined;
  readonly tags: TagRules;
  readonly digests: readonly Digest[];
  /** The repository at the destination, or a template of it. */
  readonly to?: string | undefined;
}

export interface MirrorSource {
  readonly at: Position;
  readonly transport: TransportName;
  readonly connection: Connection;
  readonly selections: readonly Selection[];
}

export interface MirrorDestination {
  /** Absent where the command line named it. */
  readonly at?: Position | undefined;
  readonly transport: TransportName;
  readonly connection: Connection;
  /** What stands before every repository's name: `mirrors/hub`. */
  readonly prefix: string;
  /** `{registry}/{repository}`; undefined for what the kind of place has by default. */
  readonly path?: string | undefined;
}

/** A declared set of images, whatever form it was written in. */
export interface MirrorFile {
  /** As it was named. */
  readonly name: string;
  readonly form: 'landfall' | 'skopeo';
  readonly sources: readonly MirrorSource[];
  readonly destinations: readonly MirrorDestination[];
  /** Images at once. */
  readonly concurrency?: number | undefined;
  /** What was made of a file of another form: what was taken, what it lacks. */
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
}

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
 * Tags by which clients find what refers to a digest: the list of the distribution specification (Referrers
 * Tag Schema), and cosign's `sha256-….sig`, `.att`, `.sbom`. The digest, or undefined for any other tag.
 */
export function subjectOfTag(tag: string): string | undefined {
  const [, algorithm, hex] = /^(sha256|sha512)-([a-f0-9]{64,128})(?:\.[a-z0-9]+)?$/.exec(tag) ?? [];
  return algorithm === undefined || hex === undefined ? undefined : `${algorithm}:${hex}`;
}

/**
 * The tags that are wanted of those that there are, in order: by name, by version, by date, then the newest.
 * The list comes first, and is not held against anything.
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

/**
 * An image of which nobody says when it was made is taken: a mirror lacks nothing that it might have been
 * meant to have.
 */
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

/**
 * A version that a tag stands for. Of this program's own form, since the types of that library are not
 * installed with it.
 */
interface Version {
  /** `1.2.3-rc.1` */
  readonly version: string;
  /** What follows the hyphen, part by part. */
  readonly prerelease: readonly (string | number)[];
}

interface VersionRange {
  /** Whether a version is within it. */
  test(version: Version): boolean;
}

/** `1.2.3`, `v1.2.3`, `1.2`, `22.04`, each with what follows a hyphen. */
const VERSION = /^v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]+))?$/;
/** As skopeo reads them, `20240101` and `v3` too. */
const LOOSE = /^v?(\d{1,15})(?:\.(\d{1,15}))?(?:\.(\d{1,15}))?(?:-([0-9A-Za-z.-]+))?$/;

/**
 * The version that a tag stands for, or undefined. What it lacks of three numbers is 0, and leading zeros do
 * not count: a tag `22.04` is 22.4.0. One number alone is a version only with `loose`: most such tags are
 * dates, or names that move.
 */
function versionOf(tag: string, { loose = false }: { loose?: boolean } = {}): Version | undefined {
  const [, major, minor, patch, after] = (loose ? LOOSE : VERSION).exec(tag) ?? [];
  if (major === undefined) return undefined;
  const numbers = [major, minor ?? '0', patch ?? '0'].map((digits) => String(BigInt(digits)));
  const parts = after?.split('.').map((part) => (/^\d+$/.test(part) ? String(BigInt(part)) : part));
  return semver.parse(`${numbers.join('.')}${parts === undefined ? '' : `-${parts.join('.')}`}`) ?? undefined;
}

/**
 * A range of versions: `>=1.2 <3`, `^1.4 || ~2.0`, `1.x`. A comma is as good as a blank. Undefined where it
 * is none.
 *
 * @param o `prereleases`: whether versions with a hyphen are within it by their order alone. Without it only
 *   those are for which the range names a version of the same three numbers with a hyphen
 */
export function versionRange(
  text: string,
  { prereleases = false }: { prereleases?: boolean } = {},
): VersionRange | undefined {
  try {
    const range = new semver.Range(text.replaceAll(',', ' '), { includePrerelease: prereleases });
    return { test: ({ version }) => range.test(version) };
  } catch {
    return undefined;
  }
}

/** Versions first, the newest at the top; then what is no version, by its name. */
export function byVersion(a: string, b: string): number {
  const [left, right] = [versionOf(a), versionOf(b)];
  if (left === undefined || right === undefined)
    return Number(left === undefined) - Number(right === undefined) || compareText(a, b);
  return newestFirst(left, right) || compareText(a, b);
}

/** Whether a tag is a version within a range, which {@link versionRange} has read. */
export function isVersionWithin(tag: string, range: VersionRange): boolean {
  const version = versionOf(tag);
  return version !== undefined && range.test(version);
}

/** Newest first. */
function newestFirst(a: Version, b: Version): number {
  return semver.rcompare(a.version, b.version);
}
