import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { listPartials } from '../../src/content/index.js';
import { digestOf } from '../../src/spec/index.js';
import { Containerd } from '../support/containerd.js';
import { whyNoCriClient } from '../support/cri-client.js';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../support/docker-registry.js';
import { imageSteps } from '../support/image-steps.js';
import { peerOutput } from '../support/landfall-command.js';
import { makeLayeredLayout } from '../support/layered-image.js';
import { NodeNamespace } from '../support/node-namespace.js';
import { needsPeer } from '../support/peers.js';
import { selfSigned } from '../support/self-signed.js';
import { ScriptedRegistry } from '../support/scripted-registry.js';
import { ServeProcess } from '../support/serve-process.js';
import type { TinyLayout } from '../support/tiny-image.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const missing =
  needsPeer('docker-registry', 'skopeo', 'containerd', 'ctr', 'runc', 'go') ?? (await whyNoCriClient());

describe.skipIf(missing !== undefined)('a mirror of a site, which serve fills on demand', () => {
  let work: string;
  let layout: TinyLayout;
  let upstream: DockerRegistry;
  let mirror: ServeProcess;
  let hosts: string;
  let reference: string;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-serve-mirror-'));
    layout = await makeLayeredLayout(join(work, 'layout'), { layers: 4, files: 3, fileBytes: 300_000 });
    upstream = await startDockerRegistry();
    reference = `${upstream.address}/fleet/app:1`;
    const copy = ['copy', '--quiet', '--preserve-digests', '--dest-tls-verify=false'];
    await peerOutput('skopeo', [...copy, `oci:${layout.dir}:${layout.tag}`, `docker://${reference}`]);
    mirror = await startMirror(upstream.address);
    hosts = await printedHosts(upstream.address);
  });
  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await upstream.stop();
    await rm(work, { recursive: true });
  });

  const startMirror = (address: string, ...args: readonly string[]): Promise<ServeProcess> =>
    ServeProcess.start([
      ...['--root', join(work, 'mirror'), 'serve', '--pull-through', '--upstream', address],
      ...args,
    ]);
  /** The directory that --print-hosts says. */
  const printedHosts = async (address: string, ...args: readonly string[]): Promise<string> => {
    const directory = join(work, 'certs.d');
    const { files } = await landfallJson<{ files: { path: string; content: string }[] }>([
      ...['serve', '--print-hosts', '--upstream', address, '--advertise', mirror.url],
      ...args,
    ]);
    for (const { path, content } of files) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), content);
    }
    return directory;
  };
  const pull = (node: string): ReturnType<typeof landfall> =>
    landfall([
      '--root',
      join(work, node),
      '--hosts-dir',
      hosts,
      '--progress',
      'none',
      'pull',
      '-q',
      reference,
    ]);
  const isSound = async (): Promise<void> => {
    expect(await landfall(['--root', join(work, 'mirror'), 'fsck'])).toMatchObject({ code: 0 });
  };
  /** How often each blob was asked for, as the upstream logs it; what was pushed is left out. */
  const fetches = async (): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {};
    for (const line of await upstream.accessLog()) {
      const [, digest] = /"GET \/v2\/[^ ]*\/blobs\/(sha256:[0-9a-f]{64})[^"]*" 20/.exec(line) ?? [];
      if (digest !== undefined) counts[digest] = (counts[digest] ?? 0) + 1;
    }
    return counts;
  };
  /** What a node asked the upstream itself for. */
  const direct = async (): Promise<string[]> =>
    (await upstream.accessLog()).filter(
      (line) => !/"(?:skopeo|landfall\/[^"]* pull-through)\/[^"]*"$/.test(line),
    );
  const blobs = (): string[] => {
    const [{ config, layers }] = layout.manifests;
    return [config, ...layers].map(({ digest }) => digest);
  };
  const onceEach = (): Record<string, number> => Object.fromEntries(blobs().map((digest) => [digest, 1]));
  const get = async (path: string): Promise<{ status: number | undefined; body: Buffer }> => {
    const request = http.get(`${mirror.url}${path}?ns=${upstream.address}`, { agent: false });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    return { status: response.statusCode, body: await buffer(response) };
  };

  it('asks no address that an image names, whatever the option says', async () => {
    await using elsewhere = await ScriptedRegistry.start([]);
    const [image] = layout.manifests;
    const [layer] = image.layers;
    if (layer === undefined) throw new Error('no layer');
    const foreign = {
      ...layer,
      mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      urls: [`${elsewhere.origin}/layer`],
    };
    const text = JSON.parse(String(layout.blobs.get(image.manifest.digest))) as { layers: object[] };
    const bytes = Buffer.from(JSON.stringify({ ...text, layers: [foreign, ...text.layers.slice(1)] }));
    const target = { ...image.manifest, digest: digestOf(bytes), size: bytes.length };
    const blobs = new Map([...layout.blobs, [target.digest, bytes] as const]);
    blobs.delete(layer.digest);
    const edited: TinyLayout = { ...layout, target, manifests: [{ ...image, manifest: target }], blobs };
    await using registry = await ScriptedRegistry.start([
      ...imageSteps(edited, { repository: 'team/app', tag: '1' }),
      { on: `GET /v2/team/app/blobs/${layer.digest}`, times: 'any', status: 404 },
      { on: 'GET *', times: 'any', status: 404 },
    ]);
    await using asked = await ServeProcess.start([
      ...['--root', join(work, 'foreign'), '--foreign-urls'],
      ...['serve', '--pull-through', '--upstream', registry.address],
    ]);
    const path = `${asked.url}/v2/team/app`;
    expect((await fetch(`${path}/manifests/1?ns=${registry.address}`)).status).toBe(200);
    expect((await fetch(`${path}/blobs/${layer.digest}?ns=${registry.address}`)).status).toBe(404);
    expect(elsewhere.requests).toEqual([]);
  });

  it('gives it to landfall and to containerd as its printed hosts.toml say, also when the upstream is gone', async () => {
    expect(await pull('first')).toMatchObject({ code: 0, stdout: `${layout.target.digest}\n` });
    expect(await fetches()).toEqual(onceEach());
    expect(await direct()).toEqual([]);
    await vi.waitFor(isSound, { timeout: 20_000 });
    await upstream.stop();
    expect(await pull('second')).toMatchObject({ code: 0, stdout: `${layout.target.digest}\n` });
    await using namespace = await NodeNamespace.start();
    await using containerd = await Containerd.start(namespace, {
      snapshotter: 'overlayfs',
      sandboxImage: 'nobody.example/pause:1',
      landfall: { socket: join(namespace.directory, 's.sock'), root: namespace.directory },
    });
    await containerd.ctr('images', 'pull', '--snapshotter', 'native', '--hosts-dir', hosts, reference);
    expect(await containerd.ctr('images', 'ls', `name==${reference}`)).toContain(layout.target.digest);
    await isSound();
  });

  it('fills itself for containerd with one fetch of each blob', async () => {
    await using namespace = await NodeNamespace.start();
    await using containerd = await Containerd.start(namespace, {
      snapshotter: 'overlayfs',
      sandboxImage: 'nobody.example/pause:1',
      landfall: { socket: join(namespace.directory, 's.sock'), root: namespace.directory },
    });
    await containerd.ctr('images', 'pull', '--snapshotter', 'native', '--hosts-dir', hosts, reference);
    expect(await containerd.ctr('images', 'ls', `name==${reference}`)).toContain(layout.target.digest);
    expect(await fetches()).toEqual(onceEach());
    await upstream.stop();
    expect(await pull('node')).toMatchObject({ code: 0, stdout: `${layout.target.digest}\n` });
    await isSound();
  });

  it('is known by its certificate where it speaks TLS', async () => {
    const { cert, key } = selfSigned();
    await writeFile(join(work, 'cert.pem'), cert);
    await writeFile(join(work, 'key.pem'), key);
    await mirror.end();
    const tls = ['--tls-cert', join(work, 'cert.pem'), '--tls-key', join(work, 'key.pem')];
    mirror = await startMirror(upstream.address, ...tls);
    hosts = await printedHosts(upstream.address, '--ca', join(work, 'cert.pem'));
    expect(await pull('node')).toMatchObject({ code: 0, stdout: `${layout.target.digest}\n` });
    expect(await direct()).toEqual([]);
  });

  it('goes on to the registry where its own hosts.toml lead to it', async () => {
    await mirror.end();
    mirror = await startMirror(upstream.address, '--hosts-dir', join(work, 'certs.d'));
    hosts = await printedHosts(upstream.address);
    expect(await pull('node')).toMatchObject({ code: 0, stdout: `${layout.target.digest}\n` });
    expect(await fetches()).toEqual(onceEach());
  });

  it('asks with credentials of its own, which its clients need not have', async () => {
    await using guarded = await startDockerRegistry({ htpasswd: true });
    const { username, password } = REGISTRY_USER;
    await peerOutput('skopeo', [
      ...['copy', '--quiet', '--preserve-digests', '--dest-tls-verify=false'],
      ...['--dest-creds', `${username}:${password}`],
      ...[`oci:${layout.dir}:${layout.tag}`, `docker://${guarded.address}/fleet/app:1`],
    ]);
    const auth = Buffer.from(`${username}:${password}`).toString('base64');
    const authfile = join(work, 'auth.json');
    await writeFile(authfile, JSON.stringify({ auths: { [guarded.address]: { auth } } }));
    const manifest = `/v2/fleet/app/manifests/1?ns=${guarded.address}`;
    const status = async (): Promise<number> => (await fetch(`${mirror.url}${manifest}`)).status;
    await mirror.end();
    mirror = await startMirror(guarded.address);
    expect(await status()).not.toBe(200);
    await mirror.end();
    mirror = await startMirror(guarded.address, '--authfile', authfile);
    expect(await status()).toBe(200);
  });

  it('fetches each blob once for eight clients at once', async () => {
    const client = async (): Promise<void> => {
      expect(await get('/v2/fleet/app/manifests/1')).toMatchObject({ status: 200 });
      await Promise.all(
        blobs().map(async (digest) => {
          const { status, body } = await get(`/v2/fleet/app/blobs/${digest}`);
          expect([status, digestOf(body)]).toEqual([200, digest]);
        }),
      );
    };
    await Promise.all(Array.from({ length: 8 }, client));
    expect(await fetches()).toEqual(onceEach());
    await vi.waitFor(isSound, { timeout: 20_000 });
  });

  it('goes on where it was after it was killed in the middle of a blob', async () => {
    const [{ layers }] = layout.manifests;
    let slow = true;
    await using slowly = await ScriptedRegistry.start([]);
    slowly.expect(
      ...imageSteps(layout, {
        repository: 'fleet/app',
        tag: '1',
        first: ({ line }) =>
          slow && layers.some(({ digest }) => line.endsWith(digest))
            ? {
                body: layout.blobs.get(layers[0]?.digest ?? ('' as never)) ?? '',
                ranges: true,
                stallAfter: 300_000,
              }
            : undefined,
      }),
    );
    await mirror.end();
    mirror = await startMirror(slowly.address);
    hosts = await printedHosts(slowly.address);
    reference = `${slowly.address}/fleet/app:1`;
    const first = layers[0]?.digest ?? '';
    const path = `/v2/fleet/app/blobs/${first}?ns=${slowly.address}`;
    const request = http.get(`${mirror.url}${path}`, { agent: false });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    const gone = new Promise((resolve) => response.on('close', resolve));
    response.on('error', () => undefined);
    await once(response, 'data');
    response.resume();
    await vi.waitFor(
      async () => {
        const [partial] = await listPartials(join(work, 'mirror'));
        expect(partial?.bytes).toBe(300_000);
      },
      { timeout: 30_000 },
    );
    await mirror.end('SIGKILL');
    await gone;
    expect(response.complete).toBe(false);
    slow = false;
    mirror = await startMirror(slowly.address);
    hosts = await printedHosts(slowly.address);
    expect(await pull('node')).toMatchObject({ code: 0, stdout: `${layout.target.digest}\n` });
    const ranges = slowly.requests
      .filter(({ line }) => line.startsWith('GET ') && line.endsWith(first))
      .map(({ headers }) => headers.range);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.slice(1)).toEqual([expect.stringMatching(/^bytes=300000-/)]);
    await vi.waitFor(isSound, { timeout: 20_000 });
  });
});
