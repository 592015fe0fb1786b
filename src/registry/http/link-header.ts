/** One link of a `Link` header (RFC 8288, 3). */
export interface Link {
  /** As the header has it: absolute, or relative to what was asked for. */
  readonly target: string;
  /** Relation types, in lower case. */
  readonly rel: readonly string[];
}

const COMMAS = /[ \t,]*/y;
const TARGET = /<([^<>]*)>/y;
const SEMICOLON = /[ \t]*;[ \t]*/y;
const NAME = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const EQUALS = /[ \t]*=[ \t]*/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
// Wider than a token: servers write URLs and media types without quotes.
const BARE = /[^\s",;]*/y;
const BLANKS = /[ \t]*/y;

/**
 * All links of the header's lines, in order. What comes after a fault in a line is left out, and so is a link with
 * another context than what was asked for (`anchor`), which says nothing about this answer.
 */
export function parseLinks(lines: readonly string[]): Link[] {
  return lines.flatMap(parseLine);
}

/** Where a list goes on, as the header has it; undefined on its last page. */
export function nextTarget(lines: readonly string[]): string | undefined {
  return parseLinks(lines).find(({ rel }) => rel.includes('next'))?.target;
}

function parseLine(line: string): Link[] {
  const links: Link[] = [];
  const at = new Cursor(line);
  for (;;) {
    at.take(COMMAS);
    const target = at.take(TARGET)?.[1];
    if (target === undefined) return links;
    const parameters = parametersAt(at);
    at.take(BLANKS);
    if (!at.endsItem()) return links;
    const rel = (parameters.get('rel') ?? '').toLowerCase().split(/\s+/);
    if (!parameters.has('anchor')) links.push({ target: target.trim(), rel: rel.filter((r) => r !== '') });
  }
}

/** Of two with one name the first counts, as the RFC says of `rel`. */
function parametersAt(at: Cursor): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  while (at.take(SEMICOLON) !== undefined) {
    const name = at.take(NAME)?.[0].toLowerCase();
    // `<…>; rel="next";` is written by some, and means nothing more.
    if (name === undefined) continue;
    let value = '';
    if (at.take(EQUALS) !== undefined) {
      const quoted = at.take(QUOTED)?.[1];
      value = quoted?.replace(/\\(.)/g, '$1') ?? at.take(BARE)?.[0] ?? '';
    }
    if (!parameters.has(name)) parameters.set(name, value);
  }
  return parameters;
}

/** A place within a line that sticky patterns move on. */
class Cursor {
  readonly #line: string;
  #at = 0;

  constructor(line: string) {
    this.#line = line;
  }

  take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#line);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }

  endsItem(): boolean {
    return this.#at === this.#line.length || this.#line[this.#at] === ',';
  }
}
