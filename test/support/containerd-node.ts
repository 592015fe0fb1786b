import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Containerd } from './containerd.js';
import { connectCri, type CriClient, whyNoCriClient } from './cri-client.js';
import { type DockerRegistry, startDockerRegistry } from './docker-registry.js';
import { type CommandResult, LANDFALL } from './landfall-command.js';
import { landfallAt, outputAt, type Place } from './mount-namespace.js';
import { collectOfContainerd } from './node-accounts.js';
import { NodeNamespace, type NodeProcess } from './node-namespace.js';
import { needsPeer } from './peers.js';
import { type Pod, printInPod, runPod } from './pod.js';
import { makePodLayout, PRINT_PARTS } from './pod-image.js';
import { record } from './secrets.js';
import type { TinyLayout } from './tiny-image.js';

/** Why there can be no such node here, or undefined. */
export async function whyNoNode(): Promise<string | undefined> {
  const programs = ['containerd', 'ctr', 'runc', 'busybox', 'docker-registry', 'skopeo', 'go'];
  return needsPeer(...programs) ?? (await whyNoCriClient());
}

export interface ContainerdNodeOptions {
  /** Of pods. */
  readonly snapshotter: 'landfall' | 'overlayfs';
}

/** A node of a cluster without its kubelet: a registry, containerd, and landfall as its snapshotter. */
export class ContainerdNode implements AsyncDisposable {
  readonly containerd: Containerd;
  /** Of landfall, as the namespace has it. */
  readonly root: string;
  readonly #namespace: NodeNamespace;
  readonly #registries: DockerRegistry[];
  #daemon: NodeProcess | undefined;
  #client: CriClient | undefined;

  private constructor(namespace: NodeNamespace, registry: DockerRegistry, containerd: Containerd) {
    this.containerd = containerd;
    this.root = rootIn(namespace);
    this.#namespace = namespace;
    this.#registries = [registry];
  }

  static async start({ snapshotter }: ContainerdNodeOptions): Promise<ContainerdNode> {
    const registry = await startDockerRegistry();
    const namespace = await NodeNamespace.start();
    try {
      const sandboxImage = `${registry.address}/pause:1`;
      await makeImage(namespace, { name: 'pause', layers: 0 }, sandboxImage);
      const containerd = await Containerd.start(namespace, {
        snapshotter,
        sandboxImage,
        landfall: { socket: join(namespace.directory, 's.sock'), root: rootIn(namespace) },
      });
      await containerd.trust(registry.address);
      return new ContainerdNode(namespace, registry, containerd);
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      await registry.stop();
      throw error;
    }
  }

  get registry(): DockerRegistry {
    const [registry] = this.#registries;
    if (registry === undefined) throw new Error('the node has no registry');
    return registry;
  }

  /** Of landfall's own CRI. */
  get landfallClient(): CriClient {
    if (this.#client === undefined) throw new Error('landfall was not started');
    return this.#client;
  }

  /**
   * Starts the daemon, for the first time or once it was ended, and waits until containerd, which has to run,
   * has found it.
   *
   * @param o `faultPoint`: where it is to die, as LANDFALL_FAULT_POINT says it; `options`: more of them;
   *   `under`: a command that it is to follow
   */
  async startLandfall({
    faultPoint = '',
    options = [],
    under = [],
  }: {
    readonly faultPoint?: string;
    readonly options?: readonly string[];
    readonly under?: readonly string[];
  } = {}): Promise<void> {
    const { directory } = this.#namespace;
    const [cri, snapshotter] = [join(directory, 'l.sock'), join(directory, 's.sock')];
    const daemon = ['daemon', '--cri', `unix://${cri}`, '--snapshotter', `unix://${snapshotter}`];
    this.#daemon = await this.#namespace.start(
      'env',
      [
        ...[`LANDFALL_FAULT_POINT=${faultPoint}`, ...under, process.execPath],
        ...[LANDFALL, '--root', this.root, '--plain-http', ...daemon],
        ...['--containerd', `unix://${this.containerd.socket}`, ...options],
      ],
      { until: /^serving /, onLine: (line) => record('what the daemon says', line) },
    );
    this.#client = await connectCri(this.#namespace.reach(cri));
    await this.#reached();
  }

  async endLandfall(signal: 'TERM' | 'KILL'): Promise<void> {
    await this.#client?.[Symbol.asyncDispose]();
    await this.#daemon?.end(signal);
    this.#client = undefined;
    this.#daemon = undefined;
  }

