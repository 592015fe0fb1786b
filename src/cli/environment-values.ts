import { type Command, InvalidArgumentError, type Option } from 'commander';
import { LandfallError } from '../errors.js';
import type { GivenValue } from './given-value.js';
import { keyOf, kindOf, parseTexts } from './option-kind.js';
import { variablesOf } from './option-variables.js';

const SWITCHES: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
]);

/**
 * What the environment says of the global options that were not typed. An empty variable counts as unset.
 *
 * @param report is given what cannot be: INVALID_CONFIG
 */
export function environmentValues(
  program: Command,
  env: Readonly<Record<string, string | undefined>>,
  report: (fault: LandfallError) => void,
): readonly GivenValue[] {
  return program.options.flatMap((option) => {
    const variable = variablesOf(option).find((name) => (env[name] ?? '') !== '');
    // Where several limits have names, those that were not typed are still to be had.
    if (variable === undefined || (isTyped(program, option) && kindOf(option) !== 'table')) return [];
    try {
      return valuesIn(option, variable, env[variable] ?? '');
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      report(fault(option, variable, env[variable] ?? '', error));
      return [];
    }
  });
}

/** Whether the option stands on the command line. */
export function isTyped(command: Command, option: Option): boolean {
  return command.getOptionValueSource(option.attributeName()) === 'cli';
}

function valuesIn(option: Option, variable: string, text: string): GivenValue[] {
  const key = keyOf(option);
  const origin = { from: 'environment', variable } as const;
  switch (kindOf(option)) {
    case 'switch': {
      const value = SWITCHES.get(text.toLowerCase());
      if (value === undefined) throw new InvalidArgumentError('It is neither true nor false.');
      return [{ key, option, value, origin }];
    }
    case 'list': {
      // As in PATH; none of the lists of global options has colons in its elements.
      const texts = text.split(':').filter((part) => part !== '');
      return texts.length === 0 ? [] : [{ key, option, value: parseTexts(option, texts), origin }];
    }
    case 'table':
      return text
        .split(',')
        .filter((part) => part !== '')
        .map((part) => {
          const value = parseTexts(option, [part]);
          return { key: `${key}.${part.split('=')[0] ?? ''}`, option, value, origin };
        });
    case 'choice':
    case 'number':
    case 'text':
      return [{ key, option, value: parseTexts(option, [text]), origin }];
  }
}

function fault(
  option: Option,
  variable: string,
  text: string,
  { message }: InvalidArgumentError,
): LandfallError {
  const choices = kindOf(option) === 'switch' ? ['true', 'false'] : option.argChoices;
  return new LandfallError('INVALID_CONFIG', `${variable} is ${text}`, {
    hint:
      choices === undefined
        ? `${message} Set it otherwise, or unset it.`
        : `Set it to ${choices.join(' or ')}, or unset it.`,
    details: { variable },
  });
}
