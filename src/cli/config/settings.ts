import path from 'node:path';
import { InvalidArgumentError } from 'commander';
import { defaultRoot } from '../../engine/default-root.js';
import type { SnapshotterKind, SyncMode } from '../../engine/store.js';
import type { UnpackLimit, UnpackLimits } from '../../spec/index.js';
import type { InflateChoice } from '../../unpack/index.js';
import { keyOfAttribute } from './option-kind.js';
import type { Origin, Origins } from './origin.js';

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

/** The global options as they were typed, or said by the environment or a file; the parser has checked each by itself. */
export interface GlobalFlags {
  /** Path of the one configuration file that is read. */
  readonly config?: string;
  readonly root?: string;
  readonly additionalRoot?: readonly string[];
  readonly snapshots?: SnapshotterKind;
  readonly hostsDir?: readonly string[];
  readonly plainHttp?: boolean;
  readonly insecure?: boolean;
  readonly ca?: string;
  readonly authfile?: string;
  readonly creds?: string;
  readonly policy?: string;
  readonly concurrency?: number;
  readonly limitRate?: number;
  readonly maxRetryAfter?: number;
  readonly unpackLimit?: Partial<UnpackLimits>;
  readonly inflate?: InflateChoice;
  readonly progress?: ProgressMode;
  readonly output?: OutputFormat;
  readonly logLevel?: LogLevel;
  readonly logFormat?: LogFormat;
}

/** What holds for this run, once options, environment and defaults are put together. */
export interface Settings {
  /** Absolute path of the store. */
  readonly root: string;
  /** Absolute paths of stores that are only read, the first that has a thing counts. */
  readonly additionalRoots: readonly string[];
  /** How layers are kept unpacked; undefined leaves it to the machine. */
  readonly snapshots: SnapshotterKind | undefined;
  /** Absolute paths of directories in containerd's form, the first that knows a registry counts. */
  readonly hostsDirs: readonly string[];
  readonly plainHttp: boolean;
  readonly insecure: boolean;
  /** Path of a PEM file. */
  readonly ca: string | undefined;
  /** Path of a docker-style credentials file. */
  readonly authfile: string | undefined;
  /** `USER:PASSWORD`, or `USER` alone when the password is to be read from standard input. */
  readonly creds: string | undefined;
  /** Path of a signature policy; undefined leaves it to the environment, the user and the system. */
  readonly policy: string | undefined;
  readonly concurrency: number | undefined;
  /** Bytes per second. */
  readonly limitRate: number | undefined;
  /** Seconds. */
  readonly maxRetryAfter: number | undefined;
  /** Bounds on what is unpacked that differ from the defaults. */
  readonly limits: Partial<UnpackLimits>;
  /** What inflates gzip layers. */
  readonly inflate: InflateChoice;
  readonly progress: ProgressMode;
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Whether nothing is asked for that a daemon on the root may do otherwise, so that it can do the work. */
  readonly daemonMayPull: boolean;
  /** Where the values of options come from, also those of the command's own. */
  readonly origins: Origins;
}

export interface SettingsSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The effective user. */
  readonly uid: number;
}

/** What a daemon was told by its own options, or was not. */
const DAEMONS_OWN = [
  'additionalRoot',
  'snapshots',
  'hostsDir',
  'plainHttp',
  'insecure',
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
  return {
    root: path.resolve(flags.root ?? defaultRoot(around)),
    additionalRoots: (flags.additionalRoot ?? []).map((directory) => path.resolve(directory)),
    snapshots: flags.snapshots,
    hostsDirs: (flags.hostsDir ?? DEFAULT_HOSTS_DIRS).map((directory) => path.resolve(directory)),
    plainHttp: flags.plainHttp ?? false,
    insecure: flags.insecure ?? false,
    ca: flags.ca,
    authfile: flags.authfile,
    creds: flags.creds,
    policy: flags.policy,
    concurrency: flags.concurrency,
    limitRate: flags.limitRate,
    maxRetryAfter: flags.maxRetryAfter,
    limits: flags.unpackLimit ?? {},
    inflate: flags.inflate ?? 'auto',
    progress: flags.progress ?? 'auto',
    output: flags.output ?? 'text',
    logLevel: flags.logLevel ?? 'info',
    logFormat: flags.logFormat ?? 'text',
    daemonMayPull: DAEMONS_OWN.every((name) => isDaemonsToo(keyOfAttribute(name), origins)),
    origins,
  };
}

function typed(flags: GlobalFlags): Origins {
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  return new Map(given.map(([name]) => [keyOfAttribute(name), { from: 'option' }]));
}

/**
 * Whether a daemon has been told the same: it reads the system's file, and neither the user's nor what is in the environment of
 * whoever asks it.
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

/** For help texts. */
export const UNPACK_LIMIT_NAMES: readonly string[] = Object.values(NAMES);

/** `NAME=VALUE` of one limit, added to those that came before; the later of two of one name counts. */
export function collectLimit(text: string, before: Partial<UnpackLimits> = {}): Partial<UnpackLimits> {
  const [, name = '', digits = '', unit = ''] = /^([a-z-]+)=(\d{1,12})([KMGT]?)$/i.exec(text) ?? [];
  const limit = LIMITS_BY_NAME.get(name);
  const value = Number(digits) * (UNITS[unit.toUpperCase()] ?? 0);
  if (limit === undefined) {
    throw new InvalidArgumentError(
      `Write NAME=NUMBER, with one of the names ${UNPACK_LIMIT_NAMES.join(', ')}.`,
    );
  }
  if (value < 1 || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('It is not a positive whole number, such as 1000 or 20G.');
  }
  return { ...before, [limit]: value };
}
