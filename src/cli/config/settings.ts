import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { InvalidArgumentError, type Option } from 'commander';
import { defaultRoot } from '../../engine/default-root.js';
import type { SnapshotterKind, SyncMode } from '../../engine/store.js';
import { type ErrorOptions, isLandfallError, LandfallError } from '../../errors.js';
import type { UnpackLimit, UnpackLimits } from '../../spec/index.js';
import type { InflateChoice } from '../../unpack/index.js';

/** Something that an option, a variable or a file says, and that cannot be. */
export function invalidConfig(message: string, options: ErrorOptions = {}): LandfallError<'INVALID_CONFIG'> {
  return new LandfallError('INVALID_CONFIG', message, options);
}

export type OutputFormat = 'text' | 'json';
export type ProgressMode = 'auto' | 'plain' | 'json' | 'none';
export type LogFormat = 'text' | 'json';
export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export const SNAPSHOTTERS: readonly SnapshotterKind[] = ['overlay', 'native'];
export const INFLATE_CHOICES: readonly InflateChoice[] = ['auto', 'zlib', 'isa-l'];
export const SYNC_MODES: readonly SyncMode[] = ['full', 'blobs', 'none'];
export const OUTPUT_FORMATS: readonly OutputFormat[] = ['text', 'json'];
export const PROGRESS_MODES: readonly ProgressMode[] = ['auto', 'plain', 'json', 'none'];
export const LOG_FORMATS: readonly LogFormat[] = ['text', 'json'];
export const LOG_LEVELS: readonly LogLevel[] = ['error', 'warn', 'info', 'debug'];

/**
 * The global options as they were typed, or said by the environment or a file; the parser has checked each by
 * itself.
 */
export interface GlobalFlags extends OptionalSettings, Partial<DefaultedSettings> {
  /** Path of the one configuration file that is read. */
  readonly config?: string;
  readonly root?: string;
  readonly additionalRoot?: readonly string[];
  readonly hostsDir?: readonly string[];
  readonly unpackLimit?: Partial<UnpackLimits>;
}

/** The settings of this run, once options, environment and defaults are put together. */
export interface Settings extends OptionalSettings, DefaultedSettings {
  /** Absolute path of the store. */
  readonly root: string;
  /** Absolute paths of stores that are only read, the first that has a thing counts. */
  readonly additionalRoots: readonly string[];
  /** Absolute paths of directories in containerd's form, the first that knows a registry counts. */
  readonly hostsDirs: readonly string[];
  /** Bounds on what is unpacked that differ from the defaults. */
  readonly limits: Partial<UnpackLimits>;
  /** Whether nothing is asked for that a daemon on the root may do otherwise, so that it can do the work. */
  readonly daemonMayPull: boolean;
  /** Where the values of options come from, also those of the command's own. */
  readonly origins: Origins;
}

/** Settings that may be left open. */
interface OptionalSettings {
  /** The form of unpacked layers; undefined leaves it to the machine. */
  readonly snapshots?: SnapshotterKind | undefined;
  /** Path of a PEM file. */
  readonly ca?: string | undefined;
  /** Path of a docker-style credentials file. */
  readonly authfile?: string | undefined;
  /** `USER:PASSWORD`, or `USER` alone when the password is to be read from standard input. */
  readonly creds?: string | undefined;
  /** Path of a signature policy; undefined leaves it to the environment, the user and the system. */
  readonly policy?: string | undefined;
  readonly concurrency?: number | undefined;
  /** Bytes per second. */
  readonly limitRate?: number | undefined;
  /** Seconds. */
  readonly maxRetryAfter?: number | undefined;
}

interface DefaultedSettings {
  readonly plainHttp: boolean;
  readonly insecure: boolean;
  /** Whether addresses that a descriptor names are asked. */
  readonly foreignUrls: boolean;
  /** The library that inflates gzip layers. */
  readonly inflate: InflateChoice;
  readonly progress: ProgressMode;
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

const DEFAULTS: OptionalSettings & DefaultedSettings = {
  // Left to the machine.
  snapshots: undefined,
  concurrency: undefined,
  plainHttp: false,
  insecure: false,
  foreignUrls: false,
  inflate: 'auto',
  progress: 'auto',
  output: 'text',
  logLevel: 'info',
  logFormat: 'text',
};

export interface SettingsSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The effective user. */
  readonly uid: number;
}

