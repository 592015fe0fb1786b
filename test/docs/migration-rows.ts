import { readFileSync } from 'node:fs';

const PAGE = readFileSync('docs/migration.md', 'utf8');

/** A row of a table: what is typed elsewhere, and here. */
export interface Row {
  readonly theirs: string;
  /** What to type instead; several where one is not enough, none where there is nothing. */
  readonly ours: readonly string[];
}

export const ROWS: readonly Row[] = [
  ...PAGE.matchAll(/^\| (`(?:[^|]|\\\|)*?) +\| ((?:[^|]|\\\|)*?) +\|/gm),
].map(([, theirs = '', ours = '']) => ({
  theirs: theirs.replaceAll('`', '').replaceAll('\\|', '|'),
  ours: [...ours.matchAll(/`(landfall [^`]*)`/g)].map(([, command = '']) => command),
}));

/** The words of a command line without anything that a shell would do. */
export function wordsOf(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}
