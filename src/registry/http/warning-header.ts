import { plainText } from './plain-text.js';

/** Of all lines together (distribution-spec: Warnings); a registry that sends more is not listened to further. */
const MAX_CHARACTERS = 4096;
/** Of one text: a few lines of a terminal. */
const TEXT_LENGTH = 500;

// RFC 7234, 5.5: warn-code SP warn-agent SP warn-text [SP warn-date], the last two quoted.
const WARNING = /(\d{3}) +([^\s",]+) +"((?:[^"\\]|\\.)*)"( +"[^"]*")?[ \t]*(?=,|$)/y;
const COMMAS = /[ \t,]*/y;

/**
 * The texts of the `Warning` headers that a registry means for people (distribution-spec: Warnings), each once and fit for
 * a terminal. Those that have another code than 299 or name an agent were added by a cache on the way, and one with a date
 * is not a registry's either; what comes after a fault in a line is left out.
 */
export function parseWarnings(lines: readonly string[]): string[] {
  const texts = new Set<string>();
  let left = MAX_CHARACTERS;
  for (const line of lines) {
    for (const text of textsOf(line.slice(0, left))) texts.add(text);
    left -= Math.min(left, line.length);
  }
  return [...texts];
}

function textsOf(line: string): string[] {
  const texts: string[] = [];
  let at = 0;
  for (;;) {
    COMMAS.lastIndex = at;
    COMMAS.exec(line);
    WARNING.lastIndex = COMMAS.lastIndex;
    const match = WARNING.exec(line);
    if (match === null) return texts;
    at = WARNING.lastIndex;
    const [, code, agent, quoted = '', date] = match;
    if (code !== '299' || agent !== '-' || date !== undefined) continue;
    const text = plainText(quoted.replace(/\\(.)/g, '$1'), TEXT_LENGTH);
    if (text !== '') texts.push(text);
  }
}