/** Options that a daemon has its own values of. */
const DAEMONS_OWN = [
  'additionalRoot',
  'snapshots',
  'hostsDir',
  'plainHttp',
  'insecure',
  'foreignUrls',
  'ca',
  'authfile',
  'policy',
  'concurrency',
  'limitRate',
  'maxRetryAfter',
  'unpackLimit',
  'inflate',
] as const satisfies readonly (keyof GlobalFlags)[];

const DEFAULT_HOSTS_DIRS: readonly string[] = ['/etc/landfall/certs.d', '/etc/containerd/certs.d'];

/**
 * Puts defaults where nothing was said.
 *
 * @param origins where the flags come from; by default all were typed
 */
export function resolveSettings(
  flags: GlobalFlags,
  around: SettingsSurroundings,
  origins: Origins = typed(flags),
): Settings {
  const {
    root,
    additionalRoot = [],
    hostsDir = DEFAULT_HOSTS_DIRS,
    unpackLimit: limits = {},
    ...others
  } = flags;
  return {
    ...DEFAULTS,
    ...others,
    root: resolve(root ?? defaultRoot(around)),
    additionalRoots: additionalRoot.map((directory) => resolve(directory)),
    hostsDirs: hostsDir.map((directory) => resolve(directory)),
    limits,
    daemonMayPull: DAEMONS_OWN.every((name) => isDaemonsToo(keyOfAttribute(name), origins)),
    origins,
  };
}

function typed(flags: GlobalFlags): Origins {
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  return new Map(given.map(([name]) => [keyOfAttribute(name), { from: 'option' }]));
}

/**
 * Whether a daemon has the same setting: it reads the system's file, and neither the user's nor the
 * environment of its clients.
 */
function isDaemonsToo(key: string, origins: Origins): boolean {
  const isSystems = (origin: Origin): boolean => origin.from === 'file' && origin.scope === 'system';
  return [...origins].every(
    ([name, origin]) => (name !== key && !name.startsWith(`${key}.`)) || isSystems(origin),
  );
}

/** As they are written on the command line. */
const NAMES: Readonly<Record<UnpackLimit, string>> = {
  layers: 'layers',
  imageBytes: 'image-bytes',
  layerBytes: 'layer-bytes',
  entriesPerLayer: 'entries-per-layer',
  notedBytes: 'noted-bytes',
  compressionRatio: 'compression-ratio',
  lowSpaceRatio: 'low-space-ratio',
  pathBytes: 'path-bytes',
  pathDepth: 'path-depth',
  linkBytes: 'link-bytes',
  paxBytes: 'pax-bytes',
  xattrBytes: 'xattr-bytes',
  indexBytes: 'index-bytes',
};

export const LIMITS_BY_NAME: ReadonlyMap<string, UnpackLimit> = new Map(
  Object.entries(NAMES).map(([limit, name]) => [name, limit as UnpackLimit]),
);

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** The factor of a letter behind a number, a power of 1024. */
export function unitOf(letter: string): number {
  return UNITS[letter.toUpperCase()] ?? 0;
}

/** A whole number of at most 12 digits, with a unit or without: `4G`, `650M`; undefined for anything else. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,12})([KMGT]?)$/i.exec(text) ?? [];
  const size = Number(digits) * unitOf(unit);
  return Number.isSafeInteger(size) ? size : undefined;
}

/** For help texts. */
export const UNPACK_LIMIT_NAMES: readonly string[] = Object.values(NAMES);

/** `NAME=VALUE` of one limit, added to those that came before; the later of two of one name counts. */
export function collectLimit(text: string, before: Partial<UnpackLimits> = {}): Partial<UnpackLimits> {
  const [, name = '', size = ''] = /^([a-z-]+)=(\d{1,12}[KMGT]?)$/i.exec(text) ?? [];
  const limit = LIMITS_BY_NAME.get(name);
  const value = parseSize(size) ?? 0;
  if (limit === undefined) {
    throw new InvalidArgumentError(
      `Write NAME=NUMBER, with one of the names ${UNPACK_LIMIT_NAMES.join(', ')}.`,
    );
  }
  if (value < 1) {
    throw new InvalidArgumentError('It is not a positive whole number, such as 1000 or 20G.');
  }
  return { ...before, [limit]: value };
}

/**
 * The kind of value that an option takes: nothing, one of a few words, a number, text, several texts, or
 * several numbers by name.
 */
