import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';

import {
  type CommandOptions,
  type CommandResult,
  COMMAND_ENVIRONMENT,
  LANDFALL,
  runCommand,
} from './landfall-command.js';
import { record } from './secrets.js';

/** A command line for the server. */
export interface ServedCommand {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly input: string;
}

export interface ServedResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const SERVER = resolve(import.meta.dirname, '../../dist/test/support/command-server.js');

/**
 * Runs the built command in a process that stays, which saves the start of Node.js at each of many commands.
 * For tests of what the command does to a store; where a process itself is tested (its death, its signals,
 * its environment), a test starts it by `landfall()`.
 */
export class WarmCommand implements AsyncDisposable {
  readonly #entering: readonly string[];
  #server: ChildProcess | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** @param entering what the server's process is to follow, as that of a mount namespace */
  constructor(entering: readonly string[] = []) {
    this.#entering = entering;
  }

  /**
   * One at a time. What is of a process, a directory, a signal or the environment of Node.js, gets a process
   * of its own.
   */
  async run(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { env = {}, cwd, onStart, input = '' } = options;
    if (cwd !== undefined || onStart !== undefined || Object.keys(env).some(isOfProcess)) {
      const [program = '', ...line] = [...this.#entering, process.execPath, LANDFALL, ...args];
      return await runCommand(program, line, options);
    }
    const result = this.#last.then(() => this.#ask({ args, env: { ...COMMAND_ENVIRONMENT, ...env }, input }));
    this.#last = result.catch(() => undefined);
    return await result;
  }

  async #ask(command: ServedCommand): Promise<CommandResult> {
    const server = (this.#server ??= this.#start());
    const died = new AbortController();
    const death = once(server, 'exit', { signal: died.signal }).then(([code, signal]) => {
      throw new Error(`landfall ${command.args.join(' ')} ended its process (${code ?? signal})`);
    });
    death.catch(() => undefined);
    try {
      const answer = once(server, 'message', { signal: died.signal });
      answer.catch(() => undefined);
      server.send(command);
      const [{ code, stdout, stderr }] = (await Promise.race([answer, death])) as [ServedResult];
      record('standard output of landfall', stdout);
      record('standard error of landfall', stderr);
      return { code, signal: undefined, stdout, stderr };
    } catch (error) {
      this.#server = undefined;
      throw error;
    } finally {
      died.abort();
    }
  }

  #start(): ChildProcess {
    const [program, ...args] = [...this.#entering, process.execPath, SERVER];
    const server = spawn(program, args, {
      env: COMMAND_ENVIRONMENT,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    // It ends with this process, which is not to wait for it.
    server.unref();
    server.channel?.unref();
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server?.connected !== true) return;
    const exited = once(server, 'exit');
    server.disconnect();
    await exited;
  }
}

/** Whether a variable is read by others than the command, which is given all the others. */
function isOfProcess(name: string): boolean {
  return /^(NODE_|LANDFALL_FAULT_POINT$|TMPDIR$|PATH$|TZ$|LC_)/.test(name);
}

const here = new WarmCommand();

/** As `landfall()` of `landfall-command.ts`, in a process that stays. */
export function landfall(args: readonly string[], options?: CommandOptions): Promise<CommandResult> {
  return here.run(args, options);
}

/** As `landfallJson()` of `landfall-command.ts`, in a process that stays. */
export async function landfallJson<T>(args: readonly string[], options?: CommandOptions): Promise<T> {
  const { code, stdout, stderr } = await landfall([...args, '--output', 'json'], options);
  if (code !== 0) throw new Error(`landfall ${args.join(' ')} failed (${code}):\n${stderr}`);
  return JSON.parse(stdout) as T;
}
