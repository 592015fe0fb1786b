import { LandfallError } from '../../errors.js';

/** The value at a path of a thing, such as `['labels', 'app']`; undefined where it has none. */
export type FieldsOf<Thing> = (thing: Thing, path: readonly string[]) => string | undefined;

/**
 * Reads filters of containerd (github.com/containerd/containerd/filters): a thing fits where it fits one of them, and a filter
 * is a list of selectors, `name==a,labels."b.c"!=d,parent~=/^e/`, all of which have to fit. No filters fit everything.
 *
 * @throws LandfallError INVALID_CONFIG
 */
export function parseFilters<Thing>(
  filters: readonly string[],
  fieldsOf: FieldsOf<Thing>,
): (thing: Thing) => boolean {
  const parsed = filters.map((filter) => selectorsIn(filter));
  if (parsed.length === 0) return () => true;
  return (thing) =>
    parsed.some((selectors) => selectors.every((selector) => selector.fits(fieldsOf(thing, selector.path))));
}

interface Selector {
  readonly path: readonly string[];
  fits(value: string | undefined): boolean;
}

const SPACE = /\s*/y;
const FIELD = /[A-Za-z0-9_]+/y;
const QUOTED = /"(?:[^"\\\n]|\\.)*"/y;
/** A regular expression may be written so too, to need fewer escapes. */
const OTHERWISE_QUOTED = /\/(?:[^/\\\n]|\\.)*\/|\|(?:[^|\\\n]|\\.)*\|/y;
const OPERATOR = /[=!~]+/y;
const VALUE = /[^\s,\p{C}]+/uy;

function selectorsIn(filter: string): readonly Selector[] {
  const text = new Scanner(filter);
  if (filter === '') return [];
  const selectors: Selector[] = [];
  do selectors.push(selectorIn(text));
  while (text.take(/,/y) !== undefined);
  if (!text.atEnd) throw text.error('a comma or the end is expected');
  return selectors;
}

function selectorIn(text: Scanner): Selector {
  const path = [fieldIn(text)];
  while (text.take(/\./y) !== undefined) path.push(fieldIn(text));
  const operator = text.take(OPERATOR);
  if (operator === undefined) return { path, fits: (value) => value !== undefined };
  if (operator === '==') {
    const wanted = valueIn(text);
    return { path, fits: (value) => value === wanted };
  }
  if (operator === '!=') {
    const unwanted = valueIn(text);
    return { path, fits: (value) => (value ?? '') !== unwanted };
  }
  if (operator !== '~=') throw text.error(`${operator} is not an operator`);
  const pattern = patternIn(text);
  return { path, fits: (value) => pattern.test(value ?? '') };
}

function fieldIn(text: Scanner): string {
  const quoted = text.take(QUOTED);
  if (quoted !== undefined) return unquote(text, quoted);
  const field = text.take(FIELD);
  if (field === undefined) throw text.error('a field is expected');
  return field;
}

function valueIn(text: Scanner): string {
  const quoted = text.take(QUOTED);
  if (quoted !== undefined) return unquote(text, quoted);
  const value = text.take(VALUE);
  if (value === undefined) throw text.error('a value is expected');
  return value;
}

function patternIn(text: Scanner): RegExp {
  const otherwise = text.take(OTHERWISE_QUOTED);
  const source = otherwise?.slice(1, -1) ?? valueIn(text);
  try {
    return new RegExp(source, 'u');
  } catch {
    throw text.error(`${source} is not a regular expression`);
  }
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
};
const ESCAPE = /\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.))/gsu;

/** As Go reads a string literal. */
function unquote(text: Scanner, quoted: string): string {
  return quoted
    .slice(1, -1)
    .replaceAll(
      ESCAPE,
      (_, hex?: string, short?: string, long?: string, octal?: string, simple?: string): string => {
        const digits = hex ?? short ?? long;
        const code = digits === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(digits, 16);
        const known = simple === undefined ? undefined : SIMPLE_ESCAPES[simple];
        if (known !== undefined) return known;
        if (Number.isNaN(code) || code > 0x10ffff) throw text.error('an escape is not known');
        return String.fromCodePoint(code);
      },
    );
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    this.#match(SPACE);
    return this.#at === this.#text.length;
  }

  /** What stands next, past spaces, if it is that. */
  take(pattern: RegExp): string | undefined {
    this.#match(SPACE);
    return this.#match(pattern);
  }

  error(what: string): LandfallError {
    return new LandfallError('INVALID_CONFIG', `the filter ${JSON.stringify(this.#text)}: ${what}`, {
      hint: `See character ${this.#at + 1} of it; a filter is written like 'kind==active,labels."a.b"==c'.`,
    });
  }

  #match(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern.source, pattern.flags);
    sticky.lastIndex = this.#at;
    const [found] = sticky.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}
