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
import type { StoreTables } from './store-tables.js';

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

/** A store whose tables are wanted. */
export interface TablesWanted {
  readonly tables: string;
}

export type ServedTables = { readonly tables: StoreTables } | { readonly error: string };

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
   * What is of a process, a directory, a signal or the environment of Node.js, gets a process
   * of its own.
   */
  async run(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { env = {}, cwd, onStart, input = '' } = options;
    if (cwd !== undefined || onStart !== undefined || Object.keys(env).some(isOfProcess)) {
      const [program = '', ...line] = [...this.#entering, process.execPath, LANDFALL, ...args];
      return await runCommand(program, line, options);
    }
    const { code, stdout, stderr } = await this.#ask<ServedResult>(`landfall ${args.join(' ')}`, {
      args,
      env: { ...COMMAND_ENVIRONMENT, ...env },
      input,
    });
    record('standard output of landfall', stdout);
    record('standard error of landfall', stderr);
    return { code, signal: undefined, stdout, stderr };
  }

  /** What the database of a store says, as that process reads it. */
  async tables(root: string): Promise<StoreTables> {
    const answer = await this.#ask<ServedTables>(`reading ${root}`, { tables: root });
    if ('error' in answer) throw new Error(answer.error);
    return answer.tables;
  }

  /** One at a time. */
  async #ask<T>(what: string, command: ServedCommand | TablesWanted): Promise<T> {
    const result = this.#last.then(() => this.#askNow<T>(what, command));
    this.#last = result.catch(() => undefined);
    return await result;
  }

  async #askNow<T>(what: string, command: ServedCommand | TablesWanted): Promise<T> {
    const server = (this.#server ??= this.#start());
    const died = new AbortController();
    const death = once(server, 'exit', { signal: died.signal }).then(([code, signal]) => {
      throw new Error(`${what} ended its process (${code ?? signal})`);
    });
    death.catch(() => undefined);
    try {
      const answer = once(server, 'message', { signal: died.signal });
      answer.catch(() => undefined);
      server.send(command);
      const [result] = (await Promise.race([answer, death])) as [T];
      return result;
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
