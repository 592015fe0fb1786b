import type { Argument, Command, Option } from 'commander';
import { UNPACK_LIMIT_NAMES } from '../unpack-limit.js';
import { type Completions, joined, NOTHING, prefixed, wordsOf } from './completions.js';
import { imageNames } from './image-names.js';
import type { StoreNames } from './store-names.js';

/** What a value is, as far as somebody can be helped to type it. */
type Kind =
  | 'archive'
  | 'artifact-type'
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

/** Values of options, by what stands for them in the help: `<dir>`. Those without a kind are numbers and texts of one's own. */
const OPTION_KINDS: Readonly<Record<string, readonly Kind[]>> = {
  address: ['socket'],
  bytes: [],
  'container:host:size': [],
  destination: ['registry', 'layout', 'archive', 'store'],
  dir: ['directory'],
  duration: [],
  file: ['file'],
  'file.svg': ['file'],
  'host:port': [],
  'i/n': [],
  n: [],
  name: [],
  'name=value': ['limit'],
  pattern: ['image'],
  platform: ['platform'],
  platforms: ['platforms'],
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
  blob: ['repository', 'registry', 'layout', 'archive'],
  dir: ['directory'],
  host: ['host'],
  key: [],
  name: ['image'],
  path: [],
  reference: ['image'],
  repository: ['repository', 'registry'],
  source: ['image', 'layout'],
  'cat source': ['image', 'registry', 'layout', 'archive'],
  'copy source': ['image', 'registry', 'layout', 'archive'],
  'copy destination': ['image', 'registry', 'layout', 'archive'],
  'delete name': ['registry', 'layout'],
  'diff after': ['image', 'registry', 'layout', 'archive'],
  'diff before': ['image', 'registry', 'layout', 'archive'],
  'inspect source': ['image', 'registry', 'layout', 'archive'],
  'ls source': ['image', 'registry', 'layout', 'archive'],
  'push destination': ['image', 'registry'],
  'referrers reference': ['image', 'registry'],
  'resolve reference': ['image', 'registry'],
  'save reference': ['image', 'registry'],
  'serve source': ['layout'],
  'tag source': ['image', 'registry'],
  'tree source': ['image', 'registry', 'layout', 'archive'],
  'verify source': ['image', 'registry', 'layout', 'file'],
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

/** What an option's value is; undefined for one that nobody has thought about. */
export function kindsOfOption(option: Option): readonly Kind[] | undefined {
  return own(OPTION_KINDS, /[<[](.+)[>\]]$/.exec(option.flags)?.[1] ?? '');
}

/** What an argument is; undefined for one that nobody has thought about. */
export function kindsOfArgument(command: Command, argument: Argument): readonly Kind[] | undefined {
  const name = argument.name();
  return own(ARGUMENT_KINDS, `${command.name()} ${name}`) ?? own(ARGUMENT_KINDS, name);
}

/** What may be typed as an option's value. */
export function optionValues(option: Option, typed: string, names: StoreNames): Promise<Completions> {
  return valuesOf(option.argChoices, kindsOfOption(option) ?? [], typed, names);
}

/** What may be typed as an argument. */
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
    case 'directory':
      return { words: [], paths: { kind: 'directories', prefix: '' } };
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

/** The scheme alone, until it is typed; then what may follow it. */
function behind(scheme: string, typed: string, follows: () => Completions): Completions {
  return typed.startsWith(scheme) ? prefixed(scheme, follows()) : wordsOf([scheme]);
}

/** Images of the store behind something else; not before that is typed, since they would all be told twice. */
async function imagesBehind(scheme: string, typed: string, names: StoreNames): Promise<Completions> {
  if (!typed.startsWith(scheme)) return NOTHING;
  return prefixed(scheme, wordsOf(await names.images(typed.slice(scheme.length))));
}

/** `oci:DIR[:TAG]`: directories, then the names that the layout gives. */
async function layoutWords(typed: string): Promise<Completions> {
  const [, scheme, directory] = /^(oci:)([^:]+):/.exec(typed) ?? [];
  if (scheme === undefined || directory === undefined) {
    return behind('oci:', typed, () => ({ words: [], paths: { kind: 'directories', prefix: '' } }));
  }
  return prefixed(`${scheme}${directory}:`, wordsOf(await imageNames(directory)));
}

function own<T>(words: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(words, key) ? words[key] : undefined;
}
