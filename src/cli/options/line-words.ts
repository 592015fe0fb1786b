import type { Command, Option } from 'commander';

/** What the words of a command line are, as far as they go. */
export interface LineWords {
  /** The command that they name. */
  readonly command: Command | undefined;
  /** The words that are neither options nor values of options; the command's name is not among them. */
  readonly operands: readonly string[];
  /** The options that they have, with the values of each. */
  readonly options: ReadonlyMap<Option, readonly string[]>;
  /** The option that the word after them is the value of. */
  readonly awaiting: Option | undefined;
  /** Whether `--` said that only operands follow. */
  readonly optionsEnded: boolean;
}

/** Reads words as the parser does, but takes them as they are: a line that is being typed, or one that is wrong. */
export function readLine(program: Command, words: readonly string[]): LineWords {
  let command: Command | undefined;
  let awaiting: Option | undefined;
  let optionsEnded = false;
  const operands: string[] = [];
  const options = new Map<Option, readonly string[]>();
  const give = (option: Option, ...values: string[]): unknown =>
    options.set(option, [...(options.get(option) ?? []), ...values]);
  for (const word of words) {
    // An option whose value may be left out is no option's value.
    if (awaiting !== undefined && (awaiting.required || !word.startsWith('-'))) {
      give(awaiting, word);
      awaiting = undefined;
    } else if (optionsEnded || word === '-' || !word.startsWith('-')) {
      const named = operands.length === 0 && !optionsEnded ? commandOf(program, word) : undefined;
      if (command === undefined && named !== undefined) command = named;
      else operands.push(word);
    } else if (word === '--') {
      optionsEnded = true;
    } else {
      const { option, value } = optionOf(program, command, word);
      if (option !== undefined) give(option, ...(value === undefined ? [] : [value]));
      awaiting = option !== undefined && takesValue(option) && value === undefined ? option : undefined;
    }
  }
  return { command, operands, options, awaiting, optionsEnded };
}

/** The command of a name. */
export function commandOf(program: Command, name: string): Command | undefined {
  return program.commands.find((command) => command.name() === name);
}

/** All options that may stand on a line: the command's own come first. */
export function optionsOf(program: Command, command: Command | undefined): readonly Option[] {
  return [...(command?.options ?? []), ...program.options];
}

export function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

/** `--name`, `--name=value`, `-n`. */
function optionOf(
  program: Command,
  command: Command | undefined,
  word: string,
): { option: Option | undefined; value: string | undefined } {
  const [, name = word, value] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
  const option = optionsOf(program, command).find(({ long, short }) => long === name || short === name);
  return { option, value };
}
