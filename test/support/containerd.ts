import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectCri, type CriClient } from './cri-client.js';
import { outputAt } from './mount-namespace.js';
import type { NodeNamespace, NodeProcess } from './node-namespace.js';

export interface ContainerdOptions {
  /** Of pods. */
  readonly snapshotter: 'landfall' | 'overlayfs';
  /** The image of a pod's sandbox. */
  readonly sandboxImage: string;
  /** Where its snapshotter will listen, and its root. */
  readonly landfall: { readonly socket: string; readonly root: string };
}

const DELIVERED = resolve(import.meta.dirname, '../../deploy/containerd/config-1.7.toml');
const READY_MS = 30_000;
const POLL_MS = 50;

/**
 * Debian's containerd with runc in a namespace, with its own root, state and sockets. Its pods share the
 * host's network.
 */
export class Containerd implements AsyncDisposable {
  /** In the namespace. */
  readonly socket: string;
  readonly #namespace: NodeNamespace;
  readonly #directory: string;
  #process: NodeProcess;
  #client: CriClient;

  private constructor(
    namespace: NodeNamespace,
    directory: string,
    started: { readonly process: NodeProcess; readonly client: CriClient },
  ) {
    this.socket = socketIn(directory);
    this.#namespace = namespace;
    this.#directory = directory;
    this.#process = started.process;
    this.#client = started.client;
  }

  /** @returns once its pods can be started */
  static async start(namespace: NodeNamespace, options: ContainerdOptions): Promise<Containerd> {
    const directory = join(namespace.directory, 'containerd');
    await mkdir(namespace.reach(directory));
    await writeFile(namespace.reach(join(directory, 'config.toml')), await configuration(directory, options));
    return new Containerd(namespace, directory, await begin(namespace, directory));
  }

  /** Of its CRI. */
  get client(): CriClient {
    return this.#client;
  }

  get log(): readonly string[] {
    return this.#process.log;
  }

  /** Has it speak HTTP to a registry, as its hosts.toml says. @param address `127.0.0.1:PORT` */
  async trust(address: string): Promise<void> {
    const file = this.#namespace.reach(join(this.#directory, 'certs.d', address, 'hosts.toml'));
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `server = "http://${address}"\n`);
  }

  /** What ctr prints; throws what it said when it fails. */
  ctr(...args: readonly string[]): Promise<string> {
    return outputAt(this.#namespace, 'ctr', '--address', this.socket, ...args);
  }

  /** Ends it and starts it again; pods go on meanwhile. */
  async restart(): Promise<void> {
    await this.#end();
    const { process, client } = await begin(this.#namespace, this.#directory);
    this.#process = process;
    this.#client = client;
  }

  /** Ends it, not the pods: the namespace does that. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  async #end(): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
    await this.#process.end();
  }
}

function socketIn(directory: string): string {
  return join(directory, 'c.sock');
}

async function begin(
  namespace: NodeNamespace,
  directory: string,
): Promise<{ process: NodeProcess; client: CriClient }> {
  const process = await namespace.start(
    'containerd',
    ['--config', join(directory, 'config.toml'), '--log-level', 'info'],
    { until: /containerd successfully booted/ },
  );
  const client = await connectCri(namespace.reach(socketIn(directory)));
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const { error } = await client.ask('Status');
    if (error === undefined) return { process, client };
    if (performance.now() > deadline)
      throw new Error(`containerd: ${error.message}\n${process.log.join('\n')}`);
    await sleep(POLL_MS);
  }
}

/** As it is delivered, with what is of this containerd alone, and of a machine of tests. */
async function configuration(
  directory: string,
  { snapshotter, sandboxImage, landfall }: ContainerdOptions,
): Promise<string> {
  const delivered = (await readFile(DELIVERED, 'utf8'))
    .replace('version = 2', `version = 2\nroot = "${directory}/root"\nstate = "${directory}/state"`)
    .replace('/run/landfall/snapshotter.sock', landfall.socket)
    .replace('/var/lib/landfall', landfall.root)
    .replace('snapshotter = "landfall"', `snapshotter = "${snapshotter}"`);
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `${delivered}
[grpc]
  address = "${socketIn(directory)}"
[ttrpc]
  address = "${directory}/t.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "${directory}/opt"
[${cri}]
  sandbox_image = "${sandboxImage}"
  # A machine of tests may not lower it.
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
[${cri}.cni]
  conf_dir = "${directory}/cni"
[${cri}.registry]
  config_path = "${directory}/certs.d"
`;
}
