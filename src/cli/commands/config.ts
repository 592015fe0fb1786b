import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command, Option } from 'commander';
import { defaultConcurrency } from '../../engine/pull/pull-budget.js';
import { preferredSnapshotter } from '../../engine/store.js';
import { authFilePlaces } from '../../registry/index.js';
import { LIMITS, quoted, type UnpackLimit } from '../../spec/index.js';
import { variablesOf } from '../config/configuration.js';
import {
  type ConfigScope,
  describeOrigin,
  type GivenValue,
  invalidConfig,
  keyOf,
  kindOf,
  LIMITS_BY_NAME,
  type OptionKind,
  type Origin,
  refusalOf,
} from '../config/settings.js';
import { suggest } from '../config/suggest.js';
import { printable, renderTable, type TableOptions, wrapWords } from '../format/text.js';
import { foundPolicy } from '../images/with-store.js';
import { answer, type CommandContext, type CommandResult, reportError } from '../output/command-context.js';
import { exitCodeOf } from '../output/exit-codes.js';
import { tableWidth } from '../output/terminal.js';

export interface ConfigFlags {
  readonly files?: boolean;
  readonly template?: boolean;
  readonly quiet?: boolean;
}

/**
 * Explains also what is wrong: then all that holds is shown, and the faults are told.
 *
 * @param program the whole command line, whose options are the keys
 */
export async function configCommand(
  keys: readonly string[],
  flags: ConfigFlags,
  context: CommandContext,
  program: Command,
): CommandResult {
  refuseTogether(keys, flags);
  if (flags.template === true) {
    context.stdout.write(configTemplate(program));
    return 0;
  }
  const files = configFileInfo(context);
  if (flags.files === true) {
    answer(context, { files }, () =>
      renderConfigFiles(files, { width: tableWidth(context.stdout, context.env) }),
    );
  } else {
    const settings = chosen(await effectiveValues(program, context), keys, program);
    answer(context, { files, settings: settings.map(settingInfo) }, () =>
      flags.quiet === true
        ? settings
            .flatMap(valueTexts)
            .map((text) => `${context.stdout.isTTY === true ? printable(text) : text}\n`)
            .join('')
        : renderSettings(settings, { width: tableWidth(context.stdout, context.env) }),
    );
  }
  warnOfUnknownVariables(program, context);
  const faults = context.configuration?.faults ?? [];
  for (const fault of faults) reportError(context, fault);
  return faults.length === 0 ? 0 : exitCodeOf(faults[0]);
}

/** Of a variable that is mistyped nothing else tells. */
function warnOfUnknownVariables(program: Command, { env, log }: CommandContext): void {
  const known = program.options.flatMap(variablesOf);
  for (const name of Object.keys(env).filter((one) => one.startsWith('LANDFALL_') && !known.includes(one))) {
    const [meant] = suggest(name, known);
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    log.warn(`the variable ${name} stands for no option${hint}`);
  }
}

function refuseTogether(keys: readonly string[], { files, template, quiet }: ConfigFlags): void {
  const asked = [
    ...(keys.length > 0 ? ['KEY'] : []),
    ...(files === true ? ['--files'] : []),
    ...(template === true ? ['--template'] : []),
  ];
  if (asked.length > 1)
    throw invalidConfig(`${asked.join(' and ')} exclude each other`, { hint: 'Use one of them.' });
  if (quiet === true && (files === true || template === true)) {
    throw invalidConfig(`--quiet and ${asked.join('')} exclude each other`, {
      hint: 'Use --quiet for values.',
    });
  }
}

/**
 * Those of the keys, in their order; without any the global ones, and of the commands' those that are set.
 *
 * @throws {LandfallError} INVALID_CONFIG for a key that there is not
 */
function chosen(
  values: readonly EffectiveValue[],
  keys: readonly string[],
  program: Command,
): readonly EffectiveValue[] {
  const names = new Set(program.commands.map((command) => command.name()));
  const isCommands = ({ key }: EffectiveValue): boolean =>
    names.has(key.split('.')[0] ?? '') && key.includes('.');
  if (keys.length === 0)
    return values.filter((value) => value.origin.from !== 'default' || !isCommands(value));
  return keys.flatMap((wanted) => {
    const found = values.filter(({ key }) => key === wanted || key.startsWith(`${wanted}.`));
    if (found.length > 0) return found;
    const known = new Set(values.flatMap(({ key }) => [key, key.split('.')[0] ?? '']));
    const [meant] = suggest(wanted, [...known]);
    throw invalidConfig(`there is no key ${quoted(wanted)}`, {
      hint: `${meant === undefined ? '' : `Did you mean ${meant}? `}\`landfall config --template\` shows all keys.`,
    });
  });
}

const HEAD = [
  "# landfall's configuration: docs/configuration.md says where it lies and what counts more than it.",
  '# `landfall config` shows what holds, and where each value comes from.',
  '#',
  '# A line that begins with # says nothing. Take the # away before a key, and before the [table] that it stands in.',
];

const WIDTH = 100;

/** Sample values of options, by the placeholder in their help; other options take a word. */
const SAMPLES: Readonly<Record<string, string>> = {
  bytes: '10M',
  'container:host:size': '0:100000:65536',
  dir: '/path/to/directory',
  duration: '24h',
  file: '/path/to/file',
  'host:port': '127.0.0.1:5000',
  pattern: 'registry.k8s.io/*',
  platform: 'linux/arm64',
  platforms: 'linux/arm64',
  registry: 'quay.io',
  size: '20G',
  address: 'unix:///run/landfall/landfall.sock',
};

