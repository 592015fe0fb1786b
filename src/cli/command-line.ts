import { type Command, CommanderError } from 'commander';
import { type CommandContext, reportError, type Surroundings } from './command-context.js';
import { type ExitCode, exitCodeOf } from './exit-codes.js';
import { Log } from './log.js';
import { createProgram } from './program.js';
import { type GlobalFlags, resolveSettings, type Settings } from './settings.js';
import { usageError } from './usage-error.js';

/** The words of one command line, and what they mean. */
export class CommandLine {
  readonly #argv: readonly string[];
  readonly #surroundings: Surroundings;
  readonly #program: Command;
  #outcome: ExitCode = 0;

  /** @param argv without the interpreter and the script */
  constructor(argv: readonly string[], surroundings: Surroundings, signal: AbortSignal) {
    this.#argv = argv;
    this.#surroundings = surroundings;
    this.#program = createProgram(async (command) => {
      this.#outcome = await command(this.#context(signal));
    });
    writeTo(this.#program, surroundings);
  }

  /** Runs the command that it names; never throws. */
  async run(): Promise<ExitCode> {
    try {
      await this.#program.parseAsync([...this.#argv], { from: 'user' });
      return this.#outcome;
    } catch (error) {
      return this.failed(error);
    }
  }

  /** Reports a failure in the form that the line asks for, and gives its exit code. */
  failed(error: unknown): ExitCode {
    // Help and version come this way too.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // No command was named: the help that stands on standard error already is the message.
    if (error instanceof CommanderError && error.code === 'commander.help') return 2;
    const flags = this.#program.opts<GlobalFlags>();
    const output = asksForJson(this.#argv) ? 'json' : 'text';
    // What the environment says wrongly may be the failure itself.
    const settings = resolveSettings({ ...flags, output }, { ...this.#surroundings, env: {} });
    const names = new Set(this.#program.commands.map((command) => command.name()));
    const named = this.#argv.find((word) => names.has(word));
    const shown = error instanceof CommanderError ? usageError(error, named) : error;
    reportError(this.#reporting(settings), shown);
    return exitCodeOf(shown);
  }

  #context(signal: AbortSignal): CommandContext {
    const settings = resolveSettings(this.#program.opts<GlobalFlags>(), this.#surroundings);
    return { ...this.#surroundings, ...this.#reporting(settings), signal };
  }

  #reporting(settings: Settings): Pick<CommandContext, 'settings' | 'log'> {
    const { stderr } = this.#surroundings;
    return { settings, log: new Log(settings.logLevel, (text) => stderr.write(text), settings.logFormat) };
  }
}

function writeTo(program: Command, { stdout, stderr }: Surroundings): void {
  for (const command of [program, ...program.commands]) {
    command.configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      getOutHelpWidth: () => stdout.columns ?? 80,
      getErrHelpWidth: () => stderr.columns ?? 80,
    });
  }
}

/** Looked for by hand, since the parser may have stopped before it came to `--output`. */
function asksForJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, at) => word === '--output=json' || (word === '--output' && argv[at + 1] === 'json'),
  );
}
