import type { Command, Option } from 'commander';
import { groupCommands } from '../help-groups.js';
import { type LineWords, optionsOf, readLine, takesValue } from '../line-words.js';
import { type Completions, type CompletionWord, NOTHING, prefixed } from './completions.js';
import type { StoreNames } from './store-names.js';
import { argumentValues, optionValues } from './value-words.js';

/**
 * What may stand where a word is being typed.
 *
 * @param words of the line, without the program's name; the last is the one that is being typed, empty where none is yet
 */
export async function complete(
  program: Command,
  words: readonly string[],
  names: StoreNames,
): Promise<Completions> {
  const typed = words.at(-1) ?? '';
  const line = readLine(program, words.slice(0, -1));
  if (line.awaiting !== undefined && (line.awaiting.required || !typed.startsWith('-'))) {
    return optionValues(line.awaiting, typed, names);
  }
  if (!line.optionsEnded && typed.startsWith('-')) return optionWords(program, line, typed, names);
  if (line.command !== undefined) return argumentWords(line.command, line, typed, names);
  const [first, ...others] = line.operands;
  if (first === undefined) return commandWords(program, [...program.commands, helpCommand(program)]);
  return first === 'help' && others.length === 0 ? commandWords(program, program.commands) : NOTHING;
}

function helpCommand(program: Command): Command {
  return program.createCommand('help').summary('show the help of a command');
}

function commandWords(program: Command, commands: readonly Command[]): Completions {
  const visible = new Set(
    program
      .createHelp()
      .visibleCommands(program)
      .map((command) => command.name()),
  );
  const shown = groupCommands(commands.filter((command) => visible.has(command.name())));
  return {
    words: shown.flatMap(({ members }) =>
      members.map((command) => ({ word: command.name(), description: command.summary() })),
    ),
  };
}

async function argumentWords(
  command: Command,
  { operands }: LineWords,
  typed: string,
  names: StoreNames,
): Promise<Completions> {
  const known = command.registeredArguments;
  const last = known.at(-1);
  const argument = known[operands.length] ?? (last?.variadic === true ? last : undefined);
  if (argument === undefined) return NOTHING;
  const { words, paths } = await argumentValues(command, argument, typed, names);
  // Nobody names the same image twice.
  return { words: words.filter(({ word }) => !operands.includes(word)), paths };
}

async function optionWords(
  program: Command,
  line: LineWords,
  typed: string,
  names: StoreNames,
): Promise<Completions> {
  const known = optionsOf(program, line.command).filter(({ hidden }) => !hidden);
  const [, name, value] = /^(--[^=]+)=(.*)$/s.exec(typed) ?? [];
  if (name !== undefined && value !== undefined) {
    const option = known.find(({ long }) => long === name);
    if (option === undefined || !takesValue(option)) return NOTHING;
    return prefixed(`${name}=`, await optionValues(option, value, names));
  }
  const left = known.filter((option) => !line.options.has(option) || isRepeatable(option));
  const help: CompletionWord[] = [
    { word: '--help', description: 'show this help' },
    ...(typed === '-' ? [{ word: '-h', description: 'show this help' }] : []),
  ];
  return { words: [...left.flatMap((option) => flagsOf(option, typed)), ...help] };
}

/** The short form too, while nothing tells which of both is meant. */
function flagsOf({ long, short, description }: Option, typed: string): CompletionWord[] {
  const flags = [
    ...(long === undefined ? [] : [long]),
    ...(typed === '-' && short !== undefined ? [short] : []),
  ];
  return flags.map((word) => ({ word, description: brief(description) }));
}

function isRepeatable({ description }: Option): boolean {
  return description.includes('several times');
}

/** A description up to where it goes into detail. */
function brief(description: string): string {
  return description.split(/; | \(|: /)[0] ?? '';
}
