import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import type { Argument, Command, Option } from 'commander';
import { UNPACK_LIMIT_NAMES } from '../config/settings.js';

/** The kinds of values that completion can offer words for. */
type Kind =
  | 'archive'
  | 'artifact-type'
  | 'dir'
  | 'directory'
  | 'file'
  | 'filter'
  | 'host'
  | 'image'
  | 'layout'
  | 'limit'
  | 'platform'
  | 'platforms'
  | 'registry'
  | 'repository'
  | 'socket'
  | 'store';

/**
 * Values of options, by what stands for them in the help: `<dir>`. Those without a kind are numbers and texts
 * of one's own.
 */
const OPTION_KINDS: Readonly<Record<string, readonly Kind[]>> = {
  address: ['socket'],
  bytes: [],
  'container:host:size': [],
  destination: ['registry', 'layout', 'archive', 'store'],
  dir: ['directory'],
  duration: [],
  file: ['file'],
  'file.svg': ['file'],
  glob: [],
  'host:port': [],
  'i/n': [],
  n: [],
  name: [],
  'name=value': ['limit'],
  pattern: ['image'],
  platform: ['platform'],
  platforms: ['platforms'],
  range: [],
  reference: ['image'],
  registry: ['host'],
  seconds: [],
  size: [],
  type: ['artifact-type'],
  user: [],
  'user[:password]': [],
  'what=value': ['filter'],
};

/** Arguments by their names, or by the command's and theirs where that differs. */
const ARGUMENT_KINDS: Readonly<Record<string, readonly Kind[]>> = {
  blob: ['repository', 'registry', 'layout', 'dir', 'archive'],
  dir: ['directory'],
  host: ['host'],
  label: [],
  key: [],
  name: ['image'],
  path: [],
  reference: ['image'],
  repository: ['repository', 'registry'],
  source: ['image', 'layout'],
  'cat source': ['image', 'registry', 'layout', 'dir', 'archive'],
  'copy source': ['image', 'registry', 'layout', 'dir', 'archive'],
  'copy destination': ['image', 'registry', 'layout', 'dir', 'archive'],
  'delete name': ['registry', 'layout'],
  'diff after': ['image', 'registry', 'layout', 'dir', 'archive'],
  'diff before': ['image', 'registry', 'layout', 'dir', 'archive'],
  'inspect source': ['image', 'registry', 'layout', 'dir', 'archive'],
  'ls source': ['image', 'registry', 'layout', 'dir', 'archive'],
  'push destination': ['image', 'registry'],
  'referrers reference': ['image', 'registry'],
  'resolve reference': ['image', 'registry'],
  'save reference': ['image', 'registry'],
  'serve source': ['layout'],
  'tag source': ['image', 'registry'],
  'tree source': ['image', 'registry', 'layout', 'dir', 'archive'],
  'verify source': ['image', 'registry', 'layout', 'dir', 'file'],
};

const PLATFORMS = [
  'linux/amd64',
  'linux/arm64',
  'linux/arm/v7',
  'linux/arm/v6',
  'linux/386',
  'linux/ppc64le',
  'linux/riscv64',
  'linux/s390x',
];

const ARTIFACT_TYPES = [
  'application/vnd.dev.sigstore.bundle.v0.3+json',
  'application/vnd.in-toto+json',
  'application/spdx+json',
  'application/vnd.cyclonedx+json',
];

/** The kinds of an option's value; undefined where the table has no entry. */
export function kindsOfOption(option: Option): readonly Kind[] | undefined {
  return own(OPTION_KINDS, /[<[](.+)[>\]]$/.exec(option.flags)?.[1] ?? '');
}

/** The kinds of an argument; undefined where the table has no entry. */
export function kindsOfArgument(command: Command, argument: Argument): readonly Kind[] | undefined {
  const name = argument.name();
  return own(ARGUMENT_KINDS, `${command.name()} ${name}`) ?? own(ARGUMENT_KINDS, name);
}

/** The words that may be typed as an option's value. */
export function optionValues(option: Option, typed: string, names: StoreNames): Promise<Completions> {
  return valuesOf(option.argChoices, kindsOfOption(option) ?? [], typed, names);
}

