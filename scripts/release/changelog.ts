/**
 * The form is that of Keep a Changelog: one part for each version, the newest first, and above them what is
 * not released yet.
 */
const UNRELEASED = '## Unreleased';
const PART = /^## (.+)$/gm;

export interface Release {
  /** The changelog with a part for the version, and an empty one for what comes. */
  readonly changelog: string;
  /** What that part says, without its title. */
  readonly notes: string;
}

/**
 * Makes of what is not released yet a version's part.
 *
 * @param date the day of the release, `YYYY-MM-DD`
 * @throws Error where nothing is to be released, or the version has a part already
 */
export function releasedChangelog(text: string, version: string, date: string): Release {
  if (versionsIn(text).includes(version)) throw new Error(`CHANGELOG.md has a part for ${version} already`);
  const begin = text.indexOf(`\n${UNRELEASED}\n`) + 1;
  if (begin === 0) throw new Error(`CHANGELOG.md has no part "${UNRELEASED}"`);
  const body = begin + UNRELEASED.length;
  const next = text.indexOf('\n## ', body);
  const end = next < 0 ? text.length : next + 1;
  const notes = text.slice(body, end).trim();
  if (notes === '') throw new Error('CHANGELOG.md says nothing of what is to be released');
  const rest = text.slice(end);
  const parts = [
    `${UNRELEASED}\n`,
    `## ${version} - ${date}\n`,
    `${notes}\n`,
    ...(rest === '' ? [] : [rest]),
  ];
  return { changelog: text.slice(0, begin) + parts.join('\n'), notes: `${notes}\n` };
}

/** The versions that have a part, the newest first. */
export function versionsIn(text: string): readonly string[] {
  return [...text.matchAll(PART)]
    .map(([, title = '']) => /^\[?([^\s\]]+)/.exec(title)?.[1] ?? '')
    .filter((name) => /^\d/.test(name));
}
