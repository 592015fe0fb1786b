// config, format -> output -> options, progress, timeline -> images, completion -> commands -> main.ts
import { ContentError, systemCode } from '../errors.js';
import type { Surroundings } from './output/command-context.js';
import type { CommandLine } from './command-line.js';
import type { ExitCode } from './output/exit-codes.js';
import { versionLine } from './output/version.js';

/** The part of `process` that reports uncaught errors. */
export interface CrashSource {
  on(event: 'uncaughtException', listener: (error: Error) => void): unknown;
  exit(code: number): never;
}

/**
 * The scripts of shells put it before the words of a line, to ask how it may go on. No person types it.
 */
const COMPLETE = '__complete';

/**
 * Runs one command line and answers with its exit code; never throws. Standard output holds what the command
 * answers, standard error all else.
 *
 * @param argv without the interpreter and the script
 */
export async function main(
  argv: readonly string[],
  surroundings: Surroundings,
  signals: SignalSource & CrashSource,
): Promise<ExitCode> {
  const { stdout } = surroundings;
  const broken = watchOutput(surroundings);
  using interruption = new Interruption(signals);
  let line: CommandLine | undefined;
  const parsed = async (): Promise<CommandLine> => {
    const module = await import('./command-line.js');
    return (line ??= new module.CommandLine(argv, surroundings, interruption.signal));
  };
  // Uncaught errors are reported as all others are, and not in as many lines as Node takes for it.
  signals.on('uncaughtException', (error) => signals.exit(line?.failed(error) ?? 1));
  if (argv[0] === COMPLETE) {
    const [{ answerCompletion }, { createProgram }] = await Promise.all([
      import('./completion/complete.js'),
      import('./program.js'),
    ]);
    await answerCompletion(argv.slice(1), surroundings, () => createProgram(() => Promise.resolve()));
    await flushed(stdout);
    return 0;
  }
  // The version, which scripts ask for, needs neither the parser nor the descriptions of all commands.
  if (isVersionFlag(argv)) stdout.write(`${versionLine()}\n`);
  let outcome = isVersionFlag(argv) ? 0 : await (await parsed()).run();
  await flushed(stdout);
  if (broken.cause !== undefined && outcome === 0) {
    outcome = (await parsed()).failed(outputError(broken.cause));
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

type Interrupting = 'SIGINT' | 'SIGTERM';
const CODES: Readonly<Record<Interrupting, ExitCode & (130 | 143)>> = { SIGINT: 130, SIGTERM: 143 };

/** An interrupted command may clean up for so long, in ms. */
const GRACE_MS = 15_000;

/** The part of `process` that signals come from. */
export interface SignalSource {
  on(event: Interrupting, listener: () => void): unknown;
  off(event: Interrupting, listener: () => void): unknown;
  exit(code: number): never;
}

/**
 * Turns SIGINT and SIGTERM into one abort of everything; what runs then cleans up and the command ends with
 * the signal's exit code. A second signal does not wait for that, nor does the first for ever.
 */
export class Interruption implements Disposable {
  readonly #source: SignalSource;
  readonly #controller = new AbortController();
  readonly #listeners: Readonly<Record<Interrupting, () => void>>;
  #exitCode: 130 | 143 | undefined;

  constructor(source: SignalSource) {
    this.#source = source;
    this.#listeners = { SIGINT: () => this.#receive('SIGINT'), SIGTERM: () => this.#receive('SIGTERM') };
    source.on('SIGINT', this.#listeners.SIGINT);
    source.on('SIGTERM', this.#listeners.SIGTERM);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Set once a signal came. */
  get exitCode(): 130 | 143 | undefined {
    return this.#exitCode;
  }

  [Symbol.dispose](): void {
    this.#source.off('SIGINT', this.#listeners.SIGINT);
    this.#source.off('SIGTERM', this.#listeners.SIGTERM);
  }

  #receive(signal: Interrupting): void {
    const code = CODES[signal];
    if (this.#exitCode !== undefined) this.#source.exit(code);
    this.#exitCode = code;
    // Cleaning up may itself wait for something that never answers. Not counted where everything else has
    // ended.
    setTimeout(() => this.#source.exit(code), GRACE_MS).unref();
    this.#controller.abort(new Error(`received ${signal}`));
  }
}
