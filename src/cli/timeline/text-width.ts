/** How text is set, in pixels. */
export interface Lettering {
  readonly size: number;
  readonly bold?: boolean;
}

const NARROW = /[ijl.,:;'!|/\\()[\]\-ftrI ]/;
const CAPITAL = /[A-Z&~+=<>]/;
const WIDE = /[mwMW@%…—]|[^\x20-\x7e]/u;

/**
 * About how wide text is, rather more than less: which letters a reader's machine has is not known, and those of DejaVu are among
 * the widest.
 */
export function textWidth(text: string, { size, bold = false }: Lettering): number {
  const ems = Array.from(text).reduce((sum, letter) => sum + emsOf(letter), 0);
  return ems * size * (bold ? 1.12 : 1);
}

function emsOf(letter: string): number {
  if (NARROW.test(letter)) return 0.44;
  if (WIDE.test(letter)) return 1.05;
  return CAPITAL.test(letter) ? 0.84 : 0.64;
}

/** Text that fits so many pixels; what is too much is left out at its end, and three dots say so. */
export function fitTextEnd(text: string, width: number, lettering: Lettering): string {
  if (textWidth(text, lettering) <= width) return text;
  const letters = Array.from(text);
  return `${letters.slice(0, roomFor(letters, width, lettering)).join('')}…`;
}

/** The same at its beginning: the end of an image's name tells more than its registry. */
export function fitTextStart(text: string, width: number, lettering: Lettering): string {
  if (textWidth(text, lettering) <= width) return text;
  const letters = Array.from(text);
  return `…${letters.slice(letters.length - roomFor(letters.toReversed(), width, lettering)).join('')}`;
}

/** How many of the first letters fit beside the dots. */
function roomFor(letters: readonly string[], width: number, lettering: Lettering): number {
  let left = width - textWidth('…', lettering);
  const first = letters.findIndex((letter) => (left -= textWidth(letter, lettering)) < 0);
  return first < 0 ? letters.length : first;
}
