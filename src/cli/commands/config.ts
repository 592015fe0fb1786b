import type { Command, Option } from 'commander';
import { quoted } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult, reportError } from '../output/command-context.js';
import {
  configFileFacts,
  type EffectiveValue,
  effectiveValues,
  renderConfigFiles,
  renderSettings,
  settingFacts,
  valueTexts,
} from './effective-values.js';
import { variablesOf } from '../config/configuration.js';
import { exitCodeOf } from '../output/exit-codes.js';
import { printable, wrapWords } from '../format/table.js';
import { invalidConfig, keyOf, kindOf, type OptionKind, refusalOf } from '../config/settings.js';
import { suggest } from '../config/suggest.js';

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
  const files = configFileFacts(context);
  if (flags.files === true) {
    answer(context, { files }, () => renderConfigFiles(files));
  } else {
    const settings = chosen(await effectiveValues(program, context), keys, program);
    answer(context, { files, settings: settings.map(settingFacts) }, () =>
      flags.quiet === true
        ? settings
            .flatMap(valueTexts)
            .map((text) => `${context.stdout.isTTY === true ? printable(text) : text}\n`)
            .join('')
        : renderSettings(settings),
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

/** What an option may be given, by what its help calls it; anything else is a word. */
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
