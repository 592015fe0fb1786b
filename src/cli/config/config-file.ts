import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isPlainObject } from '@sindresorhus/is';
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { parse, TomlError } from 'smol-toml';
import { isLandfallError, type LandfallError, systemCode } from '../../errors.js';
import { lineOf } from '../../formats/toml-table.js';
import { formatSize, quoted } from '../../spec/index.js';
import {
  type ConfigPlace,
  type GivenValue,
  invalidConfig,
  keyOf,
  kindOf,
  type OptionKind,
  parseTexts,
  refusalOf,
  takesPath,
  UNPACK_LIMIT_NAMES,
} from './settings.js';
import { suggest } from './suggest.js';

/** The values of a configuration file, and all its faults: INVALID_CONFIG with file and line. */
export interface ConfigFile {
  readonly values: readonly GivenValue[];
  readonly faults: readonly LandfallError[];
}

/**
 * Reads a configuration file: the keys of the global options at its top, and a table for each command. Each
 * value is given to the option's own parser, as if it had been typed. Never throws for what the file holds.
 *
 * @param home for paths that begin with `~/`
 */
export function readConfigFile(place: ConfigPlace, program: Command, home: string): ConfigFile {
  try {
    return new ConfigReader(place, readToml(place.path), program, home).read();
  } catch (error) {
    if (!isLandfallError(error)) throw error;
    return { values: [], faults: [error] };
  }
}

class ConfigReader {
  readonly #place: ConfigPlace;
  readonly #document: TomlDocument;
  readonly #program: Command;
  readonly #home: string;
  readonly #values: GivenValue[] = [];
  readonly #faults: LandfallError[] = [];

  constructor(place: ConfigPlace, document: TomlDocument, program: Command, home: string) {
    this.#place = place;
    this.#document = document;
    this.#program = program;
    this.#home = home;
  }

  read(): ConfigFile {
    for (const [key, value] of Object.entries(this.#document.root)) {
      const command = this.#program.commands.find((one) => one.name() === key);
      const isGlobal = this.#program.options.some((option) => keyOf(option) === key);
      // `config` is both, and neither can be set.
      if (command === undefined || (isGlobal && !isPlainObject(value))) {
        this.#take(this.#program, [key], value);
      } else if (isPlainObject(value)) {
        for (const [inner, one] of Object.entries(value)) this.#take(command, [key, inner], one);
      } else {
        this.#fault(
          [key],
          'is a command, whose options stand in a table',
          `Write them below a line [${key}].`,
        );
      }
    }
    return { values: this.#values, faults: this.#faults };
  }

  /** @param keys of the value, the last of them the option's */
  #take(command: Command, keys: readonly string[], value: unknown): void {
    const key = keys.at(-1) ?? '';
    const isGlobal = command === this.#program;
    const option = command.options.find((one) => keyOf(one) === key);
    if (option === undefined) {
      this.#fault(keys, 'is no key that landfall knows', unknownKeyHint(this.#program, command, key));
      return;
    }
    const refused = refusalOf(isGlobal ? '' : command.name(), option);
    if (refused === undefined) this.#parse(option, keys, value);
    else this.#fault(keys, refused.why, refused.hint);
  }

  #parse(option: Option, keys: readonly string[], value: unknown): void {
    const kind = kindOf(option);
    if (kind === 'table' && isPlainObject(value)) {
      for (const [name, one] of Object.entries(value)) this.#takeNamed(option, [...keys, name], one);
    } else if (kind === 'switch' && typeof value === 'boolean') {
      this.#note(option, keys, value);
    } else {
      const texts = textsOf(kind, value);
      if (texts === undefined) this.#fault(keys, `is ${KINDS[kind]}`, SEE_TEMPLATE);
      else this.#add(option, keys, texts);
    }
  }

  /** One of the values of an option that takes several by name. */
  #takeNamed(option: Option, keys: readonly string[], value: unknown): void {
    const name = keys.at(-1) ?? '';
    const text = textOf('number', value);
    if (!UNPACK_LIMIT_NAMES.includes(name)) {
      const [meant] = suggest(name, UNPACK_LIMIT_NAMES);
      const hint =
        meant === undefined ? `These are: ${UNPACK_LIMIT_NAMES.join(', ')}.` : `Did you mean ${meant}?`;
      this.#fault(keys, 'is no key that landfall knows', hint);
    } else if (text === undefined) {
      this.#fault(keys, `is ${KINDS.number}`, SEE_TEMPLATE);
    } else {
      this.#add(option, keys, [`${name}=${text}`]);
    }
  }

  #add(option: Option, keys: readonly string[], texts: readonly string[]): void {
    const isPath = takesPath(option);
    if (isPath && texts.includes('')) {
      this.#fault(keys, 'is empty', SEE_TEMPLATE);
      return;
    }
    const given = isPath ? texts.map((text) => this.#absolute(text)) : texts;
    try {
      // A list that is empty takes away what a file that counts less has.
      this.#note(option, keys, texts.length === 0 ? [] : parseTexts(option, given), given);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      const value = (text: string): string => (kindOf(option) === 'table' ? text.replace(/^.*?=/, '') : text);
      const shown = texts.map((text) => quoted(value(text))).join(', ');
      this.#fault(keys, `is ${shown}`, `${error.message} ${SEE_TEMPLATE}`);
    }
  }

  #note(option: Option, keys: readonly string[], value: unknown, texts: readonly string[] = []): void {
    const { path, scope } = this.#place;
    const line = (): number => this.#document.lineOf(keys);
    this.#values.push({
      key: keys.join('.'),
      option,
      value,
      texts,
      origin: { from: 'file', path, scope, line },
    });
  }

  /** Relative to the file, so that it means the same wherever landfall is started. */
  #absolute(text: string): string {
    // Standard input or output.
    if (text === '-') return text;
    if (text === '~' || text.startsWith('~/')) return resolve(this.#home, text.slice(2));
    return resolve(dirname(this.#place.path), text);
  }

  #fault(keys: readonly string[], what: string, hint: string): void {
    if (this.#faults.length === MOST_FAULTS) return;
    const { path } = this.#place;
    const line = this.#document.lineOf(keys);
    const key = keys.map((part) => (/^[\w-]+$/.test(part) ? part : quoted(part))).join('.');
    this.#faults.push(
      invalidConfig(`${path}:${line}: ${key} ${what}`, { hint, details: { file: path, line, key } }),
    );
  }
}

