import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

/*
 * How long the pages are, and which words they should not have: `npm run words`, with pages as arguments for
 * some of them. `test/docs/plain-words.test.ts` keeps both.
 */

/** The longest that a page may be that is read from its beginning to its end. */
export const MOST_WORDS = 2500;

/** Pages in which one entry is looked up at a time, so that their length costs no reader anything. */
export const REFERENCES: readonly string[] = [
  // Each command and option.
  'docs/cli.md',
  // Each key of each answer.
  'docs/json-output.md',
  // Each error code.
  'docs/troubleshooting.md',
];

/** Words that plain English does without, and the word or form that stands for each. */
export const AVOIDED: readonly (readonly [avoided: RegExp, instead: string])[] = [
  [/\b(?:whoever|whomever|whosoever)\b/gi, 'the program, the user, the process'],
  [/\b(?:nobody|somebody|everybody|anybody)\b/gi, 'the thing or the role that is meant'],
  [/\b(?:told|teller)\b/gi, 'say, report, show'],
  [/\bwhat (?:[\w’'-]+ ){0,4}?(?:is|are|was|were)\b/gi, 'the noun that is meant'],
  [/\b(?:is|are) to be\b/gi, 'must be, will be'],
  [/\bheld (?:against|by|to)\b/gi, 'compared with, checked by, kept by'],
  [/\b(?:let(?:s|ting)? go|put(?:s|ting)? (?:away|aside))\b/gi, 'release, move'],
  [/\bgo(?:es|ne)? on with\b/gi, 'continue, resume'],
  [/\b(?:doubtful|in doubt|unsynced)\b/gi, 'not durable, not yet synced'],
  [/\bhost chains?\b/gi, 'mirror list'],
  [/\blean\b/gi, 'without layer blobs'],
  [/\b(?:arrivals?|frontiers?)\b/gi, 'download, offset'],
];

export interface AvoidedWord {
  readonly line: number;
  readonly word: string;
  readonly instead: string;
}

/** The text without blocks of code, code in a line, comments and the targets of links, line by line. */
function proseOf(text: string): string {
  const blank = (part: string): string => part.replace(/[^\n]/g, ' ');
  return text
    .replace(/^( *)(`{3,})[^]*?^\1\2$/gm, blank)
    .replace(/<!--[^]*?-->/g, blank)
    .replace(/`[^`\n]*`/g, '`')
    .replace(/\]\([^)]*\)/g, ']');
}

/** The words of a page, those in code included; a word has a letter or a digit. */
export function wordsIn(text: string): number {
  const words = text.replace(/^ *`{3,}.*$/gm, '').split(/\s+/);
  return words.filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
}

/** The avoided words in the prose of a page, also where one goes on in the next line. */
export function avoidedIn(text: string): readonly AvoidedWord[] {
  const prose = proseOf(text);
  const flat = prose.replaceAll('\n', ' ');
  return AVOIDED.flatMap(([pattern, instead]) =>
    [...flat.matchAll(pattern)].map((match) => ({
      line: prose.slice(0, match.index).split('\n').length,
      word: match[0],
      instead,
    })),
  ).sort((a, b) => a.line - b.line);
}

/** README.md and the pages below docs/, but those that typedoc makes. */
function allPages(): readonly string[] {
  const below = readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md') && !path.startsWith('api/'))
    .map((path) => join('docs', path));
  return ['README.md', ...below.sort()];
}

function main(named: readonly string[]): void {
  const pages = (named.length > 0 ? named : allPages()).map((page) => ({
    page,
    text: readFileSync(page, 'utf8'),
  }));
  let sum = 0;
  for (const { page, text } of pages) {
    const words = wordsIn(text);
    sum += words;
    const long = words > MOST_WORDS && !REFERENCES.includes(page);
    console.log(`${String(words).padStart(6)}  ${page}${long ? `  more than ${MOST_WORDS}` : ''}`);
    for (const { line, word, instead } of avoidedIn(text))
      console.log(`        ${page}:${line}: ${word} (${instead})`);
  }
  console.log(`${String(sum).padStart(6)}  in all`);
}

if (argv[1] === fileURLToPath(import.meta.url)) main(argv.slice(2));
