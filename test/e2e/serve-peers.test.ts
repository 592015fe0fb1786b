import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

import bcrypt from 'bcryptjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { DEMO_NAME } from '../../fixtures/demo-image.js';
import { OciLayout } from '../../src/content/index.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { LANDFALL, runCommand } from '../support/landfall-command.js';
import { NodeNamespace } from '../support/node-namespace.js';
import { needsPeer } from '../support/peers.js';
import { secret } from '../support/secrets.js';
import { selfSigned } from '../support/self-signed.js';
import { landfall, landfallJson } from '../support/warm-command.js';

/*
 * `landfall serve --writable` as other programs push to it, pull from it and delete from it: the demo image, with two platforms.
 */

const LAYOUT = resolve(import.meta.dirname, '../../fixtures/image');
const PASSWORD = secret('serve-peers-pass', 'password of landfall serve');

interface Served {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly child: ChildProcess;
}

let scratch: string;
let target: Descriptor;
let root: string;
let served: Served;
let other: DockerRegistry;

/** Starts the built command, and waits until it listens. */
async function serve(at: string, ...options: string[]): Promise<Served> {
  const given = [
    'serve',
    '--writable',
    '--listen',
    '127.0.0.1:0',
    '--root',
    at,
    '--output',
    'json',
    ...options,
  ];
  const child = spawn(process.execPath, [LANDFALL, ...given, '--log-level', 'warn'], {
    env: { PATH: process.env['PATH'] ?? '', HOME: scratch },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const line of createInterface({ input: child.stdout })) {
    said += line;
    if (line === '}') break;
  }
  const { url } = JSON.parse(said) as { url: string };
  return { host: new URL(url).host, child };
}

async function stop({ child }: Served, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

/** What a peer prints, with nothing of the machine's own configuration; throws what it said when it fails. */
async function run(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(program, args, {
    env: { HOME: scratch, TMPDIR: scratch, XDG_RUNTIME_DIR: scratch },
    cwd: scratch,
  });
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} failed (${code}):\n${stderr}`);
  return stdout;
}

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'landfall-serve-peers-'));
  target = await (await OciLayout.open(LAYOUT)).resolve(DEMO_NAME);
  root = join(scratch, 'root');
  served = await serve(root);
  other = await startDockerRegistry();
  await run(
    'skopeo',
    'copy',
    '--all',
    '--preserve-digests',
    '--dest-tls-verify=false',
    `oci:${LAYOUT}:${DEMO_NAME}`,
    `docker://${served.host}/team/demo:1`,
  );
});

afterAll(async () => {
  await stop(served);
  await other[Symbol.asyncDispose]();
  await rm(scratch, { recursive: true, force: true });
});

/** The digest that a tag has. */
async function digestAt(name: string, host = served.host): Promise<string | null> {
  const [path, tag] = name.split(':');
  const reply = await fetch(`http://${host}/v2/${path}/manifests/${tag}`, {
    method: 'HEAD',
    headers: { Accept: `${MEDIA_TYPES.ociIndex}, ${MEDIA_TYPES.ociManifest}` },
  });
  return reply.status === 200 ? reply.headers.get('docker-content-digest') : null;
}

