import { styleText } from 'node:util';

export interface TableColumn {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Gives way first when the table is wider than it may be. */
  readonly shrinks?: boolean;
  /** Which end of a cell is left when it is cut; default `start`. */
  readonly keeps?: 'start' | 'end';
  /** Is left out where the others would become too narrow to be read; the last such column goes first. */
  readonly optional?: boolean;
}

export interface TableOptions {
  /** Columns; absent: as wide as it gets. */
  readonly width?: number | undefined;
}

const GAP = 2;
const NARROWEST = 8;
/** The width that a shrinking column keeps before a whole column is left out for it. */
const READABLE = 20;

/**
 * Columns as wide as their widest cell, two blanks between. With `width`, the columns that may shrink do so
 * until the table fits, and optional ones are left out before too little is left of those; without it (not a
 * terminal) nothing is cut.
 */
export function renderTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string {
  const cells = [columns.map((column) => column.title), ...rows.map((row) => row.map(printable))];
  const natural = columns.map((_, at) =>
    cells.reduce((widest, row) => Math.max(widest, row[at]?.length ?? 0), 0),
  );
  const shown = shownColumns(columns, natural, options.width);
  const pick = <T>(all: readonly T[]): T[] => all.filter((_, at) => shown.has(at));
  return renderLines(pick(columns), cells.map(pick), fitWidths(pick(columns), pick(natural), options.width));
}