/** More are not read at once, and finding the line of each takes a while. */
const MOST_FAULTS = 20;

const SEE_TEMPLATE = '`landfall config --template` shows the right form.';

/** The messages for a value of another kind. */
const KINDS: Readonly<Record<OptionKind, string>> = {
  switch: 'neither true nor false',
  choice: 'not a string',
  number: 'neither a number nor a string such as "10M"',
  text: 'not a string',
  list: 'not a list of strings',
  table: 'not a table of numbers',
};

/** The texts that would have been typed; undefined where the value is of another kind. */
function textsOf(kind: OptionKind, value: unknown): readonly string[] | undefined {
  if (kind === 'switch' || kind === 'table') return undefined;
  const all: readonly unknown[] = kind === 'list' && Array.isArray(value) ? value : [value];
  const texts = all.map((one) => textOf(kind, one));
  return texts.every((text) => text !== undefined) ? texts : undefined;
}

function textOf(kind: OptionKind, value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return kind === 'number' && typeof value === 'number' ? String(value) : undefined;
}

/** The template has a quarter of that. */
const LARGEST_BYTES = 64 * 1024;

/** A TOML file that parses. */
export interface TomlDocument {
  readonly root: Readonly<Record<string, unknown>>;
  /** The line, from 1, where what is at these keys begins. */
  readonly lineOf: (keys: readonly string[]) => number;
}

/** @throws {LandfallError} INVALID_CONFIG with file, and line and column where it is no TOML */
export function readToml(path: string): TomlDocument {
  const text = readText(path);
  try {
    return { root: parse(text), lineOf: (keys) => lineOf(text, keys) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column } = error;
    // Without the cause, and only the first line: the rest quotes the file.
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? '';
    throw invalidConfig(`${path}:${line}:${column}: not TOML: ${what}`, {
      hint: 'Mend the file; `landfall config --template` shows one that is right.',
      details: { file: path, line, column },
    });
  }
}

function readText(path: string): string {
  const bytes = bytesOf(path);
  if (bytes.length > LARGEST_BYTES) throw tooLarge(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw unreadable(path, 'is not UTF-8');
  }
}

/** A pipe or a device would keep Node from hearing signals. */
function bytesOf(path: string): Buffer {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile()) throw unreadable(path, 'is no regular file');
      if (stats.size > LARGEST_BYTES) throw tooLarge(path);
      return readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    if (isLandfallError(cause)) throw cause;
    const code = systemCode(cause);
    if (code === 'ENOENT') throw unreadable(path, 'is not there');
    throw unreadable(path, `cannot be read (${code ?? 'unknown error'})`, cause);
  }
}

function tooLarge(path: string): LandfallError {
  return unreadable(path, `has more than ${formatSize(LARGEST_BYTES)}`);
}

function unreadable(path: string, what: string, cause?: unknown): LandfallError {
  return invalidConfig(`the configuration file ${path} ${what}`, {
    hint: 'Mend the file, name another one with --config, or none with --config /dev/null.',
    ...(cause === undefined ? {} : { cause }),
    details: { file: path },
  });
}

const ALL = '`landfall config --template` shows all keys.';
/** More would not be read. */
const MOST_NAMED = 3;

/**
 * The keys that an unknown key may have meant: of the command's options, or of the global ones where the
 * command is the program.
 */
export function unknownKeyHint(program: Command, command: Command, key: string): string {
  const isGlobal = command === program;
  const positive = key.replace(/^no-/, '');
  if (positive !== key && configKeys(program, command).includes(positive)) {
    return `Write ${positive} = false.`;
  }
  if (!isGlobal && configKeys(program, program).includes(key)) {
    return `It is a key of the global options: write it above the first [table].`;
  }
  const commands = isGlobal
    ? program.commands.filter((one) => configKeys(program, one).includes(key)).map((one) => `[${one.name()}]`)
    : [];
  if (commands.length > 0) {
    const named =
      commands.length > MOST_NAMED ? `${commands.slice(0, MOST_NAMED).join(', ')} …` : commands.join(' or ');
    return `It is a key of a command's table: write it below ${named}.`;
  }
  const [meant] = suggest(key, [
    ...configKeys(program, command),
    ...(isGlobal ? program.commands.map((one) => one.name()) : []),
  ]);
  return meant === undefined ? upperFirst(ALL) : `Did you mean ${meant}? Else ${ALL}`;
}

/** The keys of a command's table, or of the global options, that a file may have. */
export function configKeys(program: Command, command: Command): readonly string[] {
  const name = command === program ? '' : command.name();
  return command.options.filter((option) => refusalOf(name, option) === undefined).map(keyOf);
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
