import { isPlainObject } from '@sindresorhus/is';
import { parse, TomlError } from 'smol-toml';
import { LandfallError } from '../errors.js';
import { quoted } from '../spec/index.js';

interface Source {
  readonly file: string;
  readonly text: string;
}

export interface FaultOptions {
  readonly hint?: string;
  readonly cause?: unknown;
}

const HINT = 'Mend the file; docs/hosts.md has the keys and their values.';

/**
 * A table of a TOML file, read key by key. A value of the wrong kind is INVALID_CONFIG with file, line and
 * key; the value is not told, since it may be a secret. Keys are found in any case, as containerd's reader
 * finds them.
 */
export class TomlTable {
  readonly #source: Source;
  readonly #path: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #known = new Set<string>();

  constructor(source: Source, path: readonly string[], values: Readonly<Record<string, unknown>>) {
    this.#source = source;
    this.#path = path;
    this.#values = values;
  }

  get(key: string): unknown {
    const spelled = this.#spelled(key);
    this.#known.add(spelled);
    return Object.hasOwn(this.#values, spelled) ? this.#values[spelled] : undefined;
  }

  string(key: string): string | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'string') return value;
    throw this.fault(key, 'is not a string');
  }

  boolean(key: string): boolean | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.fault(key, 'is neither true nor false');
  }

  /** @param whole without a fraction */
  positive(key: string, whole: boolean): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const fits = typeof value === 'number' && value > 0 && Number.isFinite(value);
    if (fits && (!whole || Number.isSafeInteger(value))) return value;
    throw this.fault(key, `is not a ${whole ? 'whole ' : ''}number above 0`);
  }

  /** A list of strings. */
  strings(key: string): readonly string[] | undefined {
    const value = this.get(key);
    if (value === undefined || isStrings(value)) return value;
    throw this.fault(key, 'is not a list of strings');
  }

  /** A string or a list of them. */
  oneOrMore(key: string): readonly string[] | undefined {
    const value = this.get(key);
    if (typeof value === 'string') return [value];
    if (value === undefined || isStrings(value)) return value;
    throw this.fault(key, 'is neither a string nor a list of strings');
  }

  table(key: string): TomlTable | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (!isPlainObject(value)) throw this.fault(key, 'is not a table');
    return new TomlTable(this.#source, [...this.#path, this.#spelled(key)], value);
  }

  /** In the order of the file. */
  keys(): readonly string[] {
    const keys = Object.keys(this.#values);
    // JavaScript moves names that are numbers to the front.
    if (!keys.some((key) => /^\d+$/.test(key))) return keys;
    const lines = new Map(keys.map((key) => [key, this.#line(key)]));
    return keys.sort((a, b) => (lines.get(a) ?? 0) - (lines.get(b) ?? 0));
  }

  /** A line for each key that was not asked for. */
  unknownKeys(): readonly string[] {
    return this.keys()
      .filter((key) => !this.#known.has(key))
      .map((key) => this.remark(key, 'is no key that landfall knows; it is ignored'));
  }

  /** Where a key stands, or its table: `/etc/hosts.toml:12`. */
  placeOf(key: string): string {
    return `${this.#source.file}:${this.#line(key)}`;
  }

  /** A remark about a key, with its place. */
  remark(key: string, what: string): string {
    return `${this.placeOf(key)}: ${this.#name(key)} ${what}`;
  }

  fault(
    key: string,
    what: string,
    { hint = HINT, cause }: FaultOptions = {},
  ): LandfallError<'INVALID_CONFIG'> {
    return new LandfallError('INVALID_CONFIG', this.remark(key, what), {
      hint,
      ...(cause === undefined ? {} : { cause }),
      details: { file: this.#source.file, line: this.#line(key), key: this.#name(key) },
    });
  }

  #spelled(key: string): string {
    if (Object.hasOwn(this.#values, key)) return key;
    return Object.keys(this.#values).find((other) => other.toLowerCase() === key) ?? key;
  }

  /** Of what is not there, the line of its table. */
  #line(key: string): number {
    const spelled = this.#spelled(key);
    const path = Object.hasOwn(this.#values, spelled) ? [...this.#path, spelled] : this.#path;
    return lineOf(this.#source.text, path);
  }

  /** `host."https://mirror.lan".ca` */
  #name(key: string): string {
    return [...this.#path, this.#spelled(key)]
      .map((part) => (/^[\w-]+$/.test(part) ? part : quoted(withoutUserInfo(part))))
      .join('.');
  }
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** A host's name as it may be shown. */
function withoutUserInfo(text: string): string {
  return text.replace(/^((?:[a-z][a-z0-9+.-]*:)?[/\\]*).*@/i, '$1***@');
}

/** @throws {LandfallError} INVALID_CONFIG */
export function parseToml(text: string, file: string): TomlTable {
  try {
    return new TomlTable({ file, text }, [], parse(text));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // Without the cause, and only the first line: the rest quotes the file.
    const [first = ''] = error.message.split('\n');
    const what = first.replace(/^Invalid TOML document: /, '');
    throw new LandfallError('INVALID_CONFIG', `${file}:${error.line}: not TOML: ${what}`, {
      hint: 'Mend the file, or put the last one back.',
      details: { file, line: error.line },
    });
  }
}

/**
 * The line, from 1, where the value or table at `path` begins, in a TOML document that parses and has it. The
 * parser keeps no places, so it is asked how much of the document it takes until the value is there.
 */
export function lineOf(text: string, path: readonly string[]): number {
  const lines = text.split('\n');
  // Once a value is there it stays. Of the lines after which it is there, the first is where its statement
  // begins: a beginning that ends within a statement does not parse, so it is lengthened to the statement's
  // end.
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
