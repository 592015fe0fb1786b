import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Descriptor } from '../../src/spec/index.js';
import { peerOutput, runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { PlainContainerd } from '../support/plain-containerd.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const PEERS = ['skopeo', 'podman', 'buildah', 'umoci', 'oras', 'containerd', 'ctr'];
const APP = 'docker.io/team/app:1';
const TOOL = 'quay.io/team/tool:2';

interface Loaded {
  readonly format: string;
  readonly images: readonly {
    readonly name: string;
    readonly digest: string;
    readonly platform?: string;
    readonly missing: readonly { platform?: string }[];
    readonly leftOut: readonly { platform?: string }[];
  }[];
}

/** What a manifest names, whatever it calls it. */
function contentsOf(manifest: string): string[] {
  const { config, layers } = JSON.parse(manifest) as { config: Named; layers: Named[] };
  return [config, ...layers].map(({ digest }) => digest);
}

interface Named {
  readonly digest: string;
}

describe.skipIf(needsPeer(...PEERS) !== undefined)('archives and other programs', () => {
  let work: string;
  let root: string;
  let app: TinyLayout;
  let tool: TinyLayout;
  let containerd: PlainContainerd;
  let roots = 0;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-archive-peers-'));
    root = join(work, 'root');
    app = await makeTinyLayout(join(work, 'app'));
    tool = await makeTinyLayout(join(work, 'tool'), {
      platforms: ['linux/amd64', 'linux/arm64'],
      layers: [[{ path: 'tool', content: 'of all trades' }]],
    });
    for (const [layout, name] of [
      [app, APP],
      [tool, TOOL],
    ] as const) {
      await landfallJson(['copy', '--all', '--root', root, `oci:${layout.dir}`, name]);
    }
    for (const format of ['oci', 'docker', 'both']) {
      await landfallJson(['save', '--root', root, '--format', format, APP, TOOL, '-o', archiveAt(format)]);
    }
    containerd = await PlainContainerd.start();
  });
  afterAll(async () => {
    await containerd[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const archiveAt = (format: string): string => join(work, `${format}.tar`);
  const fresh = async (): Promise<string> => {
    const directory = join(work, `fresh-${(roots += 1)}`);
    await mkdir(directory);
    return directory;
  };
  const configOf = ({ manifests }: TinyLayout): string => manifests[0].config.digest;
  const load = async (file: string, ...more: string[]): Promise<Loaded> =>
    await landfallJson<Loaded>(['load', '--root', join(await fresh(), 'root'), '-i', file, ...more]);
  const digestsOf = ({ images }: Loaded): Record<string, string> =>
    Object.fromEntries(images.map(({ name, digest }) => [name, digest]));
  const podman = async (...args: string[]): Promise<string> => {
    const storage = join(work, 'podman');
    const options = ['--root', storage, '--runroot', `${storage}-run`, '--storage-driver', 'vfs'];
    return await peerOutput('podman', [...options, ...args]);
  };
  const buildah = async (...args: string[]): Promise<string> => {
    const storage = join(work, 'buildah');
    const options = ['--root', storage, '--runroot', `${storage}-run`, '--storage-driver', 'vfs'];
    const { code, stdout, stderr } = await runCommand('buildah', [...options, ...args], {
      env: { HOME: work },
    });
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };

  describe('written by landfall', () => {
    it.each(['docker', 'both'])('%s is loaded by podman, every image under its name', async (format) => {
      await podman('load', '-q', '-i', archiveAt(format));
      for (const [layout, name] of [
        [app, APP],
        [tool, TOOL],
      ] as const) {
        const id = await podman('image', 'inspect', '--format', '{{.Id}}', name);
        expect(`sha256:${id.trim()}`).toBe(configOf(layout));
      }
      await podman('rmi', '--all', '--force');
    });

    it('oci with one image is loaded by podman, with its digest', async () => {
      const file = join(work, 'one.tar');
      await landfallJson(['save', '--root', root, '--format', 'oci', APP, '-o', file]);
      await podman('load', '-q', '-i', file);
      const id = await podman('image', 'inspect', '--format', '{{.Id}}', APP);
      expect(`sha256:${id.trim()}`).toBe(configOf(app));
      await podman('rmi', '--all', '--force');
    });

    it.each([
      ['oci-archive', 'oci', APP],
      ['oci-archive', 'both', APP],
      ['docker-archive', 'docker', 'team/app:1'],
      ['docker-archive', 'both', 'team/app:1'],
    ])('is pulled by buildah from %s of %s', async (transport, format, name) => {
      const id = (await buildah('pull', '-q', `${transport}:${archiveAt(format)}:${name}`)).trim();
      expect(`sha256:${id}`).toBe(configOf(app));
      await buildah('rmi', '--all', '--force');
    });

    it.each(['oci', 'both'])('%s is read by skopeo with the digests that it had', async (format) => {
      for (const [layout, name] of [
        [app, APP],
        [tool, TOOL],
      ] as const) {
        const raw = await peerOutput('skopeo', [
          'inspect',
          '--raw',
          `oci-archive:${archiveAt(format)}:${name}`,
        ]);
        expect(raw).toBe(layout.blobs.get(layout.target.digest)?.toString());
      }
    });

    it.each(['oci', 'both'])('%s is imported by containerd with the digests that it had', async (format) => {
      await containerd.ctr(
        '-n',
        format,
        'images',
        'import',
        '--all-platforms',
        '--no-unpack',
        archiveAt(format),
      );
      expect(await containerd.images(format)).toEqual({
        [APP]: app.target.digest,
        [TOOL]: tool.target.digest,
      });
    });

    it('docker is the same image to containerd as to landfall, by its ID and its layers', async () => {
      const importing = ['-n', 'docker', 'images', 'import', '--all-platforms', '--no-unpack'];
      await containerd.ctr(...importing, archiveAt('docker'));
      const theirs = await containerd.images('docker');
      const store = join(await fresh(), 'root');
      const loaded = await landfallJson<Loaded>(['load', '--root', store, '-i', archiveAt('docker')]);
      expect(Object.keys(theirs).sort()).toEqual(Object.keys(digestsOf(loaded)).sort());
      for (const { name } of loaded.images) {
        const raw = await peerOutput('skopeo', ['inspect', '--raw', `oci:${store}:${name}`]);
        const made = await containerd.ctr('-n', 'docker', 'content', 'get', theirs[name] ?? '');
        expect(contentsOf(made)).toEqual(contentsOf(raw));
      }
    });

    it('oci is fetched from by oras, as it lies there', async () => {
      const target = `${archiveAt('oci')}@${tool.target.digest}`;
      const raw = await peerOutput('oras', ['manifest', 'fetch', '--oci-layout', target]);
      expect(raw.trim()).toBe(tool.blobs.get(tool.target.digest)?.toString());
    });

    it('oci, unpacked, is a layout for umoci', async () => {
      const directory = await fresh();
      await peerOutput('tar', ['-xf', archiveAt('both'), '-C', directory]);
      await peerOutput('umoci', ['ls', '--layout', directory]);
      expect(await landfall(['verify', `oci:${directory}`])).toMatchObject({ code: 0 });
    });
  });

  describe('written by others is loaded:', () => {
    it.each(['oci-archive', 'docker-archive'])('by skopeo, %s', async (transport) => {
      const file = join(await fresh(), 'skopeo.tar');
      const options = ['--insecure-policy', 'copy', '-q', ...(transport === 'oci-archive' ? ['--all'] : [])];
      await peerOutput('skopeo', [...options, `oci:${app.dir}`, `${transport}:${file}:team/app:1`]);
      const loaded = await load(file);
      expect(loaded.images.map(({ name, platform }) => [name, platform])).toEqual([[APP, 'linux/amd64']]);
      if (transport === 'oci-archive') expect(loaded.images[0]?.digest).toBe(app.target.digest);
    });

    it.each(['oci-archive', 'docker-archive'])('by podman save, %s', async (format) => {
      await podman('load', '-q', '-i', archiveAt('both'));
      const file = join(await fresh(), 'podman.tar');
      await podman('save', '-q', '--format', format, '-o', file, APP);
      const loaded = await load(file);
      expect(loaded.images.map(({ name }) => name)).toEqual([APP]);
      await podman('rmi', '--all', '--force');
    });

    it('by podman save, several images at once', async () => {
      await podman('load', '-q', '-i', archiveAt('both'));
      const file = join(await fresh(), 'podman.tar');
      await podman('save', '-q', '-m', '-o', file, APP, TOOL);
      expect(Object.keys(digestsOf(await load(file))).sort()).toEqual([APP, TOOL]);
      await podman('rmi', '--all', '--force');
    });

    it('by buildah push, oci-archive', async () => {
      await buildah('pull', '-q', `oci-archive:${archiveAt('both')}:${APP}`);
      const file = join(await fresh(), 'buildah.tar');
      await buildah('push', '-q', APP, `oci-archive:${file}:${APP}`);
      expect((await load(file)).images.map(({ name }) => name)).toEqual([APP]);
      await buildah('rmi', '--all', '--force');
    });

    it('by ctr images export, with the digests that it had', async () => {
      const file = join(await fresh(), 'ctr.tar');
      await containerd.ctr(
        '-n',
        'export',
        'images',
        'import',
        '--all-platforms',
        '--no-unpack',
        archiveAt('both'),
      );
      await containerd.ctr('-n', 'export', 'images', 'export', '--all-platforms', file, APP, TOOL);
      const loaded = await load(file);
      expect(loaded.format).toBe('both');
      expect(digestsOf(loaded)).toEqual({ [APP]: app.target.digest, [TOOL]: tool.target.digest });
    });

    // containerd #11344: its own import fails with such an archive.
    it('by ctr images export of one platform, which leaves the others out', async () => {
      const file = join(await fresh(), 'ctr.tar');
      await containerd.ctr(
        '-n',
        'one',
        'images',
        'import',
        '--all-platforms',
        '--no-unpack',
        archiveAt('both'),
      );
      await containerd.ctr('-n', 'one', 'images', 'export', '--platform', 'linux/amd64', file, TOOL);
      const loaded = await load(file);
      expect(digestsOf(loaded)).toEqual({ [TOOL]: tool.target.digest });
      expect(loaded.images[0]?.missing.map(({ platform }) => platform)).toEqual(['linux/arm64']);
      expect(loaded.images[0]?.platform).toBe('linux/amd64');
    });

    it('by oras copy into a layout that is then packed', async () => {
      const directory = await fresh();
      const from = `${tool.dir}:latest`;
      await peerOutput('oras', ['copy', '--from-oci-layout', from, '--to-oci-layout', `${directory}:v2`]);
      const file = join(await fresh(), 'oras.tar');
      await peerOutput('tar', ['-cf', file, '-C', directory, '.']);
      expect(digestsOf(await load(file, '--name', 'quay.io/team/tool'))).toEqual({
        'quay.io/team/tool:v2': tool.target.digest,
      });
    });

    it('by umoci, in a layout that is then packed', async () => {
      const directory = join(await fresh(), 'layout');
      await peerOutput('umoci', ['init', '--layout', directory]);
      await peerOutput('umoci', ['new', '--image', `${directory}:empty`]);
      const file = join(await fresh(), 'umoci.tar');
      await peerOutput('tar', ['-cf', file, '-C', directory, 'blobs', 'index.json', 'oci-layout']);
      const loaded = await load(file, '--name', 'site.test/team/empty');
      const index = JSON.parse(await readFile(join(directory, 'index.json'), 'utf8')) as {
        manifests: Descriptor[];
      };
      expect(digestsOf(loaded)).toEqual({ 'site.test/team/empty:empty': index.manifests[0]?.digest });
    });
  });
});
