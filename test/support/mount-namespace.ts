import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

import { type CommandOptions, type CommandResult, runCommand } from './landfall-command.js';
import { WarmCommand } from './warm-command.js';

/** Where commands run and files are looked at: this machine as everybody sees it, or a mount namespace. */
export interface Place {
  run(command: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** The built command, in a process that stays there. */
  readonly landfall: WarmCommand;
  /** The path by which this process reaches what commands there know as `path`. */
  reach(path: string): string;
}

export const HERE: Place = {
  run: (command, args, options = {}) => runCommand(command, args, options),
  landfall: new WarmCommand(),
  reach: (path) => path,
};

/** Runs the built command in a place. What is tested is the store, not the process that it is run by. */
export function landfallAt(
  place: Place,
  args: readonly string[],
  options?: CommandOptions,
): Promise<CommandResult> {
  return place.landfall.run(args, options);
}

/** What a command in a place prints; throws what it said when it fails. */
export async function outputAt(place: Place, command: string, ...args: readonly string[]): Promise<string> {
  const { code, signal, stdout, stderr } = await place.run(command, args);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed (${code ?? signal}):\n${stderr}`);
  return stdout;
}

/**
 * A mount namespace that lasts as long as this object, or this process. What is mounted in it is seen nowhere
 * else, and goes with it: file systems are unmounted and loop devices freed by the kernel when its last
 * process ends, however that comes.
 */
export class MountNamespace implements Place, AsyncDisposable {
  /** An empty tmpfs, which only this namespace sees. */
  readonly directory: string;
  readonly landfall: WarmCommand;
  readonly #keeper: ChildProcessByStdio<Writable, Readable, null>;

  private constructor(directory: string, keeper: ChildProcessByStdio<Writable, Readable, null>) {
    this.directory = directory;
    this.#keeper = keeper;
    this.landfall = new WarmCommand(this.entering);
  }

  static async start(): Promise<MountNamespace> {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-namespace-'));
    // The keeper reads until its input ends, which it does also when this process is killed.
    const script = 'mount -t tmpfs -o mode=0755 tmpfs "$1" && echo ready && exec cat';
    const args = ['-m', '--propagation', 'private', 'sh', '-c', script, 'keeper', directory];
    const keeper = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const ready = await Promise.race([once(keeper.stdout, 'data'), once(keeper, 'exit')]);
    if (!Buffer.isBuffer(ready[0])) throw new Error('no mount namespace could be made');
    return new MountNamespace(directory, keeper);
  }

  run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const [program, ...entering] = this.entering;
    return runCommand(program, [...entering, command, ...args], options);
  }

  /**
   * What a command is to follow to run in it. It becomes the command, so that signals to it reach the command
   * itself.
   */
  get entering(): readonly [string, ...string[]] {
    return ['nsenter', '-t', `${this.#keeper.pid}`, '-m', '--'];
  }

  reach(path: string): string {
    return `/proc/${this.#keeper.pid}/root${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.landfall[Symbol.asyncDispose]();
    await this.run('umount', ['-R', this.directory]);
    const exited = once(this.#keeper, 'exit');
    this.#keeper.stdin.end();
    await exited;
    await rmdir(this.directory);
  }
}
