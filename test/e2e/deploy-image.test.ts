import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CertificateAuthority } from '../support/certificate-authority.js';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../support/docker-registry.js';
import { type CommandResult, LANDFALL } from '../support/landfall-command.js';
import { outputAt } from '../support/mount-namespace.js';
import { NodeNamespace } from '../support/node-namespace.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout } from '../support/tiny-image.js';

const DEPLOY = resolve(import.meta.dirname, '../../deploy/kubernetes');
const MAKE_IMAGE = resolve(import.meta.dirname, '../../dist/scripts/make-image.js');
const IMAGE = 'localhost/landfall:0.1.0';
const PEERS = ['mmdebstrap', 'buildah', 'podman', 'catatonit', 'runc', 'docker-registry', 'skopeo'];

describe.skipIf(needsPeer(...PEERS) !== undefined)('the image of landfall', () => {
  let node: NodeNamespace;
  let registry: DockerRegistry;
  let authority: CertificateAuthority;
  let storage: readonly string[];

  beforeAll(async () => {
    authority = new CertificateAuthority();
    registry = await startDockerRegistry({ htpasswd: true, tls: authority.server() });
    node = await NodeNamespace.start();
    const at = (name: string): string => join(node.directory, name);
    storage = ['--root', at('containers'), '--runroot', at('run'), '--storage-driver', 'overlay'];
    await outputAt(node, process.execPath, MAKE_IMAGE, IMAGE, ...storage);
  });
  afterAll(async () => {
    await node[Symbol.asyncDispose]();
    await registry.stop();
  });

  const podman = (...args: readonly string[]): Promise<CommandResult> =>
    node.run('podman', [...storage, '--runtime', 'runc', '--cgroup-manager', 'cgroupfs', ...args]);

  it('is Node.js and the package, with no shell, and nothing of the machine that built it', async () => {
    const mounted = (await outputAt(node, 'buildah', ...storage, 'from', IMAGE)).trim();
    const tree = (await outputAt(node, 'buildah', ...storage, 'mount', mounted)).trim();
    const listed = async (directory: string): Promise<string[]> =>
      (await outputAt(node, 'ls', join(tree, directory))).trim().split('\n');
    expect(await listed('usr/bin')).toEqual(['landfall', 'node']);
    expect((await listed('usr')).includes('sbin')).toBe(false);
    expect(await listed('etc')).not.toContain('resolv.conf');
    expect(await listed('usr/lib/landfall/dist')).toEqual(['bin', 'native']);
    const packages = await listed('usr/lib/landfall/node_modules');
    expect(packages).toEqual(['@koromix', 'bcryptjs', 'koffi']);
  });

  it('runs the command, and has all of its native modules', async () => {
    expect(await podman('run', '--rm', '--network=host', IMAGE, '--version')).toMatchObject({
      code: 0,
      stdout: 'landfall 0.1.0\n',
    });
    const { stdout } = await podman('run', '--rm', '--network=host', IMAGE, 'doctor', '--output', 'json');
    const { capabilities } = JSON.parse(stdout) as { capabilities: { name: string; available: boolean }[] };
    const missing = capabilities.filter(({ available }) => !available).map(({ name }) => name);
    for (const name of ['SQLite', 'native calls', 'zstd', 'native zlib', 'ISA-L'])
      expect(missing).not.toContain(name);
  });

  it('pre-pulls as the DaemonSet has it, from a registry with a password and an authority of the site', async () => {
    const { username, password } = REGISTRY_USER;
    const directory = join(node.directory, 'layout');
    const { tag } = await makeTinyLayout(node.reach(directory));
    const wanted = `${registry.address}/fleet/app:1`;
    await outputAt(
      node,
      ...(['skopeo', 'copy', '--quiet', '--dest-tls-verify=false'] as const),
      ...['--dest-creds', `${username}:${password}`, `oci:${directory}:${tag}`, `docker://${wanted}`],
    );
    const port = await freePort();
    const host = join(node.directory, 'host');
    const text = await Promise.all(
      ['images.yaml', 'private-registry.yaml', 'daemonset.yaml'].map((name) =>
        readFile(join(DEPLOY, name), 'utf8'),
      ),
    );
    const filled = text
      .join('\n---\n')
      .replace('hosts/registry.example', `hosts/${registry.address.replace(':', '_')}_`)
      .replaceAll('registry.example', registry.address)
      .replace('registry.k8s.io/pause:3.10', wanted)
      .replace("ca.crt: ''", `ca.crt: ${JSON.stringify(authority.cert)}`)
      .replace('"username": "", "password": ""', JSON.stringify({ username, password }).slice(1, -1))
      .replaceAll('landfall:0.1.0', IMAGE)
      .replaceAll('/var/lib/landfall', join(host, 'store'))
      .replaceAll('/run/landfall', join(host, 'run'))
      .replaceAll(':9464', `127.0.0.1:${port}`)
      .replace(/port: metrics\n/g, `port: ${port}\n`)
      .replace(/containerPort: 9464\n *hostPort: 9464/, `containerPort: ${port}`);
    const path = join(node.directory, 'pods.yaml');
    await outputAt(node, 'sh', '-c', `cat >"$1" <<'END'\n${filled}\nEND`, 'sh', path);
    const played = await podman('kube', 'play', path);
    expect(played.code, played.stderr).toBe(0);
    try {
      const ready = async (): Promise<number> =>
        fetch(`http://127.0.0.1:${port}/readyz`).then(
          ({ status }) => status,
          () => 0,
        );
      await expect.poll(ready, { timeout: 60_000 }).toBe(200);
      const root = ['--root', join(host, 'store'), '--output', 'json'];
      const images = async (): Promise<unknown> =>
        JSON.parse(await outputAt(node, process.execPath, LANDFALL, ...root, 'images'));
      await expect.poll(images).toMatchObject([{ name: wanted, pinned: true }]);
    } finally {
      await podman('kube', 'down', path);
    }
  });
});

/** A port that was free a moment ago: the metrics' address is part of the pod's text. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
