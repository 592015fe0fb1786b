import { ContentError, systemCode } from '../errors.js';
import type { Surroundings } from './command-context.js';
import type { CommandLine } from './command-line.js';
import type { ExitCode } from './exit-codes.js';
import { Interruption, type SignalSource } from './interruption.js';
import { versionLine } from './version.js';

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
  const { stdout } = surroundings;
  const broken = watchOutput(surroundings);
  using interruption = new Interruption(signals);
  const parsed = async (): Promise<CommandLine> => {
    const module = await import('./command-line.js');
    return new module.CommandLine(argv, surroundings, interruption.signal);
  };
  // What is asked most often, by scripts, needs neither the parser nor the descriptions of all commands.
  const line = isVersionFlag(argv) ? undefined : await parsed();
  if (line === undefined) stdout.write(`${versionLine()}\n`);
  let outcome = (await line?.run()) ?? 0;
  await flushed(stdout);
  if (broken.cause !== undefined && outcome === 0) {
    outcome = (line ?? (await parsed())).failed(outputError(broken.cause));
  }
  return outcome !== 0 && interruption.exitCode !== undefined ? interruption.exitCode : outcome;
}

function isVersionFlag([flag, ...others]: readonly string[]): boolean {
  return (flag === '--version' || flag === '-V') && others.length === 0;
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
