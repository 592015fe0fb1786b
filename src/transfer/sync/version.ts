import semver from 'semver';

/** A version that a tag stands for. Of this program's own form, since the types of that library are not installed with it. */
export interface Version {
  /** `1.2.3-rc.1` */
  readonly version: string;
  /** What follows the hyphen, part by part. */
  readonly prerelease: readonly (string | number)[];
}

export interface VersionRange {
  /** Whether a version is within it. */
  test(version: Version): boolean;
}

/** `1.2.3`, `v1.2.3`, `1.2`, `22.04`, each with what follows a hyphen. */
const VERSION = /^v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]+))?$/;
/** As skopeo reads them, `20240101` and `v3` too. */
const LOOSE = /^v?(\d{1,15})(?:\.(\d{1,15}))?(?:\.(\d{1,15}))?(?:-([0-9A-Za-z.-]+))?$/;

/**
 * The version that a tag stands for, or undefined. What it lacks of three numbers is 0, and leading zeros do not count: a tag
 * `22.04` is 22.4.0. One number alone is a version only with `loose`: most such tags are dates, or names that move.
 */
export function versionOf(tag: string, { loose = false }: { loose?: boolean } = {}): Version | undefined {
  const [, major, minor, patch, after] = (loose ? LOOSE : VERSION).exec(tag) ?? [];
  if (major === undefined) return undefined;
  const numbers = [major, minor ?? '0', patch ?? '0'].map((digits) => String(BigInt(digits)));
  const parts = after?.split('.').map((part) => (/^\d+$/.test(part) ? String(BigInt(part)) : part));
  return semver.parse(`${numbers.join('.')}${parts === undefined ? '' : `-${parts.join('.')}`}`) ?? undefined;
}

/**
 * A range of versions: `>=1.2 <3`, `^1.4 || ~2.0`, `1.x`. A comma is as good as a blank. Undefined where it is none.
 *
 * @param o `prereleases`: whether versions with a hyphen are within it by their order alone. Without it only those are for
 *   which the range names a version of the same three numbers with a hyphen
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

/** Newest first. */
export function newestFirst(a: Version, b: Version): number {
  return semver.rcompare(a.version, b.version);
}