/** The words that may be typed as an argument. */
export function argumentValues(
  command: Command,
  argument: Argument,
  typed: string,
  names: StoreNames,
): Promise<Completions> {
  return valuesOf(argument.argChoices, kindsOfArgument(command, argument) ?? [], typed, names);
}

async function valuesOf(
  choices: readonly string[] | undefined,
  kinds: readonly Kind[],
  typed: string,
  names: StoreNames,
): Promise<Completions> {
  if (choices !== undefined) return wordsOf(choices);
  return joined(await Promise.all(kinds.map((kind) => wordsOfKind(kind, typed, names))));
}

async function wordsOfKind(kind: Kind, typed: string, names: StoreNames): Promise<Completions> {
  switch (kind) {
    case 'archive':
      return joined([behind('oci-archive:', typed, files), behind('docker-archive:', typed, files)]);
    case 'artifact-type':
      return wordsOf(ARTIFACT_TYPES);
    case 'dir':
      return behind('dir:', typed, directories);
    case 'directory':
      return directories();
    case 'file':
      return files();
    case 'filter':
      return joined([
        wordsOf(['pinned=true', 'label=', 'reference=']),
        await imagesBehind('reference=', typed, names),
      ]);
    case 'host':
      return wordsOf(await names.hosts());
    case 'image':
      return wordsOf(await names.images(typed));
    case 'layout':
      return layoutWords(typed);
    case 'limit':
      return wordsOf(UNPACK_LIMIT_NAMES.map((name) => `${name}=`));
    case 'platform':
      return wordsOf(PLATFORMS);
    case 'platforms': {
      const before = typed.slice(0, typed.lastIndexOf(',') + 1);
      return prefixed(before, wordsOf(PLATFORMS.filter((name) => !before.split(',').includes(name))));
    }
    case 'registry':
      return joined([
        wordsOf(['docker://'], 'an image at its registry'),
        await imagesBehind('docker://', typed, names),
      ]);
    case 'repository':
      return wordsOf(await names.repositories(typed));
    case 'socket':
      return behind('unix://', typed, files);
    case 'store':
      return wordsOf(['store'], 'the store');
  }
}

function files(): Completions {
  return { words: [], paths: { kind: 'files', prefix: '' } };
}

function directories(): Completions {
  return { words: [], paths: { kind: 'directories', prefix: '' } };
}

/** The scheme alone, until it is typed; then what may follow it. */
function behind(scheme: string, typed: string, follows: () => Completions): Completions {
  return typed.startsWith(scheme) ? prefixed(scheme, follows()) : wordsOf([scheme]);
}

/**
 * Images of the store behind something else; not before that is typed, since they would all be told twice.
 */
async function imagesBehind(scheme: string, typed: string, names: StoreNames): Promise<Completions> {
  if (!typed.startsWith(scheme)) return NOTHING;
  return prefixed(scheme, wordsOf(await names.images(typed.slice(scheme.length))));
}

/** `oci:DIR[:TAG]`: directories, then the names that the layout gives. */
async function layoutWords(typed: string): Promise<Completions> {
  const [, scheme, directory] = /^(oci:)([^:]+):/.exec(typed) ?? [];
  if (scheme === undefined || directory === undefined) {
    return behind('oci:', typed, directories);
  }
  return prefixed(`${scheme}${directory}:`, wordsOf(await imageNames(directory)));
}

function own<T>(words: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(words, key) ? words[key] : undefined;
}

/**
 * A word that may stand where one is being typed. One that ends with `=`, `:`, `,` or `/` is gone on with,
 * without a blank.
 */
export interface CompletionWord {
  readonly word: string;
  /** In a few words. */
  readonly description?: string | undefined;
}

/** Paths that a shell completes by itself, as it quotes them and knows what `~` is. */
export interface CompletionPaths {
  readonly kind: 'files' | 'directories';
  /** The part of the typed word before the path. */
  readonly prefix: string;
}

/** All that may stand where a word is being typed. */
export interface Completions {
  readonly words: readonly CompletionWord[];
  readonly paths?: CompletionPaths | undefined;
}

export const NOTHING: Completions = { words: [] };

function wordsOf(words: readonly string[], description?: string): Completions {
  return { words: words.map((word) => ({ word, description })) };
}

function joined(all: readonly Completions[]): Completions {
  return {
    words: all.flatMap(({ words }) => words),
    paths: all.find(({ paths }) => paths !== undefined)?.paths,
  };
}

