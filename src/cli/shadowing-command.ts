import type { Command, ParseOptionsResult } from 'commander';
import { commandOf, readLine } from './line-words.js';
import { SwitchCommand } from './switch-command.js';

/** Begins a word that is no option of anybody, so that it is left to the command. No shell can pass it on. */
const LEFT = '-\0';

/**
 * A program whose commands may have an option of the same name as one of its own. Behind such a command's name the word is the
 * command's: `landfall --config FILE inspect --config REF`. The parser alone would take both for the program's.
 */
export class ShadowingCommand extends SwitchCommand {
  override parseOptions(argv: string[]): ParseOptionsResult {
    const own = shadowed(this, argv);
    if (own.size === 0) return super.parseOptions(argv);
    const start = nameAt(this, argv);
    const end = argv.indexOf('--');
    const words = argv.map((word, at) => {
      const isOption = at > start && (end < 0 || at < end);
      return isOption && own.has(word.split('=')[0] ?? '') ? `${LEFT}${word}` : word;
    });
    const { operands, unknown } = super.parseOptions(words);
    return { operands, unknown: unknown.map(restored) };
  }
}

/** The flags that both the program and the command have that the words name. */
function shadowed(program: Command, argv: readonly string[]): ReadonlySet<string> {
  const { command } = readLine(program, argv);
  const flags = (one: Command | undefined): string[] =>
    (one?.options ?? []).flatMap(({ long, short }) => [long, short].filter((flag) => flag !== undefined));
  const own = new Set(flags(command));
  return new Set(flags(program).filter((flag) => own.has(flag)));
}

/** Where the command's name stands: the first word by which there is a command. */
function nameAt(program: Command, argv: readonly string[]): number {
  return argv.findIndex((_, at) => {
    const { command, awaiting } = readLine(program, argv.slice(0, at + 1));
    return command !== undefined && awaiting === undefined && commandOf(program, argv[at] ?? '') === command;
  });
}

function restored(word: string): string {
  return word.startsWith(LEFT) ? word.slice(LEFT.length) : word;
}
