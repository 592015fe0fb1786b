import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import {
  COMMAND_ENVIRONMENT,
  type CommandOptions,
  type CommandResult,
  runCommand,
} from './landfall-command.js';
import type { Place } from './mount-namespace.js';
import { WarmCommand } from './warm-command.js';

/** /run is where shims, runc and clients of containerd look by default. */
const SCRIPT =
  'mount -t tmpfs -o mode=0755 tmpfs "$1" && mount -t tmpfs -o mode=0755 tmpfs /run && echo ready; cat';

/**
 * A small machine: a mount and a PID namespace, in which /run and one directory are empty. What is mounted in
 * it is seen nowhere else. With this object, and with this process however that ends, the kernel ends every
 * process in it, such as daemons, what they left running, and containers, and then unmounts everything.
 */
export class NodeNamespace implements Place, AsyncDisposable {
  /** An empty tmpfs, which only this namespace sees. */
  readonly directory: string;
  readonly landfall: WarmCommand;
  readonly #keeper: ChildProcessByStdio<Writable, Readable, null>;

  private constructor(directory: string, keeper: ChildProcessByStdio<Writable, Readable, null>) {
    this.directory = directory;
    this.#keeper = keeper;
    this.landfall = new WarmCommand(['nsenter', ...this.#namespaces()]);
  }

  static async start(): Promise<NodeNamespace> {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-node-'));
    // The shell is the first process of the namespace, so it buries those whose parents are gone. It ends
    // when its input does, which is also when this process is killed.
    const args = ['-m', '--propagation', 'private', '-p', '--fork', '--kill-child', '--mount-proc'];
    const keeper = spawn('unshare', [...args, 'sh', '-c', SCRIPT, 'keeper', directory], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ready = await Promise.race([once(keeper.stdout, 'data'), once(keeper, 'exit')]);
    if (!Buffer.isBuffer(ready[0])) throw new Error('no namespaces could be made');
    return new NodeNamespace(directory, keeper);
  }

  run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand('nsenter', [...this.#namespaces(), command, ...args], options);
  }

  reach(path: string): string {
    return `/proc/${this.#keeper.pid}/root${path}`;
  }

  /**
   * Starts a process that goes on, and waits until it has said something.
   *
   * @param until what one of its lines says when it is ready, on either output
   * @throws Error with what it said, where it ends before
   */
  async start(
    command: string,
    args: readonly string[],
    { until, onLine }: { readonly until: RegExp; readonly onLine?: (line: string) => void },
  ): Promise<NodeProcess> {
    const child = spawn(
      'nsenter',
      // What it is in the namespace is told by itself; signals to nsenter would not reach it.
      [...this.#namespaces(), 'sh', '-c', 'echo $$ && exec "$@"', 'sh', command, ...args],
      {
        env: COMMAND_ENVIRONMENT,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const log: string[] = [];
    const ready = new Promise<boolean>((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          log.push(line);
          onLine?.(line);
          if (until.test(line)) resolve(true);
        });
      }
      child.once('exit', () => resolve(false));
    });
    const exited = once(child, 'exit');
    if (!(await ready)) throw new Error(`${command} did not start:\n${log.join('\n')}`);
    const pid = log.find((line) => /^\d+$/.test(line)) ?? '';
    return {
      log,
      end: async (signal = 'TERM') => {
        await this.run('sh', ['-c', `kill -${signal} ${pid}`]);
        await exited;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#keeper, 'exit');
    this.#keeper.stdin.end();
    await exited;
    await rmdir(this.directory);
  }

  #namespaces(): string[] {
    const of = `/proc/${this.#keeper.pid}/ns`;
    return [`--mount=${of}/mnt`, `--pid=${of}/pid_for_children`, '--'];
  }
}

/** A process that goes on in a namespace. */
export interface NodeProcess {
  /** What it has said, on both outputs. */
  readonly log: readonly string[];
  /** Sends a signal, and waits for its end. Does nothing more where it has ended. */
  end(signal?: 'TERM' | 'KILL'): Promise<void>;
}
