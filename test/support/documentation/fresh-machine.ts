import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandResult, runCommand } from '../landfall-command.js';
import { record } from '../secrets.js';

const REPOSITORY = resolve(import.meta.dirname, '../../..');
const INSTALLED = '/usr/local/lib/node_modules/landfall';

/**
 * Arguments: a directory for what is written, the repository, Node's program, what lies on the disk that is
 * carried from machine to machine. What is below / stays readable; what a reader writes to is empty, or seen
 * through an overlay.
 */
const SETUP = `
set -eu
mount -t tmpfs -o mode=0755 tmpfs "$1"
for seen in etc usr/local; do
  mkdir -p "$1/$seen" "$1/work/$seen"
  mount -t overlay -o "lowerdir=/$seen,upperdir=$1/$seen,workdir=$1/work/$seen" overlay "/$seen"
done
mkdir -p ${INSTALLED}
mount --bind "$2" ${INSTALLED}
touch /usr/local/bin/node && mount --bind "$3" /usr/local/bin/node
ln -sf ${INSTALLED}/dist/bin/landfall.js /usr/local/bin/landfall
mount --bind "$4" /media
rm -rf /etc/containerd /etc/landfall
for empty in /root /run /mnt /srv /var/lib /tmp; do mount -t tmpfs -o mode=0755 tmpfs $empty; done
chmod 1777 /tmp
mkdir /run/typed
ip link set lo up
echo ready
cat
`;

/** Keeps what a shell keeps from one block to the next: its directory and what it has exported. */
const TYPE = `
unset LANDFALL_CONFIG
[ ! -f /run/typed/exports ] || . /run/typed/exports
cd "$(cat /run/typed/pwd 2>/dev/null || echo "$HOME")"
trap 'pwd >/run/typed/pwd; export -p >/run/typed/exports' EXIT
set -euo pipefail
eval "$1"
`;

/** How long what ends may take, in seconds. */
const TYPING = 60;
/** How long what stays running may take until it has said something, in milliseconds. */
const STARTING = 20_000;

export interface FreshMachineOptions {
  /** What lies below /media, which is what is carried across an air gap. */
  readonly media: string;
}

/**
 * A machine on which nobody has done anything yet, but install landfall: namespaces with a home, a store and
 * a configuration of its own at the usual places. Whatever runs there ends, and all that was written goes,
 * with this object or this process.
 */
export class FreshMachine implements AsyncDisposable {
  readonly #directory: string;
  readonly #keeper: ChildProcessByStdio<Writable, Readable, null>;
  readonly #running = new Map<string, RunningCommand>();

  private constructor(directory: string, keeper: ChildProcessByStdio<Writable, Readable, null>) {
    this.#directory = directory;
    this.#keeper = keeper;
  }

  static async start({ media }: FreshMachineOptions): Promise<FreshMachine> {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-machine-'));
    const namespaces = ['-m', '--propagation', 'private', '-n', '-u', '-p', '--fork', '--kill-child'];
    const script = ['sh', '-c', SETUP, 'machine', directory, REPOSITORY, process.execPath, media];
    const keeper = spawn('unshare', [...namespaces, '--mount-proc', ...script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ready = await Promise.race([once(keeper.stdout, 'data'), once(keeper, 'exit')]);
    if (!Buffer.isBuffer(ready[0])) throw new Error('no machine could be made');
    return new FreshMachine(directory, keeper);
  }

  /** A process by which its namespaces are found. */
  get pid(): number {
    return this.#keeper.pid ?? 0;
  }

  /** The path by which this process reaches what the machine knows as `path`. */
  reach(path: string): string {
    return `/proc/${this.pid}/root${path}`;
  }

  /**
   * Types commands into a shell, which has the directory and the variables that the last ones left it with.
   */
  async type(commands: string): Promise<CommandResult> {
    const limited = ['timeout', '-k', '1', `${TYPING}`, 'bash', '-c', TYPE, 'typed', commands];
    const result = await runCommand('nsenter', [...this.#enter(), ...limited], { env: ENVIRONMENT });
    record('standard output of documented commands', result.stdout);
    record('standard error of documented commands', result.stderr);
    return result;
  }

  /**
   * The same for what goes on, in another terminal. What began with the same two words is interrupted before.
   */
  async typeElsewhere(commands: string): Promise<RunningCommand> {
    const name = commands.split(/\s+/).slice(0, 2).join(' ');
    await this.#running.get(name)?.interrupt();
    const script = ['setsid', 'sh', '-c', 'echo $$ && exec bash -c "$@"', 'sh', TYPE, 'typed', commands];
    const child = spawn('nsenter', [...this.#enter(), ...script], {
      env: { ...ENVIRONMENT, PATH: PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const running = new RunningCommand(child, (signal, group) =>
      runCommand('nsenter', [...this.#enter(), 'kill', `-${signal}`, '--', `-${group}`], {}),
    );
    this.#running.set(name, running);
    await running.ready();
    return running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#keeper, 'exit');
    this.#keeper.stdin.end();
    await exited;
    await rmdir(this.#directory);
  }

  #enter(): string[] {
    const of = `/proc/${this.pid}/ns`;
    return [`--mount=${of}/mnt`, `--net=${of}/net`, `--uts=${of}/uts`, `--pid=${of}/pid_for_children`, '--'];
  }
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const ENVIRONMENT = {
  PATH,
  HOME: '/root',
  USER: 'root',
  TZ: 'UTC',
  LC_ALL: 'C.UTF-8',
  // Of whom a machine knows the registries' certificates to be; see DocumentedRegistries.
  NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/documented-registries.pem',
  SSL_CERT_FILE: '/etc/ssl/certs/documented-registries.pem',
};

/** A command that goes on. */
export class RunningCommand {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #signal: (signal: string, group: string) => Promise<CommandResult>;
  readonly #lines: string[] = [];
  readonly #errors: string[] = [];

  constructor(
    child: ChildProcessByStdio<null, Readable, Readable>,
    signal: (signal: string, group: string) => Promise<CommandResult>,
  ) {
    this.#child = child;
    this.#signal = signal;
    createInterface({ input: child.stdout }).on('line', (line) => this.#lines.push(line));
    createInterface({ input: child.stderr }).on('line', (line) => this.#errors.push(line));
  }

  /** What it has said on standard output. */
  get stdout(): string {
    return this.#lines.slice(1).join('\n');
  }

  /** What it has said on standard error. */
  get stderr(): string {
    return this.#errors.join('\n');
  }

  /** Waits until it has said something on standard output. @throws Error where it ends, or says nothing */
  async ready(): Promise<void> {
    const deadline = Date.now() + STARTING;
    while (this.#lines.length < 2) {
      const ended = this.#child.exitCode !== null || this.#child.signalCode !== null;
      if (ended || Date.now() > deadline) throw new Error(`it did not start:\n${this.stderr}`);
      await sleep(10);
    }
  }

  /** Ctrl-C. */
  async interrupt(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    await this.#signal('INT', this.#lines[0] ?? '');
    await exited;
  }
}
