import { isIP } from 'node:net';
import { Command, InvalidArgumentError, Option, type ParseOptionsResult } from 'commander';
import type { IdRange } from '../../unpack/index.js';
import { invalidConfig, keyOf, kindOf, unitOf } from '../config/settings.js';
import type { CommandContext, CommandResult } from '../output/command-context.js';

/** Runs a command that the line named; its file is loaded only then. */
export type RunCommand = (command: (context: CommandContext) => CommandResult) => Promise<void>;

/** Lines to type, and what they are for. */
export interface Examples {
  /** The job that they do; absent where the command itself says it. */
  readonly purpose?: string;
  /** Each as it is typed in a shell. */
  readonly lines: readonly string[];
}

/**
 * A command with its examples and the function that runs it. Its switches may be typed with a value,
 * `--plain-http=false`, so that one run can do without what a configuration file or the environment has
 * switched on, and `--no-referrers` as `--referrers` too; commander knows them only as they are written in
 * the help.
 */
export class LandfallCommand extends Command {
  /** They stand above the options in its help, and in its manual page. */
  exampleGroups: readonly Examples[] = [];
  readonly #run: RunCommand;

  constructor(name: string | undefined, run: RunCommand) {
    super(name);
    this.#run = run;
  }

  override createCommand(name?: string): LandfallCommand {
    return new LandfallCommand(name, this.#run);
  }

  examples(...lines: readonly string[]): this {
    this.exampleGroups = [{ lines }];
    return this;
  }

  platform(what: string): this {
    return this.option('--platform <platform>', `${what}, for example linux/arm64 (default: this machine's)`);
  }

  choice(flags: string, description: string, choices: readonly string[]): this {
    return this.addOption(new Option(flags, description).choices(choices));
  }

  /** Adds options that several commands have. */
  with<T extends readonly unknown[]>(add: (command: this, ...details: T) => void, ...details: T): this {
    add(this, ...details);
    return this;
  }

  /**
   * The function takes the words that were typed, the options where the command has some, and the context.
   */
  runs(load: () => Promise<(...given: never[]) => CommandResult>): this {
    return this.action((...typed: unknown[]) => {
      // The parser adds the command itself, and options even where there are none.
      const given = typed.slice(0, this.options.length === 0 ? -2 : -1);
      return this.#run(async (context) => (await load())(...([...given, context] as never[])));
    });
  }

  override parseOptions(argv: string[]): ParseOptionsResult {
    const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
    const typed = new Map<Option, boolean>();
    const words = argv.filter((word, at) => {
      const [, key, value] = /^--([^=]+?)(?:=(true|false))?$/.exec(at < end ? word : '') ?? [];
      const option = this.options.find((one) => keyOf(one) === key && kindOf(one) === 'switch');
      if (option === undefined || (value === undefined && !option.negate)) return true;
      // The last word on a switch counts, in whichever form.
      const rest = argv.slice(at, end);
      if (!rest.some((one) => one === option.long || one === option.short))
        typed.set(option, value !== 'false');
      return false;
    });
    const parsed = super.parseOptions(words);
    for (const [option, isOn] of typed) this.setOptionValueWithSource(option.attributeName(), isOn, 'cli');
    return parsed;
  }
}

/** A positive whole number of at most four digits. */
export function parsePositive(text: string): number {
  return positive(text, /^\d{1,4}$/);
}

/** A positive whole number of at most nine digits. */
export function parseLimit(text: string): number {
  return positive(text, /^\d{1,9}$/);
}

function positive(text: string, form: RegExp): number {
  const number = form.test(text) ? Number(text) : 0;
  if (number < 1) throw new InvalidArgumentError('It is not a positive whole number.');
  return number;
}

/** For options that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** Bytes per second as curl takes them: `500K`, `10M`. */
export function parseRate(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9}(?:\.\d{1,3})?)([KMG]?)$/i.exec(text) ?? [];
  const rate = Number(digits) * unitOf(unit);
  if (rate < 1) throw new InvalidArgumentError('It is not a number of bytes, such as 500K or 10M.');
  return Math.floor(rate);
}

export function examplesOf(command: Command): readonly Examples[] {
  return command instanceof LandfallCommand ? command.exampleGroups : [];
}

export interface ListenAt {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `127.0.0.1:5000`, `[::1]:5000`, `:5000` (all addresses) and `localhost:0` (a free port).
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseListen(text: string): ListenAt {
  const [, bracketed, plain, digits = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const valid = bracketed === undefined ? plain !== undefined : isIP(bracketed) === 6;
  if (!valid || port > 65_535) {
    throw invalidConfig(`${JSON.stringify(text)} is not an address to listen on`, {
      hint: `Write HOST:PORT, for example 127.0.0.1:5000 or [::1]:5000; port 0 takes a free one.`,
    });
  }
  const host = bracketed ?? plain ?? '';
  return { host: host === '' ? '0.0.0.0' : host, port };
}

export interface IdMapFlags {
  readonly uidMap?: readonly IdRange[];
  readonly gidMap?: readonly IdRange[];
}

/** The options of a command that gives what it unpacks to other owners than the image names. */
export function addIdMapOptions(command: Command): void {
  command
    .option(
      '--uid-map <container:host:size>',
      'give what belongs to these user IDs in the image to others; may be given several times',
      collectIdRange,
    )
    .option(
      '--gid-map <container:host:size>',
      'the same for group IDs; may be given several times',
      collectIdRange,
    );
}

/** `CONTAINER:HOST:SIZE` of one range, added to those that came before. */
export function collectIdRange(text: string, before: readonly IdRange[] = []): readonly IdRange[] {
  const [, container, host, size] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (container === undefined || host === undefined || size === undefined) {
    throw new InvalidArgumentError('Write CONTAINER:HOST:SIZE, for example 0:100000:65536.');
  }
  return [...before, { container: Number(container), host: Number(host), size: Number(size) }];
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** The words of a command line, by their roles. */
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

/**
 * Reads words as the parser does, but takes them as they are: a line that is being typed, or one that is
 * wrong.
 */
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