export type OptionKind = 'switch' | 'choice' | 'number' | 'text' | 'list' | 'table';

/** Of these, every parser of an option takes one. */
const SAMPLES: readonly string[] = ['1', '1M', 'layers=1', '0:1:1'];

/** Asks the option's own parser, so that what an option takes is said in one place. */
export function kindOf(option: Option): OptionKind {
  if (option.negate || option.isBoolean()) return 'switch';
  if (option.argChoices !== undefined) return 'choice';
  const made = parsedSample(option);
  if (Array.isArray(made)) return 'list';
  if (typeof made === 'object') return 'table';
  return typeof made === 'number' ? 'number' : 'text';
}

/** Whether the option names a file or a directory, as its help says. */
export function takesPath(option: Option): boolean {
  return /[<[](?:dir|file)[\]>]/.test(option.flags);
}

/** The key of an option in a configuration file: its long name, `unpack` for `--no-unpack`. */
export function keyOf(option: Option): string {
  return option.negate ? option.name().replace(/^no-/, '') : option.name();
}

/** The same of a flag as the commands have it: `plain-http` for `plainHttp`. */
export function keyOfAttribute(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function parsedSample(option: Option): unknown {
  for (const sample of SAMPLES) {
    try {
      return parseTexts(option, [sample]);
    } catch {
      // It takes something else.
    }
  }
  return undefined;
}

/**
 * The texts as the option's own parser reads them, in order, as if each had been typed.
 *
 * @throws {InvalidArgumentError} commander's, or whatever else the parser throws
 */
export function parseTexts(option: Option, texts: readonly string[]): unknown {
  const { parseArg } = option;
  return texts.reduce<unknown>(
    (before, text) => (parseArg === undefined ? text : parseArg(text, before)),
    undefined,
  );
}

/** Why an option is taken from the command line only, and what to do instead. */
export interface Refusal {
  readonly why: string;
  readonly hint: string;
}

const ANSWERS: Refusal = { why: 'answers by itself', hint: 'Take it out.' };

const CONFIG: Refusal = {
  why: 'names the file that is read in place of this one',
  hint: 'Give --config on the command line, or set LANDFALL_CONFIG.',
};

const SECRET: Refusal = {
  why: 'is a password, which belongs into no configuration',
  hint: 'Log in with `landfall login`, or name a file of credentials: authfile = "FILE".',
};

const ONE_RUN: Refusal = {
  why: 'says what one run reads, writes or does in place of its usual work',
  hint: 'Give it on the command line.',
};

const CONFIRMS: Refusal = {
  why: 'has things deleted or changed that a run without it leaves alone',
  hint: 'Give it on the command line, each time.',
};

/**
 * By the command, empty for the global options, and the key. Besides these, what a command cannot do without.
 */
export const REFUSED_OPTIONS: Readonly<Record<string, Readonly<Record<string, Refusal>>>> = {
  '': { version: ANSWERS, config: CONFIG, creds: SECRET },
  pull: { file: ONE_RUN, trace: ONE_RUN, timeline: ONE_RUN },
  inspect: { raw: ONE_RUN, config: ONE_RUN },
  cat: { file: ONE_RUN },
  blob: { file: ONE_RUN },
  export: { file: ONE_RUN },
  load: { input: ONE_RUN, name: ONE_RUN },
  copy: { 'src-creds': SECRET, 'dest-creds': SECRET },
  sync: { prune: CONFIRMS, yes: CONFIRMS, report: ONE_RUN, since: ONE_RUN, shard: ONE_RUN },
  login: { username: ONE_RUN, 'password-stdin': ONE_RUN },
  logout: { all: CONFIRMS },
  serve: { 'print-hosts': ONE_RUN },
  fsck: { repair: CONFIRMS, rebuild: CONFIRMS },
  doctor: { hosts: ONE_RUN, containerd: ONE_RUN },
  config: { files: ONE_RUN, template: ONE_RUN, quiet: ONE_RUN },
};

/**
 * Why a configuration file may not say what the option is; undefined where it may.
 *
 * @param command empty for the global options
 */
export function refusalOf(command: string, option: Option): Refusal | undefined {
  // The command line is refused before a file is looked at.
  if (option.mandatory) return ONE_RUN;
  const refused = REFUSED_OPTIONS[command];
  const key = keyOf(option);
  return refused !== undefined && Object.hasOwn(refused, key) ? refused[key] : undefined;
}

/** Whose configuration file it is: the system's, the user's, or one that was named in place of both. */
export type ConfigScope = 'system' | 'user' | 'named';

/** Where the value of an option comes from. */
export type Origin =
  | { readonly from: 'option' }
  | { readonly from: 'environment'; readonly variable: string }
  | {
      readonly from: 'file';
      readonly scope: ConfigScope;
      readonly path: string;
      /** From 1. It is looked for only when it is asked for. */
      readonly line: () => number;
    }
  | { readonly from: 'default' };

/**
 * Origins by the keys of a configuration file, such as `root` and `pull.platform`; what is not there is a
 * default.
 */
export type Origins = ReadonlyMap<string, Origin>;

/** As people read it: `--root`, `$LANDFALL_ROOT`, `/etc/landfall/config.toml:3`, `default`. */
export function describeOrigin(origin: Origin, long: string): string {
  switch (origin.from) {
    case 'option':
      return long;
    case 'environment':
      return `$${origin.variable}`;
    case 'file':
      return `${origin.path}:${origin.line()}`;
    case 'default':
      return 'default';
  }
}

/** A value that an option has without having been typed. */
export interface GivenValue {
  /** As a configuration file calls it: `root`, `pull.platform`, `unpack-limit.layers`. */
  readonly key: string;
  readonly option: Option;
  /** The parsed value; of a table, only the part that the key names. */
  readonly value: unknown;
  /** The texts in the file that it was parsed from. */
  readonly texts?: readonly string[];
  readonly origin: Origin;
}

/** By their keys, each with the one that counts. */
export type GivenValues = ReadonlyMap<string, GivenValue>;

/** A place where a configuration file is looked for. */
export interface ConfigPlace {
  /** Absolute. */
  readonly path: string;
  readonly scope: ConfigScope;
  /**
   * Whether there is something. What lies below a directory that this user may not enter counts as absent.
   */
  readonly isThere: boolean;
}

export const SYSTEM_CONFIG = '/etc/landfall/config.toml';

/**
 * Where configuration files are looked for, the one that counts most last: the one that is named, alone; else
 * the system's and the user's.
 *
 * @param named by `--config` or `$LANDFALL_CONFIG`, relative to the working directory
 * @throws {LandfallError} INVALID_CONFIG for a name that is empty
 */
export function configPlaces(
  named: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  system: string = SYSTEM_CONFIG,
): readonly ConfigPlace[] {
  if (named === '') {
    throw invalidConfig('the name of the configuration file is empty', {
      hint: 'Name a file with --config, or /dev/null for none.',
    });
  }
  if (named !== undefined) {
    const path = resolve(named);
    // A named file has to exist; this one is known to be empty.
    return [{ path, scope: 'named', isThere: path !== '/dev/null' }];
  }
  const home = given(env['XDG_CONFIG_HOME']) ?? join(homeOf(env), '.config');
  return [placeOf(system, 'system'), placeOf(resolve(home, 'landfall/config.toml'), 'user')];
}

/** The user's home directory. */
export function homeOf(env: Readonly<Record<string, string | undefined>>): string {
  return given(env['HOME']) ?? homedir();
}

function placeOf(path: string, scope: ConfigScope): ConfigPlace {
  return { path, scope, isThere: existsSync(path) };
}

function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/**
 * Says of an option that is wrong, or does not go with another one, where it comes from if nobody typed it.
 * Messages are for people; what is found in none is no loss.
 */
export function withOrigins(error: unknown, origins: Origins): unknown {
  if (!isLandfallError(error) || error.code !== 'INVALID_CONFIG') return error;
  const said = `${error.message} ${error.hint}`;
  const reported = [...origins].flatMap(([key, origin]) => {
    const long = `--${key.split('.').at(-1) ?? ''}`;
    if (origin.from === 'option' || !new RegExp(`${long}(?![\\w-])`).test(said)) return [];
    const place = describeOrigin(origin, long);
    return error.message.includes(place) ? [] : [`${long} comes from ${place}`];
  });
  if (reported.length === 0) return error;
  return new LandfallError(error.code, `${error.message} (${reported.join(', ')})`, {
    cause: error.cause,
    retryable: error.retryable,
    hint: error.hint,
    details: error.details,
  });
}
