import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RegistryClient } from '../../src/registry/index.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES, parseReference } from '../../src/spec/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { peerOutput, runCommand } from '../support/landfall-command.js';
import { landfallAt, MountNamespace, outputAt } from '../support/mount-namespace.js';
import { needsPeer } from '../support/peers.js';
import { putImage } from '../support/put-artifact.js';
import { makeTinyLayout, type TinyLayout, type TinyManifest } from '../support/tiny-image.js';

const reason = needsPeer('docker-registry', 'skopeo', 'oras', 'umoci');

/** A manifest of an image that is about to be pushed. */
interface Json {
  readonly [field: string]: unknown;
  readonly manifests?: readonly object[];
  readonly config?: object;
}

/** An image that a registry takes, though its form is not what most tools write. */
class OddImage {
  readonly layout: TinyLayout;
  readonly #blobs: Map<Digest, Buffer>;

  constructor(layout: TinyLayout) {
    this.layout = layout;
    this.#blobs = new Map(layout.blobs);
  }

  add(mediaType: string, content: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify(content));
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    this.#blobs.set(descriptor.digest, bytes);
    return descriptor;
  }

  /** A manifest of an attestation or an artifact. */
  addManifest(config: Descriptor, layers: Descriptor[] = []): TinyManifest {
    const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers };
    const manifest = this.add(MEDIA_TYPES.ociManifest, document);
    return { platform: '', manifest, config, layers, diffIds: [] };
  }

  /** The same with other bytes for what its name stands for, and with further manifests. */
  as(edit: (document: Json) => Json, others: readonly TinyManifest[] = []): TinyLayout {
    const { target, manifests } = this.layout;
    const document = JSON.parse(String(this.#blobs.get(target.digest))) as Json;
    const edited = this.add(target.mediaType, edit(document));
    const own = manifests.map((each) =>
      each.manifest.digest === target.digest ? { ...each, manifest: edited } : each,
    );
    const [first = manifests[0], ...rest] = own;
    return { ...this.layout, target: edited, manifests: [first, ...rest, ...others], blobs: this.#blobs };
  }
}

const ATTESTED = { os: 'unknown', architecture: 'unknown' };

describe.skipIf(reason !== undefined)('images of odd forms', () => {
  let work: string;
  let registry: DockerRegistry;
  let client: RegistryClient;
  let place: MountNamespace;
  let names = 0;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-odd-images-'));
    registry = await startDockerRegistry();
    client = new RegistryClient({ plainHttp: true });
    place = await MountNamespace.start();
  });
  afterAll(async () => {
    await place[Symbol.asyncDispose]();
    await client.close();
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** Runs commands in a store of their own. */
  const freshStore = (
    root = join(place.directory, `root-${(names += 1)}`),
  ): ((...args: string[]) => Promise<string>) => {
    return async (...args) => {
      const { code, stdout, stderr } = await landfallAt(place, ['--root', root, '--plain-http', ...args]);
      if (code === 0) return stdout;
      throw new Error(`landfall ${args.join(' ')} failed (${code}):\n${stderr}`);
    };
  };
  const push = async (layout: TinyLayout): Promise<string> => {
    const name = `${registry.address}/team/odd-${(names += 1)}:1`;
    await putImage(client.repository(parseReference(name)), layout, '1');
    return name;
  };
  const odd = async (options: Parameters<typeof makeTinyLayout>[1] = {}): Promise<OddImage> =>
    new OddImage(await makeTinyLayout(join(work, `layout-${(names += 1)}`), options));
  /** The digest of the manifest that skopeo takes for linux/amd64, or what it says. */
  const skopeoTakes = async (name: string): Promise<string> => {
    const directory = join(work, `skopeo-${(names += 1)}`);
    const platform = ['--override-os', 'linux', '--override-arch', 'amd64'];
    const copy = ['copy', '-q', '--src-tls-verify=false', `docker://${name}`, `dir:${directory}`];
    try {
      await peerOutput('skopeo', [...platform, ...copy]);
    } catch (error) {
      return /no image found in \S+( \S+)?/.exec(String(error))?.[0] ?? String(error);
    }
    return digestOf(await readFile(join(directory, 'manifest.json')));
  };

  /** What skopeo takes: the same, something else that is not the image, or nothing, for which it says why. */
  type SkopeoTakes = 'the same' | 'an artifact' | RegExp;

  const rows: readonly [name: string, skopeo: SkopeoTakes, make: () => Promise<TinyLayout>][] = [
    [
      'an index that says no platform',
      'the same',
      async () => (await odd({ platforms: ['linux/amd64', 'linux/amd64/v4'], silent: true })).layout,
    ],
    [
      'an index that says null for it',
      'the same',
      async () => {
        const image = await odd({ platforms: ['linux/amd64', 'linux/amd64/v4'] });
        return image.as(({ manifests = [], ...index }) => ({
          ...index,
          manifests: manifests.map((entry) => ({ ...entry, platform: null })),
        }));
      },
    ],
    [
      'an index that says no platform, beside an attestation',
      'the same',
      async () => {
        const image = await odd({ platforms: ['linux/amd64', 'linux/amd64/v4'], silent: true });
        const rootfs = { type: 'layers', diff_ids: [] };
        const attestation = image.addManifest(image.add(MEDIA_TYPES.ociConfig, { ...ATTESTED, rootfs }));
        return image.as(
          ({ manifests = [], ...index }) => ({
            ...index,
            manifests: [{ ...attestation.manifest, platform: ATTESTED }, ...manifests],
          }),
          [attestation],
        );
      },
    ],
    [
      'an index that says no platform, for an artifact and then an image',
      'an artifact',
      async () => {
        const image = await odd({ platforms: ['linux/amd64', 'linux/amd64/v4'], silent: true });
        const artifact = image.addManifest(image.add(MEDIA_TYPES.ociEmpty, {}));
        return image.as(
          ({ manifests = [], ...index }) => ({ ...index, manifests: [artifact.manifest, ...manifests] }),
          [artifact],
        );
      },
    ],
    [
      'a list of Docker that says no platform',
      /no image found in manifest list/,
      async () =>
        (await odd({ platforms: ['linux/amd64', 'linux/amd64/v4'], silent: true, docker: true })).layout,
    ],
    [
      'a manifest of Docker 1.10',
      'the same',
      async () =>
        (await odd({ docker: true })).as(({ config, ...manifest }) => ({
          ...manifest,
          config: { ...config, mediaType: 'application/octet-stream' },
        })),
    ],
  ];

  test.each(rows)('%s is pulled, looked at, and copied', { timeout: 60_000 }, async (_, skopeo, make) => {
    const layout = await make();
    const [{ manifest }] = layout.manifests;
    const name = await push(layout);
    const taken = await skopeoTakes(name);
    if (skopeo === 'the same') expect(taken).toBe(manifest.digest);
    else if (skopeo === 'an artifact') expect(taken).toBe(layout.manifests.at(-1)?.manifest.digest);
    else expect(taken).toMatch(skopeo);

    const root = join(place.directory, `root-${(names += 1)}`);
    const run = freshStore(root);
    await run('pull', '-q', name);
    expect(JSON.parse(await run('inspect', '--output', 'json', name))).toMatchObject({
      digest: layout.target.digest,
      platform: 'linux/amd64',
    });
    // docs/store.md: in place, other tools take what is of OCI's media types.
    const isDocker = layout.target.mediaType.startsWith('application/vnd.docker.');
    const inPlace = await place.run('skopeo', ['inspect', '--raw', `oci:${root}:${name}`]);
    expect(inPlace.stderr).toMatch(isDocker ? /unsupported manifest MIME types/ : /^$/);
    if (isDocker) {
      const { stderr } = await place.run('umoci', ['stat', '--image', `${root}:${name}`]);
      expect(stderr).toContain(`not implemented: ${layout.target.mediaType}`);
    }
    expect(
      digestOf(Buffer.from(await run('inspect', '--raw', '--platform', 'linux/amd64', `docker://${name}`))),
    ).toBe(manifest.digest);
    expect(await run('fsck')).toContain('the store is sound');
    // Copied from the registry and from the store, it is the one that belongs to this platform.
    for (const source of [`docker://${name}`, name]) {
      const copied = `docker://${registry.address}/team/copied-${(names += 1)}:1`;
      await run('copy', source, copied);
      const raw = await peerOutput('skopeo', ['inspect', '--tls-verify=false', '--raw', copied]);
      expect(digestOf(Buffer.from(raw))).toBe(manifest.digest);
    }
  });

  test('an artifact that oras pushed is whole after a pull, and the same when it is copied on', async () => {
    const cwd = join(work, 'artifact');
    await mkdir(cwd);
    await writeFile(join(cwd, 'chart.txt'), 'ahoy\n');
    await writeFile(join(cwd, 'config.json'), '{"name":"harbour"}');
    const oras = async (command: string, ...args: readonly string[]): Promise<void> => {
      const { code, stderr } = await runCommand('oras', [command, '--plain-http', ...args], { cwd });
      if (code !== 0) throw new Error(`oras ${command} ${args.join(' ')} failed (${code}):\n${stderr}`);
    };
    const nameOf = (repository: string): string => `${registry.address}/team/${repository}:1`;
    const [helm, bare, copy] = [nameOf('helm'), nameOf('bare'), nameOf('copy')];
    const config = 'config.json:application/vnd.cncf.helm.config.v1+json';
    await oras('push', '--config', config, helm, 'chart.txt:text/plain');
    // Its config and its only layer are one blob, the empty one.
    await oras('push', '--artifact-type', 'application/x.chart', bare);
    const run = freshStore();
    for (const name of [helm, bare]) await run('pull', '--no-unpack', '-q', name);
    expect(await run('fsck')).toContain('the store is sound');
    await run('copy', helm, `docker://${copy}`);
    const raw = async (name: string): Promise<string> =>
      await peerOutput('skopeo', ['inspect', '--tls-verify=false', '--raw', `docker://${name}`]);
    expect(await raw(copy)).toBe(await raw(helm));
    await oras('pull', '--config', 'pulled.json', '-o', 'pulled', copy);
    expect(await readFile(join(cwd, 'pulled/pulled.json'), 'utf8')).toBe('{"name":"harbour"}');
    expect(await readFile(join(cwd, 'pulled/chart.txt'), 'utf8')).toBe('ahoy\n');
  });

  test(
    'what is here of an image for several is used where no platform is named',
    { timeout: 60_000 },
    async () => {
      const { layout } = await odd({ platforms: ['linux/amd64', 'linux/386', 'linux/s390x'] });
      const name = await push(layout);
      const run = freshStore();
      const target = join(place.directory, 'mounted');
      await outputAt(place, 'mkdir', target);
      await run('pull', '-q', '--platform', 'linux/386', name);
      await run('mount', name, target);
      expect(await outputAt(place, 'cat', join(target, 'etc/manifest'))).toBe('ropes\n');
      await run('umount', target);
      expect(JSON.parse(await run('mounts', name))).toMatchObject([{ type: 'overlay' }]);
      expect(JSON.parse(await run('inspect', '--output', 'json', name))).toMatchObject({
        platform: 'linux/386',
      });
      await run('unpack', name, join(place.directory, 'unpacked'));
      await run('bundle', name, join(place.directory, 'bundle'));
      await run('export', name, '-o', join(place.directory, 'export.tar'));
      expect(await run('ls', name, '/etc')).toContain('manifest');
      expect(await run('cat', name, '/etc/manifest')).toBe('ropes\n');
      const refused = await run('mount', '--platform', 'linux/amd64', name, target).catch(String);
      expect(refused).toContain('the image for linux/amd64 is not here; here it is for: linux/386');
      expect(refused).toContain('--platform linux/386, or pull it with --platform linux/amd64.');
    },
  );

  test('an image without layers is mounted as an empty tree', async () => {
    const { layout } = await odd({ layers: [] });
    const name = await push(layout);
    const run = freshStore();
    const target = join(place.directory, 'empty');
    await outputAt(place, 'mkdir', target);
    await run('pull', '-q', name);
    const [mount] = JSON.parse(await run('mounts', name)) as [
      { type: string; source: string; options: string[] },
    ];
    await outputAt(place, 'mount', '-t', mount.type, '-o', mount.options.join(','), mount.source, target);
    const isEmpty = async (): Promise<string> => await outputAt(place, 'ls', '-A', target);
    expect(await isEmpty()).toBe('');
    expect((await place.run('touch', [join(target, 'file')])).code).not.toBe(0);
    await outputAt(place, 'umount', target);
    for (const options of [[], ['--rw']]) {
      await run('mount', ...options, name, target);
      expect(await isEmpty()).toBe('');
      expect((await place.run('touch', [join(target, 'file')])).code === 0).toBe(options.length > 0);
      await run('umount', target);
    }
    expect(await run('fsck')).toContain('the store is sound');
  });

  test('what is no image has no platform that a hint could name', async () => {
    const image = await odd();
    const layer = image.add('application/vnd.in-toto+json', { predicateType: 'none' });
    const rootfs = { type: 'layers', diff_ids: [layer.digest] };
    const config = image.add(MEDIA_TYPES.ociConfig, { ...ATTESTED, rootfs });
    const attestation = image.addManifest(config, [layer]);
    const whole = image.as((document) => document);
    const name = await push({ ...whole, target: attestation.manifest, manifests: [attestation] });
    const run = freshStore();
    await run('pull', '-q', '--no-unpack', name);
    const target = join(place.directory, 'none');
    await outputAt(place, 'mkdir', target);
    for (const command of [
      ['mount', name, target],
      ['mounts', name],
      ['pull', '--platform', 's390x', name],
    ]) {
      const failed = await run(...command).catch(String);
      expect(failed).toContain('failed');
      expect(failed).not.toContain('--platform unknown');
    }
  });
});
