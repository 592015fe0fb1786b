import { parse } from 'smol-toml';

/**
 * The line, from 1, where the value or table at `path` begins, in a TOML document that parses and has it. The parser keeps
 * no places, so it is asked how much of the document it takes until the value is there.
 */
export function lineOf(text: string, path: readonly string[]): number {
  const lines = text.split('\n');
  // Once a value is there it stays. Of the lines after which it is there, the first is where its statement begins: a
  // beginning that ends within a statement does not parse, so it is lengthened to the statement's end.
  let before = 0;
  let from = lines.length;
  while (before + 1 < from) {
    const middle = (before + from) >> 1;
    if (isThere(lines, middle, path)) from = middle;
    else before = middle;
  }
  return from;
}

function isThere(lines: readonly string[], count: number, path: readonly string[]): boolean {
  for (let end = count; end <= lines.length; end++) {
    const document = parsed(`${lines.slice(0, end).join('\n')}\n`);
    if (document !== undefined) return has(document, path);
  }
  return false;
}

function parsed(text: string): object | undefined {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

function has(document: object, path: readonly string[]): boolean {
  let at: unknown = document;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return false;
    at = (at as Readonly<Record<string, unknown>>)[key];
  }
  return true;
}