  /**
   * Ends it while calls are under way, which its `restart` waits for. That starts it again all the same.
   * Where its own clean-up comes to no end, since it waits for such a call, it is killed.
   */
  async endContainerd(signal: 'TERM' | 'KILL'): Promise<void> {
    const end = `kill -${signal} $(pidof containerd)
      for tenth in $(seq 100); do pidof containerd >/dev/null || exit 0; sleep 0.1; done
      kill -KILL $(pidof containerd)`;
    await outputAt(this.#namespace, 'sh', '-c', end);
  }

  /** Where all of it runs. */
  get place(): Place {
    return this.#namespace;
  }

  /** At which landfall serves its snapshots, for this process to reach. */
  get snapshotsSocket(): string {
    return this.#namespace.reach(join(this.#namespace.directory, 's.sock'));
  }

  /** What the daemon has said since it was started. */
  get landfallLog(): readonly string[] {
    return this.#daemon?.log ?? [];
  }

  /** Writes a file that only the node has. @returns its path there */
  async writeFile(name: string, text: string | Buffer): Promise<string> {
    const path = join(this.#namespace.directory, name);
    await mkdir(dirname(this.#namespace.reach(path)), { recursive: true });
    await writeFile(this.#namespace.reach(path), text);
    return path;
  }

  /** Runs a command of landfall on the daemon's root. */
  landfall(...args: readonly string[]): Promise<CommandResult> {
    return landfallAt(this.#namespace, ['--root', this.root, ...args]);
  }

  /** The same for one that is to succeed, and what it answers. */
  async landfallJson<T>(...args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.landfall('--progress', 'none', '--output', 'json', ...args);
    if (code !== 0) throw new Error(`landfall ${args.join(' ')} failed (${code}):\n${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** One more registry, which may be stopped. */
  async addRegistry(): Promise<DockerRegistry> {
    const registry = await startDockerRegistry();
    this.#registries.push(registry);
    await this.containerd.trust(registry.address);
    return registry;
  }

  /** Makes an image for pods and pushes it. @returns its layout, and its name */
  async makeImage(
    image: Parameters<typeof makePodLayout>[1],
    registry: DockerRegistry = this.registry,
  ): Promise<TinyLayout & { readonly reference: string }> {
    const reference = `${registry.address}/fleet/${image.name}:1`;
    return { ...(await makeImage(this.#namespace, image, reference)), reference };
  }

  runPod(image: string): Promise<Pod> {
    return runPod(this.containerd.client, image);
  }

  /** What a pod prints of its image's layers. */
  print(pod: Pod): Promise<string> {
    return printInPod(this.containerd.client, pod, ...PRINT_PARTS);
  }

  /** How many layers lie unpacked in landfall's store, containers' own included. */
  async countSnapshots(): Promise<number> {
    const names = await readdir(this.#namespace.reach(join(this.root, 'snapshots')));
    return names.filter((name) => /^\d+$/.test(name)).length;
  }

  /**
   * Until containerd has found its snapshotter: it tries only every few seconds to reach one that was not
   * there.
   */
  async #reached(): Promise<void> {
    const snapshots = (...args: readonly string[]): Promise<string> =>
      patiently(() => this.containerd.ctr('-n', 'k8s.io', 'snapshots', '--snapshotter', 'landfall', ...args));
    const [, ...known] = (await snapshots('ls')).trim().split('\n');
    // Of those that it knows it has asked for each. Where it knows none, only making one tells.
    if (known.length > 0) return;
    await snapshots('prepare', 'reached');
    await snapshots('rm', 'reached');
    await collectOfContainerd(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endLandfall('TERM');
    await this.containerd[Symbol.asyncDispose]();
    await this.#namespace[Symbol.asyncDispose]();
    for (const registry of this.#registries) await registry.stop();
  }
}

const PATIENCE_MS = 15_000;
const POLL_MS = 100;

/** What comes of trying until it succeeds. */
async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(POLL_MS);
    }
  }
}

function rootIn(namespace: NodeNamespace): string {
  return join(namespace.directory, 'landfall');
}

async function makeImage(
  namespace: NodeNamespace,
  image: Parameters<typeof makePodLayout>[1],
  reference: string,
): Promise<TinyLayout> {
  const directory = join(namespace.directory, `image-${image.name}`);
  const layout = await makePodLayout(namespace.reach(directory), image);
  const copy = ['copy', '--quiet', '--dest-tls-verify=false'];
  await outputAt(namespace, 'skopeo', ...copy, `oci:${directory}:${layout.tag}`, `docker://${reference}`);
  return layout;
}