/** The same where something stands before it in the same word. */
export function prefixed(prefix: string, { words, paths }: Completions): Completions {
  return {
    words: words.map((one) => ({ ...one, word: prefix + one.word })),
    paths: paths === undefined ? undefined : { ...paths, prefix: prefix + paths.prefix },
  };
}

/**
 * As the scripts of all shells read it: a line that says which paths may follow, `files PREFIX`, `directories
 * PREFIX` or `words`; then a line for each word that begins as what is typed, its description after a tab.
 */
export function renderCompletions({ words, paths }: Completions, typed: string): string {
  const first = paths === undefined ? 'words' : `${paths.kind} ${paths.prefix}`;
  const fitting = words.filter(({ word }) => word.startsWith(typed));
  const lines = fitting.map(({ word, description }) =>
    description === undefined ? word : `${word}\t${description}`,
  );
  return [first, ...new Set(lines)].map((line) => `${line}\n`).join('');
}

/** An `index.json` that is larger is not worth waiting for. */
const LARGEST = 16 * 1024 ** 2;
/** The annotation by which an OCI layout names an image (image-spec: annotations.md). */
const REF_NAME = 'org.opencontainers.image.ref.name';
/** A shell puts a name on its line as it is, so it is to mean nothing else there. */
const HARMLESS = /^[\w][\w./:@+-]*$/;

/**
 * The names that the `index.json` of a store or another OCI layout gives; none where there is no such file or
 * it is damaged. The database knows no more, and takes ten times as long to be opened.
 */
async function imageNames(directory: string): Promise<readonly string[]> {
  try {
    return namesIn(JSON.parse(await textOf(path.join(directory, 'index.json'))));
  } catch {
    return [];
  }
}

async function textOf(file: string): Promise<string> {
  // A foreign directory may have a pipe there, on which Tab would wait for ever.
  await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = await handle.stat();
  return stats.isFile() && stats.size <= LARGEST ? await handle.readFile('utf8') : '';
}

function namesIn(index: unknown): string[] {
  const manifests = memberOf(index, 'manifests');
  if (!Array.isArray(manifests)) return [];
  return manifests.flatMap((entry: unknown) => {
    const name = memberOf(memberOf(entry, 'annotations'), REF_NAME);
    return typeof name === 'string' && HARMLESS.test(name) ? [name] : [];
  });
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}

/** The names that the stores of a command line give, read once and only when they are asked for. */
export class StoreNames {
  readonly #roots: () => Promise<readonly string[]>;
  #names: Promise<readonly NamedImage[]> | undefined;

  /** @param roots the directories of the stores; what it throws means that there are none */
  constructor(roots: () => Promise<readonly string[]>) {
    this.#roots = roots;
  }

  /** As people write them, or in full where that is how the typed word begins. */
  async images(typed: string): Promise<string[]> {
    return await this.#fitting(typed, (name) => name);
  }

  /** The same without tags. */
  async repositories(typed: string): Promise<string[]> {
    return await this.#fitting(typed, (name) => name.replace(/@.*$/, '').replace(/:[^/:]*$/, ''));
  }

  /** The registries that the images come from. */
  async hosts(): Promise<string[]> {
    return [...new Set((await this.#all()).map(({ canonical }) => canonical.split('/')[0] ?? ''))];
  }

  async #fitting(typed: string, cut: (name: string) => string): Promise<string[]> {
    const names = (await this.#all()).map(({ familiar, canonical }) =>
      cut(cut(familiar).startsWith(typed) ? familiar : canonical),
    );
    return [...new Set(names)];
  }

  #all(): Promise<readonly NamedImage[]> {
    this.#names ??= this.#read().catch(() => []);
    return this.#names;
  }

  async #read(): Promise<readonly NamedImage[]> {
    const { familiarReference, parseReference } = await import('../../spec/index.js');
    const names = await Promise.all((await this.#roots()).map(imageNames));
    return [...new Set(names.flat())].flatMap((canonical): NamedImage[] => {
      try {
        return [{ canonical, familiar: familiarReference(parseReference(canonical)) }];
      } catch {
        // Others may have put anything there; the rest is to be had all the same.
        return [];
      }
    });
  }
}

interface NamedImage {
  readonly canonical: string;
  readonly familiar: string;
}
