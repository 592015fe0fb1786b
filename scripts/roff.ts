import { wrapWords } from '../src/cli/format/text.js';

const WIDEST = 79;

/**
 * Paragraphs for a manual page, in the macros of man(7), which groff and mandoc read. Words between backticks
 * become bold, as what is typed is. No line is longer than people who read the source expect.
 */
export function roffText(text: string): string[] {
  const marked = text.split('`').map((part, at) => (at % 2 === 0 ? escaped(part) : bold(part)));
  return roffLines(marked.join(''));
}

/** The same of what is in roff already. */
export function roffLines(text: string): string[] {
  return wrapWords(text, WIDEST).map(guarded);
}

/** Text in bold, within a line. */
export function bold(text: string): string {
  return `\\fB${escaped(text)}\\fP`;
}

/** Text in italics, within a line. */
export function italic(text: string): string {
  return `\\fI${escaped(text)}\\fP`;
}

/** A section; sections that hold nothing are left out. */
export function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`.SH ${quoted(title)}`, ...lines];
}

/** A part of a section. */
export function subsection(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`.SS ${quoted(title)}`, ...lines];
}

/** A term, already in roff, with its description below it. */
export function item(term: string, description: string): string[] {
  return ['.TP', guarded(term), ...roffText(description)];
}

/** Lines that are shown as they are typed. */
export function typed(lines: readonly string[]): string[] {
  return ['.RS 4', '.EX', ...lines.map((line) => guarded(escaped(line))), '.EE', '.RE'];
}

export function quoted(text: string): string {
  return `"${escaped(text).replaceAll('"', '\\(dq')}"`;
}

/**
 * What roff would read as its own is said by name, and so is what is not ASCII: not every reader knows in
 * what it is written.
 */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replace(
      /[^\u0020-\u007e]/gu,
      (char) => `\\[u${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
    );
}

/** A line that begins with a dot would be a macro. */
function guarded(line: string): string {
  return line.startsWith('.') ? `\\&${line}` : line;
}
