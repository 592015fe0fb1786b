import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findDaemon } from '../../src/daemon/daemon-file.js';
import { connectCri, type CriClient, type CriImage, whyNoCriClient } from '../support/cri-client.js';
import { DaemonProcess } from '../support/daemon-process.js';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../support/docker-registry.js';
import { peerOutput } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout, type TinyLayout, type TinyLayoutOptions } from '../support/tiny-image.js';
import { landfallJson } from '../support/warm-command.js';

const reason = needsPeer('docker-registry', 'skopeo', 'go') ?? (await whyNoCriClient());

/** Images that are pushed once, by their repository: layers that no other has, and some user. */
const IMAGES: Readonly<Record<string, TinyLayoutOptions>> = {
  cutter: { config: { User: '1002' } },
  ketch: { config: { User: 'www-data' } },
  sloop: { config: { User: '1003:1004' } },
  yawl: { config: { User: 'www-data:1004' } },
  schooner: { platforms: ['linux/arm64', 'linux/amd64'] },
  brig: { config: {} },
};

describe.skipIf(reason !== undefined)('the image service, through upstream’s stubs', () => {
  let work: string;
  let registry: DockerRegistry;
  let daemon: DaemonProcess;
  let client: CriClient;
  const layouts = new Map<string, TinyLayout>();

  const layoutOf = (name: string): TinyLayout => {
    const layout = layouts.get(name);
    if (layout === undefined) throw new Error(`no image ${name}`);
    return layout;
  };
  /** The image that this machine pulls of a repository. */
  const idOf = (name: string): string => {
    const { manifests } = layoutOf(name);
    return (manifests.find(({ platform }) => platform === 'linux/amd64') ?? manifests[0]).config.digest;
  };
  const nameOf = (repository: string): string => `${registry.address}/fleet/${repository}`;
  const push = async (name: string, ...references: readonly string[]): Promise<void> => {
    const { dir, tag } = layoutOf(name);
    for (const reference of references) {
      const to = `docker://${registry.address}/${reference}`;
      await peerOutput('skopeo', [
        'copy',
        '--all',
        '--quiet',
        '--dest-tls-verify=false',
        `oci:${dir}:${tag}`,
        to,
      ]);
    }
  };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-cri-'));
    registry = await startDockerRegistry();
    for (const [name, options] of Object.entries(IMAGES)) {
      const layers = options.layers ?? [
        [{ path: `${name}/` }, { path: `${name}/cargo`, content: name.repeat(900) }],
      ];
      layouts.set(name, await makeTinyLayout(join(work, name), { ...options, layers }));
      await push(name, `fleet/${name}:1`, `fleet/${name}:latest`);
    }
    daemon = await DaemonProcess.start(join(work, 'store'), join(work, 'cri.sock'));
    client = await connectCri(daemon.socket);
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  it('is to be reached by its owner and group alone', async () => {
    const { mode } = await stat(daemon.socket);
    expect(mode & 0o777).toBe(0o660);
  });

  it('says that it runs no containers', async () => {
    expect(await client.call('Version', { version: '0.1.0' })).toMatchObject({
      version: '0.1.0',
      runtime_name: 'landfall',
      runtime_api_version: 'v1',
    });
    const { status } = await client.call<{ status: { conditions: object[] } }>('Status');
    expect(status.conditions).toContainEqual(
      expect.objectContaining({ type: 'RuntimeReady', reason: 'ImageServiceOnly' }),
    );
    expect((await client.ask('ListContainers')).error?.code).toBe('Unimplemented');
  });

  describe('pulls', () => {
    it.each<[string, string, (name: string) => Partial<CriImage>]>([
      ['by a tag', ':1', (name) => ({ repo_tags: [`${name}:1`] })],
      ['without a tag, the latest', '', (name) => ({ repo_tags: [`${name}:latest`] })],
    ])('an image %s', async (_, suffix, expected) => {
      const name = nameOf('cutter');
      const id = await client.pull(`${name}${suffix}`);
      expect(id).toBe(idOf('cutter'));
      const image = await client.status(`${name}${suffix}`);
      expect(image).toMatchObject({ id, ...expected(name) });
      expect(image?.repo_digests).toEqual([`${name}@${layoutOf('cutter').target.digest}`]);
      expect(image?.size).toBeGreaterThan(0);
      await client.remove(id);
      expect(await client.status(`${name}${suffix}`)).toBeUndefined();
    });

    it('an image by its digest: it has no tag, and this digest alone', async () => {
      const name = `${nameOf('ketch')}@${layoutOf('ketch').target.digest}`;
      const id = await client.pull(name);
      const image = await client.status(name);
      expect(image?.repo_tags ?? []).toEqual([]);
      expect(image?.repo_digests).toEqual([name]);
      await client.remove(name);
      expect(await client.status(id)).toBeUndefined();
    });

    it('an image by tag and digest as by its digest: the tag gets no name', async () => {
      const { digest } = layoutOf('ketch').target;
      const id = await client.pull(`${nameOf('ketch')}:1@${digest}`);
      const names = async (): Promise<string[]> =>
        (await landfallJson<{ name: string }[]>(['--root', join(work, 'store'), 'images'])).map(
          ({ name }) => name,
        );
      expect(await names()).toEqual([`${nameOf('ketch')}@${digest}`]);
      expect(await client.status(`${nameOf('ketch')}:1`)).toBeUndefined();
      await client.pull(`${nameOf('ketch')}:1`);
      await client.pull(`${nameOf('ketch')}:1@${digest}`);
      expect((await names()).sort()).toEqual([`${nameOf('ketch')}:1`, `${nameOf('ketch')}@${digest}`]);
      const image = await client.status(`${nameOf('ketch')}:1@${digest}`);
      expect(image).toMatchObject({
        id,
        repo_tags: [`${nameOf('ketch')}:1`],
        repo_digests: [`${nameOf('ketch')}@${digest}`],
      });
      await client.remove(id);
      expect(await names()).toEqual([]);
    });

    it('the platform of this machine of an index', async () => {
      const id = await client.pull(`${nameOf('schooner')}:1`);
      expect(id).toBe(idOf('schooner'));
      const image = await client.status(id);
      expect(image?.repo_digests).toEqual([`${nameOf('schooner')}@${layoutOf('schooner').target.digest}`]);
      await client.remove(id);
    });

    it('nothing within a millisecond, and goes on afterwards', async () => {
      const image = { image: `${nameOf('cutter')}:1` };
      const { error } = await client.ask('PullImage', { image }, { timeoutMs: 1 });
      expect(error?.code).toBe('DeadlineExceeded');
      expect(await client.pull(image.image)).toBe(idOf('cutter'));
      await client.remove(image.image);
    });

    it.each<[string, string, string]>([
      ['is not there', 'fleet/none:1', 'NotFound'],
      ['is no name', 'fleet/NONE', 'InvalidArgument'],
    ])('nothing that %s', async (_, repository, code) => {
      const { error } = await client.ask('PullImage', {
        image: { image: `${registry.address}/${repository}` },
      });
      expect(error?.code).toBe(code);
    });

    it('nothing that is called nothing', async () => {
      expect((await client.ask('PullImage', {})).error?.code).toBe('InvalidArgument');
    });

    it('nothing from a registry that is not there, in the words that a kubelet looks for', async () => {
      const { error } = await client.ask('PullImage', { image: { image: '127.0.0.1:1/fleet/cutter:1' } });
      // Of any other code a kubelet looks at the text that begins with the code.
      expect(error).toMatchObject({
        code: 'Unknown',
        message: expect.stringMatching(/^RegistryUnavailable: /) as string,
      });
    });

    it('nothing for a runtime handler that nobody knows', async () => {
      const image = { image: `${nameOf('cutter')}:1`, runtime_handler: 'kata' };
      expect((await client.ask('PullImage', { image })).error?.code).toBe('InvalidArgument');
    });

    it('whatever annotations come with it', async () => {
      const image = { image: `${nameOf('cutter')}:1`, annotations: { 'example.org/anything': 'goes' } };
      await client.call('PullImage', { image });
      await client.remove(image.image);
    });
  });

  describe('knows an image', () => {
    const digest = (): string => layoutOf('brig').target.digest;
    beforeAll(() => client.pull(`${nameOf('brig')}:1`));
    afterAll(() => client.remove(idOf('brig')));

    it.each<[string, () => string]>([
      ['its ID', () => idOf('brig')],
      ['its ID without the algorithm', () => idOf('brig').slice('sha256:'.length)],
      ['the beginning of its ID', () => idOf('brig').slice('sha256:'.length, 'sha256:'.length + 12)],
      ['its tag', () => `${nameOf('brig')}:1`],
      ['its digest', () => `${nameOf('brig')}@${digest()}`],
      ['tag and digest', () => `${nameOf('brig')}:1@${digest()}`],
    ])('by %s', async (_, name) => {
      expect((await client.status(name()))?.id).toBe(idOf('brig'));
      expect((await client.list(name())).map(({ id }) => id)).toEqual([idOf('brig')]);
    });

    it.each<[string, () => string]>([
      ['another tag', () => `${nameOf('brig')}:2`],
      ['another repository', () => `${nameOf('brigantine')}:1`],
      ['another digest', () => `${nameOf('brig')}@sha256:${'0'.repeat(64)}`],
      ['another ID', () => `sha256:${'0'.repeat(64)}`],
    ])('not by %s, which is no error', async (_, name) => {
      expect(await client.status(name())).toBeUndefined();
      expect(await client.list(name())).toEqual([]);
    });

    it('in detail, for who wants that', async () => {
      const { info } = await client.call<{ info: Record<string, string> }>('ImageStatus', {
        image: { image: `${nameOf('brig')}:1` },
        verbose: true,
      });
      expect(JSON.parse(info['info'] ?? '')).toMatchObject({
        chainID: layoutOf('brig').manifests[0].diffIds[0],
        imageSpec: { os: 'linux', architecture: 'amd64' },
        layers: [{ digest: layoutOf('brig').manifests[0].layers[0]?.digest }],
        source: nameOf('brig'),
      });
    });
  });

  it.each<[string, Partial<CriImage>]>([
    ['cutter', { uid: { value: 1002 } }],
    ['ketch', { username: 'www-data' }],
    ['sloop', { uid: { value: 1003 } }],
    ['yawl', { username: 'www-data' }],
  ])('tells who the commands of %s run as', async (name, expected) => {
    const id = await client.pull(`${nameOf(name)}:1`);
    const image = await client.status(id);
    expect({ uid: image?.uid, username: image?.username }).toEqual({
      uid: undefined,
      username: undefined,
      ...expected,
    });
    await client.remove(id);
  });

  describe('lists', () => {
    it('one image with three tags as one', async () => {
      await push('cutter', 'fleet/cutter:2', 'fleet/cutter:3');
      for (const tag of [3, 1, 2]) await client.pull(`${nameOf('cutter')}:${tag}`);
      const images = await client.list();
      expect(images).toHaveLength(1);
      expect(images[0]?.repo_tags).toEqual([1, 2, 3].map((tag) => `${nameOf('cutter')}:${tag}`));
      expect(images[0]?.repo_digests).toHaveLength(1);
      await client.remove(idOf('cutter'));
      expect(await client.list()).toEqual([]);
    });

    it('three images in an order that stays, and none that was removed', async () => {
      const names = ['cutter', 'ketch', 'sloop'];
      for (const name of names) await client.pull(`${nameOf(name)}:1`);
      const ids = (await client.list()).map(({ id }) => id);
      expect(ids).toEqual(names.map(idOf).sort());
      expect((await client.list()).map(({ id }) => id)).toEqual(ids);
      await client.remove(`${nameOf('ketch')}:1`);
      expect((await client.list()).map(({ id }) => id)).toEqual(ids.filter((id) => id !== idOf('ketch')));
      for (const name of names) await client.remove(idOf(name));
    });
  });

  describe('removes', () => {
    it.each<[string, () => string]>([
      ['its ID', () => idOf('cutter')],
      ['one of its tags', () => `${nameOf('cutter')}:2`],
      ['its digest', () => `${nameOf('cutter')}@${layoutOf('cutter').target.digest}`],
      ['tag and digest', () => `${nameOf('cutter')}:1@${layoutOf('cutter').target.digest}`],
    ])('an image with all of its names, of whatever repository, by %s', async (_, called) => {
      await push('cutter', 'fleet/cutter:2', 'harbour/cutter:1');
      for (const name of [`${nameOf('cutter')}:1`, `${nameOf('cutter')}:2`]) await client.pull(name);
      await client.pull(`${registry.address}/harbour/cutter:1`);
      await client.pull(`${nameOf('ketch')}:1`);
      await client.remove(called());
      expect((await client.list()).map(({ id }) => id)).toEqual([idOf('ketch')]);
      await client.remove(idOf('ketch'));
    });

    it('an image five times at once, and what is not there', async () => {
      await client.pull(`${nameOf('cutter')}:1`);
      await Promise.all(Array.from({ length: 5 }, () => client.remove(`${nameOf('cutter')}:1`)));
      await client.remove(`${nameOf('cutter')}:1`);
      await client.remove(`sha256:${'0'.repeat(64)}`);
      expect(await client.list()).toEqual([]);
    });

    it('what takes space before it answers', async () => {
      await client.pull(`${nameOf('cutter')}:1`);
      expect(await readdir(join(work, 'store', 'blobs', 'sha256'))).not.toEqual([]);
      await client.remove(`${nameOf('cutter')}:1`);
      expect(await readdir(join(work, 'store', 'blobs', 'sha256'))).toEqual([]);
    });
  });

  it('tells what images take, and where', async () => {
    interface Usage {
      used_bytes?: { value?: number };
      inodes_used?: { value?: number };
      timestamp: number;
      fs_id: object;
    }
    const usage = async (): Promise<Usage> => {
      const { image_filesystems: found } = await client.call<{ image_filesystems: [Usage] }>('ImageFsInfo');
      return found[0];
    };
    const before = await usage();
    expect(before).toMatchObject({ fs_id: { mountpoint: join(work, 'store') } });
    expect(before.timestamp).toBeGreaterThan(Date.now() * 1e6 - 60e9);
    await client.pull(`${nameOf('cutter')}:1`);
    await expect
      .poll(async () => (await usage()).inodes_used?.value ?? 0)
      .toBeGreaterThan((before.inodes_used?.value ?? 0) + 3);
    expect((await usage()).used_bytes?.value).toBeGreaterThan(before.used_bytes?.value ?? 0);
    await client.remove(idOf('cutter'));
    expect((await usage()).used_bytes?.value ?? 0).toBe(before.used_bytes?.value ?? 0);
  });

  it('works beside commands on its root', async () => {
    const store = join(work, 'store');
    await landfallJson([
      '--root',
      store,
      '--plain-http',
      '--progress',
      'none',
      'pull',
      `${nameOf('yawl')}:1`,
    ]);
    expect((await client.list()).map(({ id }) => id)).toEqual([idOf('yawl')]);
    await landfallJson(['--root', store, 'pin', `${nameOf('yawl')}:1`]);
    expect((await client.status(idOf('yawl')))?.pinned).toBe(true);
    await client.remove(idOf('yawl'));
    expect(await client.list()).toEqual([]);
  });

  it('shows credentials to the registry that they are for', async () => {
    const { username, password } = REGISTRY_USER;
    await using guarded = await startDockerRegistry({ htpasswd: true });
    const { dir, tag } = layoutOf('brig');
    await peerOutput('skopeo', [
      ...['copy', '--quiet', '--dest-tls-verify=false', '--dest-creds', `${username}:${password}`],
      ...[`oci:${dir}:${tag}`, `docker://${guarded.address}/fleet/brig:1`],
    ]);
    const image = `${guarded.address}/fleet/brig:1`;
    const auth = Buffer.from(`${username}:${password}`).toString('base64');
    expect((await client.ask('PullImage', { image: { image } })).error?.code).toBe('Unauthenticated');
    const others = { username, password, server_address: 'registry.example' };
    expect((await client.ask('PullImage', { image: { image }, auth: others })).error?.code).toBe(
      'Unauthenticated',
    );
    const wrong = { username, password: 'not-the-password' };
    expect((await client.ask('PullImage', { image: { image }, auth: wrong })).error?.code).toBe(
      'Unauthenticated',
    );
    for (const right of [
      { username, password },
      { auth },
      { username, password, server_address: guarded.address },
    ]) {
      expect(await client.pull(image, right)).toBe(idOf('brig'));
      // What is on the node is there for all pods, whichever of them had the credentials.
      expect(await client.status(image)).toMatchObject({ id: idOf('brig') });
      await client.remove(image);
    }
  });

  it('stops when it is asked to, and leaves nothing that says that it is there', async () => {
    const root = join(work, 'other');
    await using other = await DaemonProcess.start(root, join(work, 'other.sock'));
    expect(await findDaemon(root)).toEqual({ pid: other.pid, socket: other.socket });
    await expect(DaemonProcess.start(join(work, 'third'), other.socket)).rejects.toThrow(
      'another process listens',
    );
    expect(await other.end('SIGTERM')).toBe(143);
    expect(await readdir(root)).not.toContain('daemon.json');
    await expect(stat(other.socket)).rejects.toThrow('ENOENT');
  });

  it('starts where one was killed', async () => {
    const root = join(work, 'killed');
    await using killed = await DaemonProcess.start(root, join(work, 'killed.sock'));
    await killed.end('SIGKILL');
    await using again = await DaemonProcess.start(root, killed.socket);
    await using other = await connectCri(again.socket);
    expect(await other.list()).toEqual([]);
  });
});
