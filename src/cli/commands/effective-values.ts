import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command, Option } from 'commander';
import { defaultConcurrency } from '../../engine/pull/pull-budget.js';
import { preferredSnapshotter } from '../../engine/store.js';
import { authFilePlaces } from '../../registry/auth/auth-file.js';
import { LIMITS, type UnpackLimit } from '../../spec/index.js';
import type { CommandContext } from '../output/command-context.js';
import { renderTable } from '../format/table.js';
import {
  type ConfigScope,
  describeOrigin,
  type GivenValue,
  keyOf,
  kindOf,
  LIMITS_BY_NAME,
  type Origin,
  refusalOf,
} from '../config/settings.js';
import { foundPolicy } from '../images/policy-of.js';

type SettingValue = string | number | boolean | readonly string[] | null;

/** What holds for one key. */
export interface EffectiveValue {
  readonly key: string;
  /** As it is typed. */
  readonly long: string;
  /** Null where there is none, and for a secret. */
  readonly value: SettingValue;
  readonly origin: Origin;
  /** Files that are used since none is named. */
  readonly found?: readonly string[];
  /** There is a value that is not to be shown. */
  readonly hidden?: true;
}

/** What a registry may ask for: src/registry/http/retry.ts. */
const DEFAULT_MAX_RETRY_AFTER_SECONDS = 120;

const DEFAULT: Origin = { from: 'default' };

/** The global settings, and after them those of commands that are set, or those of all. */
export async function effectiveValues(
  program: Command,
  context: CommandContext,
): Promise<readonly EffectiveValue[]> {
  const globals = await globalValues(program, context);
  return [...globals, ...program.commands.flatMap((command) => commandValues(command, context))];
}

async function globalValues(program: Command, context: CommandContext): Promise<EffectiveValue[]> {
  const { origins } = context.settings;
  const values = await valuesOf(context);
  const found = await foundFiles(context);
  return program.options.flatMap((option): EffectiveValue[] => {
    const key = keyOf(option);
    const long = option.long ?? '';
    const origin = origins.get(key) ?? DEFAULT;
    if (key === 'creds') return [credsValue(context, { key, long, origin })];
    // It is told where it is said: of the others there is nothing to tell.
    if (key === 'config' && origin.from !== 'default')
      return [{ key, long, value: pathOf(program.getOptionValue('config')), origin }];
    if (refusalOf('', option) !== undefined) return [];
    if (kindOf(option) === 'table') return limitValues(context, { key, long });
    const named = found.get(key);
    const isUsed = origin.from === 'default' && named !== undefined && named.length > 0;
    return [{ key, long, value: values.get(key) ?? null, origin, ...(isUsed ? { found: named } : {}) }];
  });
}

function credsValue(
  { settings }: CommandContext,
  value: Pick<EffectiveValue, 'key' | 'long' | 'origin'>,
): EffectiveValue {
  return { ...value, value: null, ...(settings.creds === undefined ? {} : { hidden: true }) };
}

/** By their keys, as the settings have them and with what is chosen where they leave it open. */
async function valuesOf({
  settings,
  configuration,
}: CommandContext): Promise<ReadonlyMap<string, SettingValue>> {
  const authfile = settings.authfile ?? configuration?.values.get('authfile')?.value;
  return new Map<string, SettingValue>([
    ['root', settings.root],
    ['additional-root', settings.additionalRoots],
    ['snapshots', settings.snapshots ?? (await preferredSnapshotter())],
    ['hosts-dir', settings.hostsDirs],
    ['plain-http', settings.plainHttp],
    ['insecure', settings.insecure],
    ['ca', pathOf(settings.ca)],
    ['authfile', pathOf(authfile)],
    ['policy', pathOf(settings.policy)],
    ['concurrency', settings.concurrency ?? defaultConcurrency()],
    ['limit-rate', settings.limitRate ?? null],
    ['max-retry-after', settings.maxRetryAfter ?? DEFAULT_MAX_RETRY_AFTER_SECONDS],
    ['inflate', settings.inflate],
    ['progress', settings.progress],
    ['output', settings.output],
    ['log-level', settings.logLevel],
    ['log-format', settings.logFormat],
  ]);
}

function limitValues(
  { settings }: CommandContext,
  { key, long }: Pick<EffectiveValue, 'key' | 'long'>,
): EffectiveValue[] {
  const valueOf = (limit: UnpackLimit): number => settings.limits[limit] ?? LIMITS[limit];
  return [...LIMITS_BY_NAME].map(([name, limit]) => ({
    key: `${key}.${name}`,
    long: `${long} ${name}`,
    value: valueOf(limit),
    origin: settings.origins.get(`${key}.${name}`) ?? DEFAULT,
  }));
}

/** The files that are used where no option names one. */
async function foundFiles(context: CommandContext): Promise<ReadonlyMap<string, readonly string[]>> {
  const { env, uid, settings } = context;
  const policy = settings.policy === undefined ? await foundPolicy(context) : undefined;
  return new Map([
    ['authfile', authFilePlaces({ env, uid }).paths.filter((path) => existsSync(path))],
    ['policy', policy === undefined ? [] : [policy.file.path]],
  ]);
}

