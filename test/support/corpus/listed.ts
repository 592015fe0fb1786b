import { expect } from 'vitest';

/** A fact of a path on which two readings differ. */
export interface Differing {
  readonly path: string;
  readonly fact: string;
}

/** A known difference, where it shows, and the reason why landfall does not do as the other. */
export interface Listed {
  /** Names of archives; it shows in each of these. */
  readonly archives: readonly string[];
  readonly paths: RegExp;
  readonly info: RegExp;
  readonly reason: string;
}

/** All differences in an archive are listed, and all that are listed for it show. */
export function expectListed(archive: string, found: readonly Differing[], rows: readonly Listed[]): void {
  const listed = rows.filter(({ archives }) => archives.includes(archive));
  const shows = ({ path, fact }: Differing, row: Listed): boolean =>
    row.paths.test(path) && row.info.test(fact);
  expect(
    found.filter((difference) => !listed.some((row) => shows(difference, row))),
    'not listed',
  ).toEqual([]);
  expect(
    listed.filter((row) => !found.some((difference) => shows(difference, row))),
    'listed only',
  ).toEqual([]);
}
