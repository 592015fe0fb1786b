import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { LANDFALL, NO_CONFIG } from './landfall-command.js';
import { record } from './secrets.js';

export interface DaemonProcessOptions {
  /** What the command is to follow; default: nothing. See `MountNamespace.entering`. */
  readonly entering?: readonly [string, ...string[]];
  /** Options of Node.js. */
  readonly nodeOptions?: string;
  /** Besides those of every daemon. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The built daemon in a process of its own. */
export class DaemonProcess implements AsyncDisposable {
  /** Path of its socket. */
  readonly socket: string;
  readonly #child: ChildProcess;
  /** What it has said on standard error. */
  readonly log: readonly string[];
  readonly #answer: readonly string[];

  private constructor(
    socket: string,
    child: ChildProcess,
    said: Pick<DaemonProcess, 'log'> & { answer: string[] },
  ) {
    this.socket = socket;
    this.#child = child;
    this.log = said.log;
    this.#answer = said.answer;
  }

  /** @returns once it serves @throws Error with what it said, where it does not come to that */
  static async start(
    root: string,
    socket: string,
    args: readonly string[] = [],
    { entering, nodeOptions = '', env = {} }: DaemonProcessOptions = {},
  ): Promise<DaemonProcess> {
    const command = [
      LANDFALL,
      '--root',
      root,
      '--plain-http',
      'daemon',
      '--cri',
      `unix://${socket}`,
      ...args,
    ];
    const [program, ...before] =
      entering === undefined ? [process.execPath] : [...entering, process.execPath];
    const child = spawn(program, [...before, ...command], {
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: '/nonexistent',
        TZ: 'UTC',
        LC_ALL: 'C.UTF-8',
        NODE_OPTIONS: nodeOptions,
        ...NO_CONFIG,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      record('standard error of the daemon', line);
      log.push(line);
    });
    const answer: string[] = [];
    const lines = createInterface({ input: child.stdout }).on('line', (line) => answer.push(line));
    const serves = once(lines, 'line').then(() => true);
    const ended = once(child, 'exit').then(() => false);
    if (!(await Promise.race([serves, ended])))
      throw new Error(`the daemon did not start:\n${log.join('\n')}`);
    return new DaemonProcess(socket, child, { log, answer });
  }

  /** What it answers on standard output with `--output json`. */
  async answered(): Promise<string> {
    while (this.#answer.at(-1) !== '}') await sleep(5);
    return this.#answer.join('\n');
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @returns its exit code; undefined where the signal ended it */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | undefined> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill(signal);
      await ended;
    }
    return this.#child.exitCode ?? undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}