function commandValues(command: Command, { configuration }: CommandContext): EffectiveValue[] {
  const options = command.options.filter((option) => refusalOf(command.name(), option) === undefined);
  return options.map((option: Option) => {
    const key = `${command.name()}.${keyOf(option)}`;
    const given = configuration?.values.get(key);
    return {
      key,
      long: option.long ?? '',
      value: given === undefined ? unsetValue(option) : settingValue(given),
      origin: given?.origin ?? DEFAULT,
    };
  });
}

function unsetValue(option: Option): SettingValue {
  return kindOf(option) === 'switch' ? option.negate : null;
}

/** What the parser made of it; where that is more than text, what it was made of. */
function settingValue({ value, texts = [] }: GivenValue): SettingValue {
  if (Array.isArray(value)) {
    const made = value.filter((one) => typeof one === 'string');
    return (made.length === value.length ? made : texts).map(withoutUser);
  }
  if (typeof value === 'string') return withoutUser(value);
  return typeof value === 'number' || typeof value === 'boolean' ? value : null;
}

/** A registry may be written with a password before it, where it does not belong. */
function withoutUser(text: string): string {
  return text.replace(/^((?:[a-z]+:\/\/)?)[^/]*:[^/]*@/i, '$1***@');
}

function pathOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? resolve(value) : null;
}

/** A place of a configuration file, and what became of it. */
export interface ConfigFileFacts {
  readonly path: string;
  readonly scope: ConfigScope;
  readonly state: 'read' | 'absent' | 'faulty';
}

/** In the order of their weight, the one that counts most last. */
export function configFileFacts({ configuration }: CommandContext): readonly ConfigFileFacts[] {
  const faulty = new Set(configuration?.faults.map(({ details }) => details['file']));
  return (configuration?.places ?? []).map(({ path, scope, isThere }) => ({
    path,
    scope,
    state: faulty.has(path) ? 'faulty' : isThere ? 'read' : 'absent',
  }));
}

const WHOSE: Readonly<Record<ConfigScope, string>> = {
  system: "the system's",
  user: "the user's",
  named: 'the one that is named',
};

const STATES: Readonly<Record<ConfigFileFacts['state'], string>> = {
  read: 'is read',
  absent: 'is not there',
  faulty: 'cannot be used as it is',
};

export function renderConfigFiles(files: readonly ConfigFileFacts[]): string {
  return renderTable(
    [{ title: 'FILE' }, { title: 'WHOSE' }, { title: 'STATE' }],
    files.map(({ path, scope, state }) => [path, WHOSE[scope], STATES[state]]),
  );
}

export function renderSettings(settings: readonly EffectiveValue[]): string {
  return renderTable(
    [{ title: 'KEY' }, { title: 'VALUE' }, { title: 'FROM' }],
    settings.map((setting) => [
      setting.key,
      valueTexts(setting).join(', ') || '-',
      setting.found === undefined ? describeOrigin(setting.origin, setting.long) : 'found',
    ]),
  );
}

/** The value as it would be typed: a list one by one, nothing where there is none. */
export function valueTexts({ key, value, found, hidden }: EffectiveValue): readonly string[] {
  if (hidden === true) return ['(not shown)'];
  if (found !== undefined) return found;
  if (value === null) return [''];
  if (typeof value === 'number') return [numberText(key, value)];
  return Array.isArray(value) ? (value as readonly string[]) : [String(value)];
}

/** One setting for programs. */
export interface SettingFacts {
  readonly key: string;
  readonly value: SettingValue;
  readonly from: 'option' | 'environment' | 'file' | 'default';
  readonly option?: string;
  readonly variable?: string;
  readonly file?: string;
  readonly line?: number;
  readonly scope?: ConfigScope;
  readonly found?: readonly string[];
  readonly hidden?: true;
}

export function settingFacts({ key, long, value, origin, found, hidden }: EffectiveValue): SettingFacts {
  return {
    key,
    value,
    from: origin.from,
    ...(origin.from === 'option' ? { option: long.split(' ')[0] ?? long } : {}),
    ...(origin.from === 'environment' ? { variable: origin.variable } : {}),
    ...(origin.from === 'file' ? { file: origin.path, line: origin.line(), scope: origin.scope } : {}),
    ...(found === undefined ? {} : { found }),
    ...(hidden === undefined ? {} : { hidden }),
  };
}

const UNITS = ['T', 'G', 'M', 'K'] as const;
/** What is smaller is read more easily as it is. */
const LEAST_WITH_UNIT = 64 * 1024;

/** Exact: a size with a unit only where that says all of it. */
function numberText(key: string, value: number): string {
  if (!/(?:bytes|rate|size)$/.test(key) || value < LEAST_WITH_UNIT) return String(value);
  for (const [at, unit] of UNITS.entries()) {
    const size = 1024 ** (UNITS.length - at);
    if (value % size === 0) return `${value / size}${unit}`;
  }
  return String(value);
}