/** A configuration file that sets nothing and shows every key, with the words of `--help`. */
export function configTemplate(program: Command): string {
  const tables = program.commands.flatMap((command) => {
    const keys = keyLines(command, command.name());
    return keys.length === 0
      ? []
      : [['', `# Of \`landfall ${command.name()}\`.`, `#[${command.name()}]`], ...keys];
  });
  return `${[HEAD, ...keyLines(program, ''), ...tables].flat().join('\n')}\n`;
}

/** For each key its help and a line that sets it. */
function keyLines(command: Command, name: string): string[][] {
  return command.options
    .filter((option) => !option.hidden && refusalOf(name, option) === undefined)
    .map((option) => [
      '',
      ...wrapWords(option.description, WIDTH).map((line) => `# ${line}`),
      `#${keyOf(option)} = ${sampleOf(option, kindOf(option))}`,
    ]);
}

/** A value of the kind that the option takes, in TOML. */
function sampleOf(option: Option, kind: OptionKind): string {
  const [, placeholder = ''] = /[<[](.*?)[\]>]/.exec(option.flags) ?? [];
  const text = JSON.stringify(SAMPLES[placeholder] ?? placeholder);
  switch (kind) {
    case 'switch':
      return String(!option.negate);
    case 'choice':
      return JSON.stringify(option.argChoices?.[0] ?? '');
    case 'number':
      return placeholder in SAMPLES ? text : '8';
    case 'text':
      return text;
    case 'list':
      return `[${text}]`;
    case 'table':
      return '{ layer-bytes = "20G", entries-per-layer = 500000 }';
  }
}

type SettingValue = string | number | boolean | readonly string[] | null;

/** The value that holds for one key. */
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

/** The default of src/registry/http/retry.ts. */
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
    // Only a file that was named has a value to show.
    if (key === 'config' && origin.from !== 'default')
      return [{ key, long, value: pathOf(program.getOptionValue('config')), origin }];
    if (refusalOf('', option) !== undefined) return [];
    if (kindOf(option) === 'table') return limitValues(context, { key, long });
    const named = found.get(key);
    const isUsed = origin.from === 'default' && named !== undefined && named.length > 0;
    return [
      {
        key,
        long,
        value: (values[option.attributeName()] ?? null) as SettingValue,
        origin,
        ...(isUsed ? { found: named } : {}),
      },
    ];
  });
}

function credsValue(
  { settings }: CommandContext,
  value: Pick<EffectiveValue, 'key' | 'long' | 'origin'>,
): EffectiveValue {
  return { ...value, value: null, ...(settings.creds === undefined ? {} : { hidden: true }) };
}

/** By their attributes, as the settings have them and with what is chosen where they leave it open. */
async function valuesOf({
  settings,
  configuration,
}: CommandContext): Promise<Readonly<Record<string, unknown>>> {
  return {
    ...settings,
    additionalRoot: settings.additionalRoots,
    snapshots: settings.snapshots ?? (await preferredSnapshotter()),
    hostsDir: settings.hostsDirs,
    ca: pathOf(settings.ca),
    authfile: pathOf(settings.authfile ?? configuration?.values.get('authfile')?.value),
    policy: pathOf(settings.policy),
    concurrency: settings.concurrency ?? defaultConcurrency(),
    maxRetryAfter: settings.maxRetryAfter ?? DEFAULT_MAX_RETRY_AFTER_SECONDS,
  };
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

/** The parsed value; where that is more than text, the text. */
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
export interface ConfigFileInfo {
  readonly path: string;
  readonly scope: ConfigScope;
  readonly state: 'read' | 'absent' | 'faulty';
}

/** In the order of their weight, the one that counts most last. */
export function configFileInfo({ configuration }: CommandContext): readonly ConfigFileInfo[] {
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

const STATES: Readonly<Record<ConfigFileInfo['state'], string>> = {
  read: 'is read',
  absent: 'is not there',
  faulty: 'cannot be used as it is',
};

export function renderConfigFiles(files: readonly ConfigFileInfo[], options: TableOptions = {}): string {
  return renderTable(
    [{ title: 'FILE', shrinks: true, keeps: 'end' }, { title: 'WHOSE' }, { title: 'STATE' }],
    files.map(({ path, scope, state }) => [path, WHOSE[scope], STATES[state]]),
    options,
  );
}

export function renderSettings(settings: readonly EffectiveValue[], options: TableOptions = {}): string {
  return renderTable(
    [
      { title: 'KEY' },
      { title: 'VALUE', shrinks: true, keeps: 'end' },
      { title: 'FROM', shrinks: true, keeps: 'end' },
    ],
    settings.map((setting) => [
      setting.key,
      valueTexts(setting).join(', ') || '-',
      setting.found === undefined ? describeOrigin(setting.origin, setting.long) : 'found',
    ]),
    options,
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
export interface SettingInfo {
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

export function settingInfo({ key, long, value, origin, found, hidden }: EffectiveValue): SettingInfo {
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
/** Smaller numbers are read more easily without a unit. */
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
