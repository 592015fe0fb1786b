import semver from 'semver';
import { versionsIn } from './changelog.js';

/** Where a version is said. */
export interface VersionInfo {
  /** package.json's. */
  readonly manifest: string;
  /** package-lock.json's. */
  readonly lock: string;
  /** CHANGELOG.md as it is before the release. */
  readonly changelog: string;
  /** Git's tags. */
  readonly tags: readonly string[];
}

/** What keeps a version from being released: a sentence each, none where all agree. */
export function disagreements({ manifest, lock, changelog, tags }: VersionInfo): readonly string[] {
  if (semver.valid(manifest) !== manifest) return [`package.json's version, ${manifest}, is none`];
  const problems: string[] = [];
  if (lock !== manifest)
    problems.push(
      `package-lock.json says ${lock}, package.json ${manifest}: run \`npm install --package-lock-only\``,
    );
  if (tags.includes(`v${manifest}`)) problems.push(`there is a tag v${manifest} already`);
  const [newest] = versionsIn(changelog);
  if (newest !== undefined && !semver.gt(manifest, newest))
    problems.push(
      `CHANGELOG.md's newest version is ${newest}, and package.json's, ${manifest}, is not above it`,
    );
  return problems;
}