describe.skipIf(needsPeer('skopeo') !== undefined)('skopeo', () => {
  const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];

  test('pushes all platforms, under the digest that they had', async () => {
    expect(await digestAt('team/demo:1')).toBe(target.digest);
  });

  test('copies within the server, from it to docker-registry, and back', async () => {
    const copy = ['copy', '--all', '--preserve-digests', ...insecure];
    await run(
      'skopeo',
      ...copy,
      `docker://${served.host}/team/demo:1`,
      `docker://${served.host}/other/demo:1`,
    );
    await run('skopeo', ...copy, `docker://${served.host}/other/demo:1`, `docker://${other.address}/demo:1`);
    await run('skopeo', ...copy, `docker://${other.address}/demo:1`, `docker://${served.host}/back/demo:1`);
    expect(await digestAt('other/demo:1')).toBe(target.digest);
    expect(await digestAt('back/demo:1')).toBe(target.digest);
  });

  test('inspects, and syncs to a directory and back', async () => {
    const reference = `docker://${served.host}/team/demo:1`;
    const inspected = JSON.parse(
      await run('skopeo', 'inspect', '--tls-verify=false', '--override-arch=amd64', reference),
    ) as { Digest: string; RepoTags: string[] };
    expect([inspected.Digest, inspected.RepoTags]).toEqual([target.digest, ['1']]);
    const directory = join(scratch, 'synced');
    const sync = ['sync', '--all', '--preserve-digests', ...insecure];
    await run('skopeo', ...sync, '--src', 'docker', '--dest', 'dir', `${served.host}/team/demo`, directory);
    await run('skopeo', ...sync, '--src', 'dir', '--dest', 'docker', directory, `${served.host}/synced`);
    expect(await digestAt('synced/demo:1')).toBe(target.digest);
  });

  test('deletes', async () => {
    const reference = `docker://${served.host}/gone/demo:1`;
    await run(
      'skopeo',
      'copy',
      '--override-arch=amd64',
      ...insecure,
      `docker://${served.host}/team/demo:1`,
      reference,
    );
    await run('skopeo', 'delete', '--tls-verify=false', reference);
    await expect(run('skopeo', 'inspect', '--tls-verify=false', reference)).rejects.toThrow(/unknown/);
  });
});

describe.skipIf(needsPeer('oras') !== undefined)('oras', () => {
  test('pushes an artifact and pulls it', async () => {
    await writeFile(join(scratch, 'note.txt'), 'a note');
    const name = `${served.host}/team/note:1`;
    await run(
      'oras',
      'push',
      '--plain-http',
      '--artifact-type',
      'application/vnd.example.note',
      name,
      'note.txt:text/plain',
    );
    await mkdir(join(scratch, 'pulled'));
    await run('oras', 'pull', '--plain-http', '--output', join(scratch, 'pulled'), name);
    expect(await readFile(join(scratch, 'pulled', 'note.txt'), 'utf8')).toBe('a note');
  });

  test('attaches to an image, discovers it, and copies both', async () => {
    await writeFile(join(scratch, 'sbom.json'), '{}');
    const name = `${served.host}/team/demo:1`;
    const attach = ['attach', '--plain-http', '--artifact-type', 'application/vnd.example.sbom'];
    await run('oras', ...attach, name, 'sbom.json:application/json');
    const discover = ['discover', '--plain-http', '--format', 'json'];
    const of = async (reference: string): Promise<string> => {
      const text = await run('oras', ...discover, reference);
      return JSON.stringify(JSON.parse(text));
    };
    expect(await of(name)).toContain('application/vnd.example.sbom');
    const copied = `${served.host}/copied/demo:1`;
    const plain = ['--from-plain-http', '--to-plain-http'];
    await run('oras', 'copy', '--recursive', ...plain, name, copied);
    expect(await of(copied)).toContain('application/vnd.example.sbom');
    expect(await digestAt('copied/demo:1')).toBe(target.digest);
  });

  test('pushes and deletes a blob and a manifest', async () => {
    await writeFile(join(scratch, 'blob'), 'some bytes');
    const name = `${served.host}/team/loose`;
    const digest = digestOf(Buffer.from('some bytes'));
    await run('oras', 'blob', 'push', '--plain-http', `${name}@${digest}`, 'blob');
    await run('oras', 'blob', 'delete', '--plain-http', '--force', `${name}@${digest}`);
    await expect(
      run('oras', 'blob', 'fetch', '--plain-http', '--descriptor', `${name}@${digest}`),
    ).rejects.toThrow(/not found/);
    await run(
      'oras',
      'copy',
      '--from-plain-http',
      '--to-plain-http',
      `${served.host}/team/demo:1`,
      `${name}:1`,
    );
    await run('oras', 'manifest', 'delete', '--plain-http', '--force', `${name}:1`);
    expect(await digestAt('team/loose:1')).toBeNull();
  });
});

