import type { Command } from 'commander';
import { LandfallError } from '../../errors.js';
import { quoted } from '../../spec/quoted.js';
import { answer, type CommandContext, type CommandResult, reportError } from '../command-context.js';
import { configTemplate } from '../config/template.js';
import { type EffectiveValue, effectiveValues } from '../config/effective-values.js';
import {
  configFileFacts,
  renderConfigFiles,
  renderSettings,
  settingFacts,
  valueTexts,
} from '../config/render-config.js';
import { exitCodeOf } from '../exit-codes.js';
import { printable } from '../format/printable.js';
import { variablesOf } from '../option-variables.js';
import { suggest } from '../suggest.js';

export interface ConfigFlags {
  readonly files?: boolean;
  readonly template?: boolean;
  readonly quiet?: boolean;
}

export interface ConfigOptions {
  /** The whole command line, whose options are the keys. */
  readonly program: Command;
  readonly context: CommandContext;
}

/** Explains also what is wrong: then all that holds is shown, and the faults are told. */
export async function configCommand(
  keys: readonly string[],
  flags: ConfigFlags,
  { program, context }: ConfigOptions,
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
  if (asked.length > 1) {
    throw new LandfallError('INVALID_CONFIG', `${asked.join(' and ')} exclude each other`, {
      hint: 'Use one of them.',
    });
  }
  if (quiet === true && (files === true || template === true)) {
    throw new LandfallError('INVALID_CONFIG', `--quiet and ${asked.join('')} exclude each other`, {
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
    throw new LandfallError('INVALID_CONFIG', `there is no key ${quoted(wanted)}`, {
      hint: `${meant === undefined ? '' : `Did you mean ${meant}? `}\`landfall config --template\` shows all keys.`,
    });
  });
}
