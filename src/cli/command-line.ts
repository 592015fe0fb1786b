import { type Command, CommanderError } from 'commander';
import type { LandfallError } from '../errors.js';
import { type CommandContext, reportError, type Surroundings } from './output/command-context.js';
import { Configuration } from './config/configuration.js';
import { type ExitCode, exitCodeOf } from './output/exit-codes.js';
import { Log } from './output/log.js';
import {
  type GlobalFlags,
  type Origins,
  OUTPUT_FORMATS,
  type OutputFormat,
  resolveSettings,
  type Settings,
  withOrigins,
} from './config/settings.js';
import { createProgram } from './program.js';
import { columnsOf, wantsColor } from './output/terminal.js';

/**
 * They work where a configuration file is broken: one explains what is wrong, the other has no use for
 * settings.
 */
const WORKS_UNCONFIGURED: ReadonlySet<string> = new Set(['config', 'completion']);

/** The words of one command line, and what they mean. */
export class CommandLine {
  readonly #argv: readonly string[];
  readonly #surroundings: Surroundings;
  readonly #program: Command;
  #outcome: ExitCode = 0;
  #configuration: Configuration | undefined;
  #origins: Origins = new Map();

  /** @param argv without the interpreter and the script */
  constructor(argv: readonly string[], surroundings: Surroundings, signal: AbortSignal) {
    this.#argv = argv;
    this.#surroundings = surroundings;
    this.#program = createProgram(async (command) => {
      this.#outcome = await command(this.#context(signal));
    });
    // Help is answered before that, so that no broken file prevents it.
    this.#program.hook('preAction', (_, command) => this.#configure(command));
    writeTo(this.#program, surroundings);
  }

  /** Runs the command that it names; never throws. */
  async run(): Promise<ExitCode> {
    try {
      if (this.#argv.includes('help')) await this.#refuseUnknownTopic();
      await this.#program.parseAsync(withoutHelpOnHelp(this.#argv), { from: 'user' });
      return this.#outcome;
    } catch (error) {
      // A file may say in which form errors are reported.
      if (isWrongUsage(error)) await this.#readConfiguration(this.#program);
      return this.failed(
        isWrongUsage(error) ? await this.#explained(error) : withOrigins(error, this.#origins),
      );
    }
  }

  /** Gives the options that were not typed what files and the environment say. */
  async #configure(command: Command): Promise<void> {
    const [fault] = (await this.#readConfiguration(command)).faults;
    if (fault !== undefined && !WORKS_UNCONFIGURED.has(command.name())) throw fault;
  }

  async #readConfiguration(command: Command): Promise<Configuration> {
    const configuration = await Configuration.read(this.#program, this.#surroundings);
    this.#configuration = configuration;
    this.#origins = configuration.apply(this.#program, command);
    return configuration;
  }

  async #refuseUnknownTopic(): Promise<void> {
    const { unknownTopic } = await import('./options/usage-error.js');
    const error = unknownTopic(this.#program, this.#argv);
    if (error !== undefined) throw error;
  }

  async #explained(error: CommanderError): Promise<LandfallError> {
    const { usageError } = await import('./options/usage-error.js');
    return usageError(error, this.#program, this.#argv);
  }

  /** Reports a failure in the form that the line asks for, and gives its exit code. */
  failed(error: unknown): ExitCode {
    // Help and version come this way too.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // No command was named: the help that stands on standard error already is the message.
    if (error instanceof CommanderError && error.code === 'commander.help') return 2;
    const flags = this.#program.opts<GlobalFlags>();
    const output = typedOutput(this.#argv) ?? flags.output ?? 'text';
    const settings = resolveSettings({ ...flags, output }, this.#surroundings, this.#origins);
    reportError(this.#reporting(settings), error);
    return exitCodeOf(error);
  }

  #context(signal: AbortSignal): CommandContext {
    const flags = this.#program.opts<GlobalFlags>();
    const settings = resolveSettings(flags, this.#surroundings, this.#origins);
    const configuration = this.#configuration;
    return {
      ...this.#surroundings,
      ...this.#reporting(settings),
      ...(configuration === undefined ? {} : { configuration }),
      signal,
    };
  }

  #reporting(settings: Settings): Pick<CommandContext, 'settings' | 'log'> {
    const { stderr, env } = this.#surroundings;
    const color = wantsColor(stderr, env);
    return {
      settings,
      log: new Log(settings.logLevel, (text) => stderr.write(text), settings.logFormat, color),
    };
  }
}

/** A line that the parser refuses; help and version come as its errors too. */
function isWrongUsage(error: unknown): error is CommanderError {
  return error instanceof CommanderError && error.exitCode !== 0 && error.code !== 'commander.help';
}

/**
 * `help help` is `help`: the parser would look for a command of that name, and call what it shows then an
 * error.
 */
function withoutHelpOnHelp(argv: readonly string[]): string[] {
  return argv[0] === 'help' && argv[1] === 'help' ? argv.slice(1) : [...argv];
}

function writeTo(program: Command, { stdout, stderr, env }: Surroundings): void {
  for (const command of [program, ...program.commands]) {
    command.configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      getOutHelpWidth: () => columnsOf(stdout, env),
      getErrHelpWidth: () => columnsOf(stderr, env),
      getOutHasColors: () => wantsColor(stdout, env),
      getErrHasColors: () => wantsColor(stderr, env),
    });
  }
}

/** Looked for by hand, since the parser may have stopped before it came to `--output`. */
function typedOutput(argv: readonly string[]): OutputFormat | undefined {
  const words = argv.flatMap((word, at) => {
    if (word === '--output') return [argv[at + 1]];
    return word.startsWith('--output=') ? [word.slice('--output='.length)] : [];
  });
  return OUTPUT_FORMATS.find((format) => words.includes(format));
}