describe.skipIf(needsPeer('buildah') !== undefined)('buildah', () => {
  test('pushes what it built, in a stream, and pulls it', async () => {
    const store = [
      '--root',
      join(scratch, 'vfs'),
      '--runroot',
      join(scratch, 'vfs-run'),
      '--storage-driver',
      'vfs',
    ];
    await writeFile(join(scratch, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
    await writeFile(join(scratch, 'file'), randomBytes(2_000_000));
    const container = (await run('buildah', ...store, 'from', '--name', 'built', 'scratch')).trim();
    await run('buildah', ...store, 'add', '-q', container, join(scratch, 'file'), '/file');
    await run('buildah', ...store, 'commit', '-q', container, 'built');
    const reference = `docker://${served.host}/team/built:1`;
    const policy = ['--signature-policy', join(scratch, 'policy.json'), '--tls-verify=false'];
    await run('buildah', ...store, 'push', '-q', ...policy, 'built', reference);
    await run('buildah', ...store, 'rm', container);
    await run('buildah', ...store, 'rmi', 'built');
    await run('buildah', ...store, 'pull', '-q', ...policy, reference);
    expect(await digestAt('team/built:1')).not.toBeNull();
  });
});

const noContainerd = needsPeer('containerd') ?? needsPeer('ctr');

describe.skipIf(noContainerd !== undefined)('containerd', () => {
  test('pulls an image and pushes it under another name', async () => {
    await using node = await NodeNamespace.start();
    const socket = join(node.directory, 'c.sock');
    const config = join(node.directory, 'config.toml');
    const lines = [
      'version = 2',
      `root = "${node.directory}/root"`,
      `state = "${node.directory}/state"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `address = "${socket}"`,
      '[ttrpc]',
      `address = "${socket}.ttrpc"`,
    ];
    await writeFile(node.reach(config), lines.join('\n'));
    const containerd = await node.start('containerd', ['--config', config], { until: /successfully booted/ });
    const ctr = async (...args: string[]): Promise<void> => {
      const { code, stderr } = await node.run('ctr', ['--address', socket, 'images', ...args]);
      expect([args[0], code, code === 0 ? '' : stderr]).toEqual([args[0], 0, '']);
    };
    await ctr(
      'pull',
      '--plain-http',
      '--all-platforms',
      '--snapshotter',
      'native',
      `${served.host}/team/demo:1`,
    );
    await ctr('push', '--plain-http', `${served.host}/from/containerd:1`, `${served.host}/team/demo:1`);
    expect(await digestAt('from/containerd:1')).toBe(target.digest);
    await containerd.end();
  });
});

describe('landfall', () => {
  test('pulls what others pushed, and finds the store sound', async () => {
    const at = join(scratch, 'puller');
    const result = await landfall([
      '--root',
      at,
      '--plain-http',
      'pull',
      '--all-platforms',
      `${served.host}/team/demo:1`,
    ]);
    expect([result.code, result.code === 0 ? '' : result.stderr]).toEqual([0, '']);
    const images = await landfallJson<{ digest: string }[]>(['--root', at, 'images']);
    expect(images.map(({ digest }) => digest)).toContain(target.digest);
    expect((await landfall(['--root', root, 'fsck'])).stdout).toContain('the store is sound');
    expect((await landfall(['--root', root, 'gc'])).code).toBe(0);
    expect(await digestAt('team/demo:1')).toBe(target.digest);
  });

  test('copies with all that refers to an image, within the server and to docker-registry and back', async () => {
    for (const [from, to] of [
      [`${served.host}/team/demo:1`, `${served.host}/moved/demo:1`],
      [`${served.host}/moved/demo:1`, `${other.address}/moved/demo:1`],
      [`${other.address}/moved/demo:1`, `${served.host}/returned/demo:1`],
    ] as const) {
      const copy = ['--plain-http', 'copy', '--all', '--referrers', `docker://${from}`, `docker://${to}`];
      const result = await landfall(copy);
      expect([to, result.code, result.code === 0 ? '' : result.stderr]).toEqual([to, 0, '']);
    }
    expect(await digestAt('returned/demo:1')).toBe(target.digest);
  });

  test('deletes a tag', async () => {
    const name = `docker://${served.host}/moved/demo:1`;
    expect((await landfall(['--plain-http', 'delete', name])).code).toBe(0);
    expect(await digestAt('moved/demo:1')).toBeNull();
    expect(await digestAt('team/demo:1')).toBe(target.digest);
  });
});

describe('a server with passwords and TLS', () => {
  let guarded: Served;
  let certificates: string;

  beforeAll(async () => {
    const { cert, key } = selfSigned();
    certificates = join(scratch, 'certificates');
    await mkdir(certificates);
    for (const [name, content] of Object.entries({
      'ca.crt': cert,
      key,
      users: `pilot:${bcrypt.hashSync(PASSWORD, 4)}\n`,
    })) {
      await writeFile(join(certificates, name), content);
    }
    const tls = ['--tls-cert', join(certificates, 'ca.crt'), '--tls-key', join(certificates, 'key')];
    const users = ['--htpasswd', join(certificates, 'users'), '--anonymous-read'];
    guarded = await serve(join(scratch, 'guarded'), ...tls, ...users);
  });

  afterAll(() => stop(guarded));

  test.skipIf(needsPeer('skopeo') !== undefined)(
    'is pushed to by skopeo with the password alone, and read by everybody',
    async () => {
      const reference = `docker://${guarded.host}/team/demo:1`;
      const push = [
        'copy',
        '--all',
        '--preserve-digests',
        '--dest-cert-dir',
        certificates,
        `oci:${LAYOUT}:${DEMO_NAME}`,
        reference,
      ];
      await expect(run('skopeo', ...push)).rejects.toThrow(
        /unauthorized|authentication required|credentials/i,
      );
      await run('skopeo', push[0] ?? '', '--dest-creds', `pilot:${PASSWORD}`, ...push.slice(1));
      const inspect = ['inspect', '--raw', '--cert-dir', certificates, reference];
      expect(digestOf(Buffer.from(await run('skopeo', ...inspect)))).toBe(target.digest);
    },
  );

  test.skipIf(needsPeer('oras') !== undefined)('is pushed to by oras with the password alone', async () => {
    await writeFile(join(scratch, 'guarded.txt'), 'x');
    const name = `${guarded.host}/team/note:1`;
    const push = ['push', '--ca-file', join(certificates, 'ca.crt'), name, 'guarded.txt'];
    // Without a password oras 1.2 ends, by its own fault, in a panic.
    await expect(run('oras', ...push)).rejects.toThrow();
    await run('oras', push[0] ?? '', '-u', 'pilot', '-p', PASSWORD, ...push.slice(1));
  });
});

test('a server that is killed in the middle of a push goes on with it afterwards, and loses nothing that it had said was there', async () => {
  const at = join(scratch, 'killed');
  let server = await serve(at);
  const bytes = randomBytes(4_000_000);
  const digest = digestOf(bytes);
  const whole = randomBytes(1000);
  const pushed = await fetch(`http://${server.host}/v2/team/app/blobs/uploads/?digest=${digestOf(whole)}`, {
    method: 'POST',
    body: whole,
  });
  expect(pushed.status).toBe(201);
  const begun = await fetch(`http://${server.host}/v2/team/app/blobs/uploads/`, { method: 'POST' });
  const place = begun.headers.get('location') ?? '';
  const request = http.request(`http://${server.host}${place}`, {
    method: 'PATCH',
    headers: { 'Content-Length': bytes.length },
  });
  request.on('error', () => undefined);
  request.write(bytes.subarray(0, 1_500_000));
  const progress = async (): Promise<number> => {
    const reply = await fetch(`http://${server.host}${place}`);
    return Number(reply.headers.get('range')?.split('-')[1]) + 1;
  };
  await expect.poll(progress, { timeout: 20_000 }).toBe(1_500_000);
  await stop(server, 'SIGKILL');
  server = await serve(at);
  try {
    expect(await progress()).toBe(1_500_000);
    expect((await landfall(['--root', at, 'gc'])).code).toBe(0);
    const rest = await fetch(`http://${server.host}${place}?digest=${digest}`, {
      method: 'PUT',
      headers: { 'Content-Range': `1500000-${bytes.length - 1}` },
      body: bytes.subarray(1_500_000),
    });
    expect(rest.status).toBe(201);
    for (const one of [digest, digestOf(whole)]) {
      const pulled = await fetch(`http://${server.host}/v2/team/app/blobs/${one}`);
      expect(digestOf(Buffer.from(await pulled.arrayBuffer()))).toBe(one);
    }
  } finally {
    await stop(server);
  }
});
