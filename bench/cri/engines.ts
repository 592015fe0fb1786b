import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bound, end, output } from '../bound-process.js';
import { LANDFALL_COMMAND } from '../peers/landfall.js';
import { CriClient } from './cri-client.js';

/** A daemon that serves CRI from a store of its own, which goes with it. */
export interface Engine extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** Path of the socket at which it serves CRI. */
  readonly socket: string;
  readonly client: CriClient;
}

/** `landfall daemon`, as durable as containerd is by default. @param args further options of the command */
export async function startLandfall(directory: string, args: readonly string[] = []): Promise<Engine> {
  await mkdir(directory, { recursive: true });
  const socket = join(directory, 's.sock');
  const options = ['--sync', 'blobs', '--cri', `unix://${socket}`, ...args];
  const child = bound(
    spawn(
      process.execPath,
      [LANDFALL_COMMAND, '--log-level', 'warn', '--root', join(directory, 'store'), 'daemon', ...options],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    ),
  );
  await once(createInterface({ input: child.stdout }), 'line');
  return await engine('landfall', child, socket, directory);
}

export interface ContainerdOptions {
  readonly name?: string;
  /** Default `overlayfs`. */
  readonly snapshotter?: string;
  /** Of landfall's snapshotter, for a plugin of the name `landfall`. */
  readonly proxy?: string;
}

const READY_TRIES = 200;
const POLL_MS = 50;

/** containerd with its CRI plugin. */
export async function startContainerd(
  directory: string,
  { name = 'containerd', snapshotter = 'overlayfs', proxy }: ContainerdOptions = {},
): Promise<Engine> {
  await mkdir(join(directory, 'opt'), { recursive: true });
  const socket = join(directory, 's.sock');
  const config = join(directory, 'config.toml');
  await writeFile(
    config,
    `version = 2
root = "${directory}/root"
state = "${directory}/state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${directory}/opt"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "${snapshotter}"
  disable_snapshot_annotations = false
${proxy === undefined ? '' : `[proxy_plugins.landfall]\n  type = "snapshot"\n  address = "${proxy}"\n`}`,
  );
  const child = bound(
    spawn('containerd', ['--config', config, '--log-level', 'fatal'], {
      stdio: ['ignore', 'inherit', 'inherit'],
    }),
  );
  for (let left = READY_TRIES; ; left -= 1) {
    const ready = await output('ctr', ['--address', socket, 'version']).then(
      () => true,
      () => false,
    );
    if (ready) break;
    if (left === 0 || child.exitCode !== null) throw new Error('containerd did not start');
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return await engine(name, child, socket, directory);
}

async function engine(name: string, child: ChildProcess, socket: string, directory: string): Promise<Engine> {
  const client = await CriClient.connect(socket);
  return {
    name,
    pid: child.pid ?? 0,
    socket,
    client,
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]();
      await end(child);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
