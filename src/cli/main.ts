import { type Command, CommanderError } from 'commander';
import { ContentError, systemCode } from '../errors.js';
import { type CommandContext, reportError, type Surroundings } from './command-context.js';
import { type ExitCode, exitCodeOf } from './exit-codes.js';
import { Interruption, type SignalSource } from './interruption.js';
import { Log } from './log.js';
import { createProgram } from './program.js';
import { type GlobalFlags, resolveSettings, type Settings } from './settings.js';
import { usageError } from './usage-error.js';

/**
 * Runs one command line and answers with its exit code; never throws. Standard output holds what the command answers,
 * standard error all else.
 *
 * @param argv without the interpreter and the script
 */
export async function main(
  argv: readonly string[],
  surroundings: Surroundings,
  signals: SignalSource,
): Promise<ExitCode> {
  const broken = watchOutput(surroundings);
  using interruption = new Interruption(signals);
  let outcome: ExitCode = 0;
  const program: Command = createProgram(async (command) => {
    outcome = await command(contextOf(program, surroundings, interruption.signal));
  });
  writeTo(program, surroundings);
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    outcome = failed(error, program, argv, surroundings);
  }
  await flushed(surroundings.stdout);
  if (broken.cause !== undefined && outcome === 0) {
    outcome = failed(outputError(broken.cause), program, argv, surroundings);
  }
  return outcome !== 0 && interruption.exitCode !== undefined ? interruption.exitCode : outcome;
}

/** Keeps what broke the output. A reader that has seen enough, as `head` does, is no failure. */
function watchOutput({ stdout, stderr }: Surroundings): { readonly cause: unknown } {
  const broken: { cause: unknown } = { cause: undefined };
  const keep = (error: unknown): void => {
    if (systemCode(error) !== 'EPIPE') broken.cause ??= error;
  };
  stdout.on('error', keep);
  stderr.on('error', keep);
  return broken;
}

function outputError(cause: unknown): ContentError {
  const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(cause) ?? '');
  return new ContentError(full ? 'NO_SPACE' : 'FILESYSTEM', 'the output could not be written', {
    cause,
    hint: 'Look at where standard output and standard error lead.',
  });
}

/** Resolves when what was written before has gone out, or never will. */
async function flushed(stream: NodeJS.WritableStream): Promise<void> {
  await new Promise<void>((resolve) => stream.write('', () => resolve()));
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

function contextOf(program: Command, surroundings: Surroundings, signal: AbortSignal): CommandContext {
  const settings = resolveSettings(program.opts<GlobalFlags>(), surroundings);
  return { ...surroundings, ...reporting(settings, surroundings), signal };
}

function reporting(settings: Settings, { stderr }: Surroundings): Pick<CommandContext, 'settings' | 'log'> {
  return { settings, log: new Log(settings.logLevel, (text) => stderr.write(text)) };
}

function failed(
  error: unknown,
  program: Command,
  argv: readonly string[],
  surroundings: Surroundings,
): ExitCode {
  // Help and version come this way too.
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  // No command was named: the help that stands on standard error already is the message.
  if (error instanceof CommanderError && error.code === 'commander.help') return 2;
  const flags = program.opts<GlobalFlags>();
  const output = asksForJson(argv) ? 'json' : 'text';
  // What the environment says wrongly may be the failure itself.
  const settings = resolveSettings({ ...flags, output }, { ...surroundings, env: {} });
  const names = new Set(program.commands.map((command) => command.name()));
  const named = argv.find((word) => names.has(word));
  const shown = error instanceof CommanderError ? usageError(error, named) : error;
  reportError(reporting(settings, surroundings), shown);
  return exitCodeOf(shown);
}

/** Looked for by hand, since the parser may have stopped before it came to `--output`. */
function asksForJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, at) => word === '--output=json' || (word === '--output' && argv[at + 1] === 'json'),
  );
}
