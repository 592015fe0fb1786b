import { homedir } from 'node:os';
import type { Command, Option } from 'commander';
import type { Surroundings } from '../output/command-context.js';
import { groupCommands } from '../options/help.js';
import { type LineWords, optionsOf, readLine, takesValue } from '../options/options.js';
import type { GlobalFlags } from '../config/settings.js';
import {
  argumentValues,
  type Completions,
  type CompletionWord,
  NOTHING,
  optionValues,
  prefixed,
  renderCompletions,
  StoreNames,
} from './value-words.js';

/**
 * The words that may stand where a word is being typed.
 *
 * @param words of the line, without the program's name; the last is the one that is being typed, empty where
 *   none is yet
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
  // Naming the same image twice has no use.
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

/** The options that say which stores a command uses. */
const WHICH_STORES: readonly string[] = ['--root', '--additional-root', '--config'];

/**
 * Answers a shell that asks what may stand where a word is being typed. It says nothing at all where
 * something is wrong: an error would stand in the middle of the line that is being typed.
 *
 * @param words see {@link complete}
 * @param createProgram makes the command line that is completed
 */
export async function answerCompletion(
  words: readonly string[],
  around: Surroundings,
  createProgram: () => Command,
): Promise<void> {
  try {
    const program = createProgram();
    const names = new StoreNames(() => rootsOf(program, words.slice(0, -1), around));
    const found = await complete(program, words, names);
    around.stdout.write(renderCompletions(found, words.at(-1) ?? ''));
  } catch {
    // See above.
  }
}

/** The stores that the command would use, as the line, the environment and configuration files say. */
async function rootsOf(
  program: Command,
  words: readonly string[],
  around: Surroundings,
): Promise<readonly string[]> {
  const [{ Configuration }, { resolveSettings }] = await Promise.all([
    import('../config/configuration.js'),
    import('../config/settings.js'),
  ]);
  for (const [option, values] of readLine(program, words).options) {
    if (!WHICH_STORES.includes(option.long ?? '')) continue;
    const paths = values.map((value) => withoutTilde(value, around));
    const value = option.parseArg === undefined ? paths.at(-1) : paths;
    program.setOptionValueWithSource(option.attributeName(), value, 'cli');
  }
  (await Configuration.read(program, around)).apply(program);
  const { root, additionalRoots } = resolveSettings(program.opts<GlobalFlags>(), around);
  return [root, ...additionalRoots];
}

/** A line that is being typed has not been expanded yet. */
function withoutTilde(path: string, { env }: Surroundings): string {
  return path.replace(/^(?:~|\$HOME|\$\{HOME\})(?=\/|$)/, () => env['HOME'] ?? homedir());
}