function renderLines(
  columns: readonly TableColumn[],
  cells: readonly (readonly string[])[],
  widths: readonly number[],
): string {
  const lines = cells.map((row) =>
    columns
      .map((column, at) => {
        const width = widths[at] ?? 0;
        const fit = column.keeps === 'end' ? fitStart : fitEnd;
        const cell = fit(row[at] ?? '', width);
        return column.align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join(' '.repeat(GAP))
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** The columns that there is room for, by number. */
function shownColumns(
  columns: readonly TableColumn[],
  natural: readonly number[],
  limit: number | undefined,
): ReadonlySet<number> {
  const shown = new Set(columns.keys());
  const least = (at: number): number =>
    columns[at]?.shrinks === true ? Math.min(natural[at] ?? 0, READABLE) : (natural[at] ?? 0);
  for (const [at, column] of [...columns.entries()].reverse()) {
    const needed = [...shown].reduce((sum, one) => sum + least(one) + GAP, -GAP);
    if (limit === undefined || needed <= limit) break;
    if (column.optional === true) shown.delete(at);
  }
  return shown;
}

function fitWidths(
  columns: readonly TableColumn[],
  natural: readonly number[],
  limit: number | undefined,
): number[] {
  const widths = [...natural];
  if (limit === undefined) return widths;
  let excess = widths.reduce((sum, width) => sum + width, 0) + GAP * (columns.length - 1) - limit;
  for (const [at, column] of [...columns.entries()].reverse()) {
    const width = widths[at] ?? 0;
    if (column.shrinks !== true || excess <= 0) continue;
    const cut = Math.min(excess, Math.max(0, width - NARROWEST));
    widths[at] = width - cut;
    excess -= cut;
  }
  return widths;
}

/** Text cut to a number of columns, its end replaced by an ellipsis. */
export function fitEnd(text: string, width: number): string {
  if (text.length <= width) return text;
  return width <= 1 ? text.slice(0, Math.max(0, width)) : `${text.slice(0, width - 1)}…`;
}

/** The same with its beginning replaced: the end of an image's name tells more than its registry. */
export function fitStart(text: string, width: number): string {
  if (text.length <= width) return text;
  return width <= 1
    ? text.slice(text.length - Math.max(0, width))
    : `…${text.slice(text.length - width + 1)}`;
}

/** Words in lines of at most so many columns; a word that is longer has a line of its own. */
export function wrapWords(text: string, width: number): string[] {
  return fill(
    text.split(/\s+/).filter((word) => word !== ''),
    width,
    '',
  );
}

/**
 * A command for a shell in lines of at most so many columns, each but the last with a backslash at its end,
 * so that all of them together can be pasted. What is quoted is not torn.
 */
export function wrapShell(command: string, width: number): string[] {
  const [first = '', ...words] = command.match(/(?:[^\s'"]+|'[^']*'|"[^"]*")+/g) ?? [];
  const lines = fill([first, ...words], width, ' \\');
  // Only what wraps gives way to the backslashes.
  return command.length <= width ? [command] : lines;
}

function fill(words: readonly string[], width: number, end: string): string[] {
  const lines: string[] = [];
  let line: string | undefined;
  for (const word of words) {
    if (line === undefined) line = word;
    else if (line.length + 1 + word.length + end.length <= width) line += ` ${word}`;
    else {
      lines.push(line + end);
      line = word;
    }
  }
  return line === undefined ? lines : [...lines, line];
}

/**
 * The branches of a tree: before an item, before the last of several, and below each of them.
 */
export interface Branches {
  readonly item: string;
  readonly last: string;
  readonly below: string;
  readonly belowLast: string;
}

const UNICODE: Branches = { item: '├─ ', last: '└─ ', below: '│  ', belowLast: '   ' };
const ASCII: Branches = { item: '|- ', last: '`- ', below: '|  ', belowLast: '   ' };

export function branches({ unicode }: { readonly unicode: boolean }): Branches {
  return unicode ? UNICODE : ASCII;
}

/** A node of a tree with the branches that lead to it. */
export interface DrawnNode<T> {
  readonly node: T;
  readonly branch: string;
}

/** Nodes with all that is below each of them, in the order of the lines that show them. */
export function* drawTree<T>(
  nodes: readonly T[],
  below: (node: T) => readonly T[],
  { item, last, below: line, belowLast }: Branches,
  indent = '',
): Generator<DrawnNode<T>, void, undefined> {
  for (const [at, node] of nodes.entries()) {
    const isLast = at === nodes.length - 1;
    yield { node, branch: `${indent}${isLast ? last : item}` };
    yield* drawTree(
      below(node),
      below,
      { item, last, below: line, belowLast },
      `${indent}${isLast ? belowLast : line}`,
    );
  }
}

/** A part of a whole. */
export interface BarPart {
  readonly amount: number;
  /** One character. */
  readonly mark: string;
}

/**
 * The cells of a bar that each part takes, in order. Together they are the whole width. A part that is not
 * nothing has one cell at least, as far as there are cells, so that a small one is seen beside a huge one.
 */
export function shareCells(amounts: readonly number[], width: number): number[] {
  const whole = amounts.reduce((sum, amount) => sum + amount, 0);
  if (whole <= 0) return amounts.map(() => 0);
  const exact = amounts.map((amount) => (amount / whole) * width);
  const cells = exact.map((share, at) => Math.max(Math.floor(share), (amounts[at] ?? 0) > 0 ? 1 : 0));
  const largest = exact.indexOf(Math.max(...exact));
  // The error of rounding is hardly seen on the largest part.
  for (let over = sumOf(cells) - width; over > 0; over -= 1) take(cells, largest);
  cells[largest] = (cells[largest] ?? 0) + width - sumOf(cells);
  return cells;
}

/** Takes a cell from the largest part, or where that has a single cell, from the part with most. */
function take(cells: number[], largest: number): void {
  const from = (cells[largest] ?? 0) > 1 ? largest : cells.indexOf(Math.max(...cells));
  cells[from] = (cells[from] ?? 0) - 1;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/**
 * The parts of a whole, drawn beside each other: `##==.....`; each is passed through `paint` before they are
 * joined.
 */
export function renderShares(
  parts: readonly BarPart[],
  width: number,
  paint: (text: string, at: number) => string = (text) => text,
): string {
  const cells = shareCells(
    parts.map(({ amount }) => amount),
    width,
  );
  return parts.map(({ mark }, at) => paint(mark.repeat(cells[at] ?? 0), at)).join('');
}

// Controls and line separators, and the invisible characters that reverse or hide the text around them.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/**
 * Text of foreign origin made fit for a terminal: one line, with nothing that moves a cursor. Names, labels
 * and the messages of a registry are written by others.
 */
export function printable(text: string): string {
  return text
    .replace(/\s*[\r\n]+\s*/g, ' ')
    .replace(UNPRINTABLE, (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`);
}

/** Text in a colour or weight. Whether there is to be any is for the caller to know: see `wantsColor`. */
export function paint(style: Parameters<typeof styleText>[0], text: string): string {
  return styleText(style, text, { validateStream: false });
}

/** The characters of a bar: what is unpacked, what is downloaded, what is still to come. */
export interface BarStyle {
  readonly unpacked: string;
  readonly downloaded: string;
  readonly missing: string;
}

export const UNICODE_BAR: BarStyle = { unpacked: '█', downloaded: '▒', missing: '·' };
export const ASCII_BAR: BarStyle = { unpacked: '#', downloaded: '=', missing: '.' };

/**
 * One bar for two things that happen at once: the unpacked part lies over the downloaded part. Fractions from
 * 0 to 1; a part that is not whole never looks whole.
 */
export function renderBar(
  part: { readonly downloaded: number; readonly unpacked: number },
  width: number,
  style: BarStyle,
): { readonly unpacked: string; readonly downloaded: string; readonly missing: string } {
  const unpacked = cells(part.unpacked, width);
  const downloaded = Math.max(cells(part.downloaded, width), unpacked);
  return {
    unpacked: style.unpacked.repeat(unpacked),
    downloaded: style.downloaded.repeat(downloaded - unpacked),
    missing: style.missing.repeat(width - downloaded),
  };
}

function cells(fraction: number, width: number): number {
  return Math.floor(Math.min(Math.max(fraction, 0), 1) * width);
}

/** `1 layer`, `3 layers`; for nouns that take an s. */
export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** A time span for people: `85 ms`, `3.2 s`, `2 min 5 s`, `1 h 2 min`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 59_950) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const SPANS = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['week', 7 * 86_400],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const;

/** The time since a moment, in its largest unit: `3 days ago`, `just now`. */
export function formatAge(moment: Date, now: Date): string {
  const seconds = Math.floor((now.getTime() - moment.getTime()) / 1000);
  for (const [name, span] of SPANS) {
    const count = Math.floor(seconds / span);
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}

/**
 * Permissions as `ls` shows them, behind the letter of the type: `rwxr-xr-x`, with setuid, setgid and sticky
 * in their places.
 */
export function formatMode(mode: number): string {
  const special = [0o4000, 0o2000, 0o1000].map((bit) => (mode & bit) !== 0);
  return [6, 3, 0].map((shift, at) => triplet((mode >> shift) & 7, special[at] === true, at === 2)).join('');
}

function triplet(bits: number, isSpecial: boolean, isLast: boolean): string {
  const read = (bits & 4) === 0 ? '-' : 'r';
  const write = (bits & 2) === 0 ? '-' : 'w';
  const executable = (bits & 1) !== 0;
  if (!isSpecial) return `${read}${write}${executable ? 'x' : '-'}`;
  const letter = isLast ? 't' : 's';
  return `${read}${write}${executable ? letter : letter.toUpperCase()}`;
}
