import { readFile, writeFile } from 'node:fs/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { whyNoNode } from '../support/containerd-node.js';
import { connectCri } from '../support/cri-client.js';
import { installCrictl } from '../support/documentation/crictl.js';
import { FreshMachine } from '../support/documentation/fresh-machine.js';
import { printInPod, runPod } from '../support/pod.js';
import { makePodLayout, partsOf, PRINT_PARTS } from '../support/pod-image.js';

const README = resolve(import.meta.dirname, '../../deploy/containerd/README.md');
const REGISTRY = '127.0.0.1:5000';
const CONTAINERD = '/run/containerd/containerd.sock';
const CONFIG = '/etc/containerd/config.toml';
const IMAGE = { name: 'brig', layers: 3 };
const REFERENCE = `${REGISTRY}/fleet/brig:1`;

/** What a node says of its containerd that has nothing to do with landfall. */
const OWN_CONFIG = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${REGISTRY}/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
`;

/** What systemd does with the units of a node, as far as the page needs it: there is no kubelet here. */
const SYSTEMCTL = `#!/bin/bash
set -euo pipefail
verb=$1; shift
[ "$verb" = disable ] && verb=stop
stop() {
  [ -f "/run/$1.pid" ] || return 0
  kill "$(cat "/run/$1.pid")" && while kill -0 "$(cat "/run/$1.pid")" 2>/dev/null; do sleep 0.1; done
  rm "/run/$1.pid"
}
start() {
  case $1 in
    containerd) command=containerd socket=${CONTAINERD} ;;
    landfall)
      command=$(cat /etc/systemd/system/landfall.service /etc/systemd/system/landfall.service.d/*.conf 2>/dev/null |
        sed -n 's|^ExecStart=/usr/bin/||p' | tail -n 1)
      socket=/run/landfall/landfall.sock ;;
    *) return 0 ;;
  esac
  rm -f "$socket"
  setsid sh -c 'echo $$ >"$0" && exec $1' "/run/$1.pid" "$command" </dev/null >>"/run/$1.log" 2>&1 &
  until [ -S "$socket" ]; do sleep 0.1; done
}
for unit; do
  case $unit-$verb in
    --now-*|*-daemon-reload) ;;
    *-restart) stop "$unit"; start "$unit" ;;
    *) "$verb" "$unit" ;;
  esac
done
`;

/** The commands of a part of the page, one list for each block. */
async function commandsOf(part: string): Promise<readonly (readonly string[])[]> {
  const [, text = ''] = (await readFile(README, 'utf8')).split(`\n## ${part}\n`);
  const [own = ''] = text.split('\n## ');
  return [...own.matchAll(/(?:^ {4}.*\n)+/gm)].map(([block]) =>
    block
      .trimEnd()
      .split('\n')
      .map((line) => line.trim()),
  );
}

/** A node whose pods run on containerd's own snapshotter. */
class Node implements AsyncDisposable {
  readonly machine: FreshMachine;
  readonly #media: string;

  private constructor(machine: FreshMachine, media: string) {
    this.machine = machine;
    this.#media = media;
  }

  static async start(): Promise<Node> {
    const media = await mkdtemp(join(tmpdir(), 'landfall-media-'));
    const node = new Node(await FreshMachine.start({ media }), media);
    await node.write('/usr/local/bin/systemctl', SYSTEMCTL);
    await node.write('/usr/local/bin/kubectl', '#!/bin/sh\n');
    await node.type(
      'chmod 755 /usr/local/bin/*ctl; mkdir -p /etc/containerd/certs.d/$0 /etc/landfall',
      REGISTRY,
    );
    await node.write(CONFIG, OWN_CONFIG);
    await node.write(`/etc/containerd/certs.d/${REGISTRY}/hosts.toml`, `server = "http://${REGISTRY}"\n`);
    await node.write('/etc/landfall/config.toml', 'plain-http = true\n');
    await installCrictl(node.machine);
    await node.type(
      'cp /usr/local/lib/node_modules/landfall/deploy/systemd/landfall.service /etc/systemd/system',
    );
    await node.#serveImages();
    await node.type('systemctl start containerd');
    return node;
  }

  async #serveImages(): Promise<void> {
    await this.write(
      '/tmp/registry.yml',
      `version: 0.1\nstorage: { filesystem: { rootdirectory: /tmp/registry } }\nhttp: { addr: "${REGISTRY}" }\n`,
    );
    await this.type('setsid docker-registry serve /tmp/registry.yml </dev/null >/tmp/registry.log 2>&1 &');
    await this.type('until (echo >/dev/tcp/127.0.0.1/5000) 2>/dev/null; do sleep 0.1; done');
    for (const [image, name] of [
      [IMAGE, REFERENCE],
      [{ name: 'pause', layers: 0 }, `${REGISTRY}/pause:1`],
    ] as const) {
      const { tag } = await makePodLayout(this.machine.reach(`/tmp/${image.name}`), image);
      const copy = 'skopeo copy --quiet --dest-tls-verify=false';
      await this.type(`${copy} oci:/tmp/${image.name}:${tag} docker://${name}`);
    }
  }

  async write(path: string, text: string): Promise<void> {
    await writeFile(this.machine.reach(path), text);
  }

  /** What commands print; throws what they said when they fail. */
  async type(commands: string, ...args: readonly string[]): Promise<string> {
    const given = args.reduce((text, arg, at) => text.replaceAll(`$${at}`, arg), commands);
    const { code, stdout, stderr } = await this.machine.type(given);
    if (code !== 0) throw new Error(`${given} ended with ${code}:\n${stdout}${stderr}`);
    return stdout;
  }

  /** Pulls the image where crictl is told to, and gives what a pod of it prints. */
  async printInPod(): Promise<string> {
    await this.type(`crictl pull ${REFERENCE}`);
    await using client = await connectCri(this.machine.reach(CONTAINERD));
    await expect.poll(async () => (await client.ask('Status')).error, { timeout: 30_000 }).toBeUndefined();
    return await printInPod(client, await runPod(client, REFERENCE), ...PRINT_PARTS);
  }

  /** The snapshots of pods that a snapshotter has. */
  async snapshots(snapshotter: string): Promise<readonly string[]> {
    const printed = await this.type(`ctr -n k8s.io snapshots --snapshotter ${snapshotter} ls`);
    return printed.trim().split('\n').slice(1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
    await rm(this.#media, { recursive: true });
  }
}

const reason = await whyNoNode();

describe.skipIf(reason !== undefined)('the page of deploy/containerd', () => {
  it('leads a node to landfall, and back, with pods that run before, between and after', async () => {
    await using node = await Node.start();
    await node.write('/etc/crictl.yaml', `runtime-endpoint: unix://${CONTAINERD}\n`);
    expect(await node.printInPod()).toBe(partsOf(IMAGE));
    // As docs/node.md has it written.
    const images = 'image-endpoint: unix:///run/landfall/landfall.sock\n';
    await node.write('/etc/crictl.yaml', `runtime-endpoint: unix://${CONTAINERD}\n${images}`);

    await node.type('cd /usr/local/lib/node_modules/landfall/deploy/containerd');
    for (const command of (await commandsOf('The way in')).flat()) {
      if (!command.startsWith('landfall doctor')) await node.type(command);
      else {
        const { stdout } = await node.machine.type(command);
        await node.write(CONFIG, `${OWN_CONFIG}${stdout.slice(stdout.indexOf('\n'))}`);
        await node.type(command);
      }
    }
    expect(await node.snapshots('overlayfs')).toEqual([]);
    expect(await node.printInPod()).toBe(partsOf(IMAGE));
    expect(await node.snapshots('landfall')).not.toEqual([]);
    expect(await node.snapshots('overlayfs')).toEqual([]);

    const [drained = [], others = []] = await commandsOf('The way back');
    for (const command of drained) await node.type(command);
    expect(await node.snapshots('landfall')).toEqual([]);
    await node.write(CONFIG, OWN_CONFIG);
    for (const command of others) await node.type(command);
    expect(await node.printInPod()).toBe(partsOf(IMAGE));
    expect(await node.snapshots('overlayfs')).not.toEqual([]);
    expect(await node.type('ls /var/lib')).not.toContain('landfall');
  }, 180_000);
});
