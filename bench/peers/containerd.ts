import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { bound, end, output } from '../bound-process.js';
import type { BenchEnvironment, Contestant, Sample } from '../contract.js';
import { measureCommand } from '../measure.js';
import { versionOf } from '../programs.js';

export const CONTAINERD_GO = 'containerd, Go gzip';
export const CONTAINERD_UNPIGZ = 'containerd, unpigz';
/** Where the layers are not gzipped, so that it does not matter who would inflate them. */
export const CONTAINERD = 'containerd';
/** All that containerd is called here: it takes part as the faster of them. */
export const CONTAINERDS: readonly string[] = [CONTAINERD_GO, CONTAINERD_UNPIGZ];

const READY_MS = 20_000;
const POLL_MS = 50;

export interface ContainerdPull {
  readonly reference: string;
  /** Pulled into the same store before each run, which is not measured. */
  readonly first?: string;
}

/**
 * containerd inflating in its own process, and containerd with unpigz, which it uses wherever that is on
 * PATH; those of them that can run here.
 */
export async function containerdByInflater(
  environment: BenchEnvironment,
  pull: ContainerdPull,
): Promise<Contestant[]> {
  if (!canRun(environment)) return [];
  const go = await containerdOf(CONTAINERD_GO, pull, WITHOUT_UNPIGZ);
  if (!environment.programs.have('unpigz')) return [go];
  return [go, await containerdOf(CONTAINERD_UNPIGZ, pull, {})];
}

/** containerd as it comes, under one name. */
export async function containerd(environment: BenchEnvironment, pull: ContainerdPull): Promise<Contestant[]> {
  return canRun(environment) ? [await containerdOf(CONTAINERD, pull, {})] : [];
}

const WITHOUT_UNPIGZ = { CONTAINERD_DISABLE_PIGZ: '1' };

function canRun({ programs, note }: BenchEnvironment): boolean {
  const here = programs.have('containerd', 'ctr');
  const root = process.getuid?.() === 0;
  if (here && !root) note('containerd needs root');
  return here && root;
}

async function containerdOf(
  name: string,
  pull: ContainerdPull,
  env: Readonly<Record<string, string>>,
): Promise<Contestant> {
  let daemon: Containerd | undefined;
  return {
    name,
    version: await versionOf('containerd'),
    prepare: async ({ directory }) => {
      daemon = await Containerd.start(directory, env);
      if (pull.first !== undefined) await daemon.pull(pull.first);
    },
    run: (): Promise<Sample> => {
      if (daemon === undefined) throw new Error('containerd was not started');
      return daemon.pull(pull.reference);
    },
    cleanUp: async () => {
      await daemon?.stop();
      daemon = undefined;
    },
  };
}

/** A daemon with an empty store of its own. */
class Containerd {
  readonly #child: ChildProcess & { readonly pid: number };
  readonly #socket: string;

  private constructor(child: ChildProcess & { readonly pid: number }, socket: string) {
    this.#child = child;
    this.#socket = socket;
  }

  static async start(directory: string, env: Readonly<Record<string, string>>): Promise<Containerd> {
    const socket = `${directory}/containerd.sock`;
    await writeFile(`${directory}/config.toml`, configuration(directory, socket));
    await mkdir(`${directory}/opt`);
    const args = ['--config', `${directory}/config.toml`, '--log-level', 'error'];
    const child = bound(
      spawn('containerd', args, { env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit'] }),
    );
    const { pid } = child;
    if (pid === undefined) throw new Error('containerd did not start');
    const daemon = new Containerd(Object.assign(child, { pid }), socket);
    await daemon.#ready();
    return daemon;
  }

  /** By ctr, which has the daemon fetch and unpack. */
  pull(reference: string): Promise<Sample> {
    const options = ['--plain-http', '--snapshotter', 'overlayfs'];
    const args = ['--address', this.#socket, 'images', 'pull', ...options, reference];
    return measureCommand('ctr', args, { daemon: this.#child.pid });
  }

  async stop(): Promise<void> {
    await end(this.#child);
  }

  async #ready(): Promise<void> {
    const deadline = performance.now() + READY_MS;
    for (;;) {
      try {
        await output('ctr', ['--address', this.#socket, 'version']);
        return;
      } catch (error) {
        if (performance.now() > deadline || this.#child.exitCode !== null) throw error;
        await wait(POLL_MS);
      }
    }
  }
}

function configuration(directory: string, socket: string): string {
  return `version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${directory}/opt"
`;
}
