import type { Command } from 'commander';
import { keyOf } from '../option-kind.js';
import { suggest } from '../suggest.js';
import { refusalOf } from './refused-options.js';

const ALL = '`landfall config --template` shows all keys.';
/** More would not be read. */
const MOST_NAMED = 3;

/** What somebody may have meant by a key that is none of the command's, or of the global options where it is the program's. */
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
