import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { peerOutput, runCommand } from './landfall-command.js';

const READY_MS = 30_000;
const POLL_MS = 100;
/** What content and images need nothing of, and a container often has not. */
const DISABLED = [
  'io.containerd.grpc.v1.cri',
  'io.containerd.internal.v1.opt',
  'io.containerd.internal.v1.tracing',
  'io.containerd.nri.v1.nri',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.zfs',
  'io.containerd.tracing.processor.v1.otlp',
];

/** Debian's containerd with nothing in it, for its images alone: no pods, no snapshots. */
export class PlainContainerd implements AsyncDisposable {
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, process: ChildProcess) {
    this.#directory = directory;
    this.#process = process;
  }

  static async start(): Promise<PlainContainerd> {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-containerd-'));
    await writeFile(
      join(directory, 'config.toml'),
      [
        'version = 2',
        `root = "${directory}/root"`,
        `state = "${directory}/state"`,
        `disabled_plugins = ${JSON.stringify(DISABLED)}`,
        `[grpc]\naddress = "${directory}/c.sock"`,
        `[ttrpc]\naddress = "${directory}/t.sock"`,
        '',
      ].join('\n'),
    );
    const process = spawn('containerd', ['-c', join(directory, 'config.toml')], { stdio: 'ignore' });
    const started = new PlainContainerd(directory, process);
    await started.#isReady();
    return started;
  }

  /** What ctr prints; throws what it said when it fails. */
  ctr(...args: readonly string[]): Promise<string> {
    return peerOutput('ctr', ['--address', join(this.#directory, 'c.sock'), ...args]);
  }

  /** Names and digests of its images in a namespace. */
  async images(namespace: string): Promise<Record<string, string>> {
    const lines = (await this.ctr('-n', namespace, 'images', 'ls')).trim().split('\n').slice(1);
    return Object.fromEntries(
      lines.map((line) => {
        const [name = '', , digest = ''] = line.split(/\s+/);
        return [name, digest];
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    if (this.#process.exitCode === null) await once(this.#process, 'exit');
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #isReady(): Promise<void> {
    const deadline = Date.now() + READY_MS;
    for (;;) {
      const { code } = await runCommand('ctr', ['--address', join(this.#directory, 'c.sock'), 'version'], {});
      if (code === 0) return;
      if (Date.now() > deadline) throw new Error('containerd does not answer');
      await sleep(POLL_MS);
    }
  }
}
