import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { layerBlobs, listedDirectories } from '../support/built-image.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { extractWithGnuTar } from '../support/gnu-tar-layers.js';
import { LANDFALL, peerOutput } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { REAL_IMAGE_PEERS, realImages, type RealImages } from '../support/real-images.js';
import { isLong } from '../support/rounds.js';
import { listMounted, listTree, withoutUnlistedTimes } from '../support/tree-listing.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const reason = needsPeer('docker-registry', ...REAL_IMAGE_PEERS);

type Tag = 'minbase' | 'tools';

const MORE_FORMS = [
  ['minbase', 'gzip'],
  ['tools', 'zstd'],
  ['tools', 'zstdChunked'],
] as const;

interface Pulled {
  readonly imageId: string;
  readonly chainId: string;
}

/** What peers make of the same layers. Unpacking is right when nothing in these listings differs. */
interface Expected {
  readonly byUmoci: readonly string[];
  readonly byGnuTar: readonly string[];
  /** What umoci's config of it says. */
  readonly imageId: string;
  readonly listed: ReadonlySet<string>;
}

describe.skipIf(reason !== undefined)('real images', () => {
  let work: string;
  let images: RealImages;
  let registry: DockerRegistry;
  const expected = new Map<Tag, Expected>();

  const expectedOf = async (tag: Tag): Promise<Expected> => {
    const layout = images.gzip;
    const listed = await listedDirectories(layout, tag);
    const bundle = join(work, `umoci-${tag}`);
    await peerOutput('umoci', ['unpack', '--image', `${layout}:${tag}`, bundle]);
    const byUmoci = withoutUnlistedTimes(await listTree(join(bundle, 'rootfs')), listed);
    await rm(bundle, { recursive: true });
    const tree = join(work, `tar-${tag}`);
    await mkdir(tree);
    await extractWithGnuTar(await layerBlobs(layout, tag), tree, work);
    const byGnuTar = withoutUnlistedTimes(await listTree(tree), listed);
    await rm(tree, { recursive: true });
    const raw = JSON.parse(await peerOutput('skopeo', ['inspect', '--raw', `oci:${layout}:${tag}`])) as {
      config: { digest: string };
    };
    return { byUmoci, byGnuTar, imageId: raw.config.digest, listed };
  };

  const expectedFor = (tag: Tag): Expected => {
    const found = expected.get(tag);
    if (found === undefined) throw new Error(`nothing is known of ${tag}`);
    return found;
  };

  const push = async (compression: keyof RealImages, tag: Tag): Promise<string> => {
    const reference = `${registry.address}/${compression.toLowerCase()}:${tag}`;
    const names = [`oci:${images[compression]}:${tag}`, `docker://${reference}`];
    await peerOutput('skopeo', ['copy', '-q', '--dest-tls-verify=false', ...names]);
    return reference;
  };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-real-'));
    images = await realImages();
    registry = await startDockerRegistry();
    for (const tag of ['minbase', 'tools'] as const) expected.set(tag, await expectedOf(tag));
  }, 600_000);

  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  it.each(['minbase', 'tools'] as const)('%s is unpacked alike by umoci and by GNU tar', (tag) => {
    const { byUmoci, byGnuTar } = expectedFor(tag);
    expect(byUmoci.length).toBeGreaterThan(6000);
    expect(byGnuTar).toEqual(byUmoci);
  });

  describe.each([['minbase', 'zstd'], ['tools', 'gzip'], ...(isLong ? MORE_FORMS : [])] as const)(
    '%s with layers in %s',
    (tag, compression) => {
      let reference: string;
      let root: string;

      const run = (...args: string[]): string[] => ['--root', root, '--progress', 'none', ...args];
      const pull = async (form: 'overlay' | 'native'): Promise<Pulled> => {
        const [pulled] = await landfallJson<Pulled[]>(run('--snapshots', form, 'pull', reference));
        if (pulled === undefined) throw new Error('the pull answered nothing');
        return pulled;
      };
      const expectTree = (listing: readonly string[]): void => {
        const { byUmoci, listed } = expectedFor(tag);
        expect(withoutUnlistedTimes(listing, listed)).toEqual(byUmoci);
      };
      const expectMounted = async (form: 'overlay' | 'native'): Promise<void> => {
        const target = join(work, 'mounted');
        await mkdir(target, { recursive: true });
        const args = run('--snapshots', form, 'mount', reference, target);
        expectTree(await listMounted([process.execPath, LANDFALL, ...args].join(' '), target));
        expect(await landfall(run('--snapshots', form, 'umount', target))).toMatchObject({ code: 0 });
      };

      beforeAll(async () => {
        root = join(work, `root-${compression}-${tag}`);
        reference = await push(compression, tag);
      });

      afterAll(async () => {
        await rm(root, { recursive: true, force: true });
      });

      it('is compressed so', async () => {
        const raw = await peerOutput('skopeo', [
          'inspect',
          '--raw',
          '--tls-verify=false',
          `docker://${reference}`,
        ]);
        const { layers } = JSON.parse(raw) as { layers: { mediaType: string; annotations?: object }[] };
        for (const { mediaType, annotations = {} } of layers) {
          expect(mediaType).toMatch(compression === 'gzip' ? /\+gzip$/ : /\+zstd$/);
          expect(Object.keys(annotations).some((key) => key.includes('zstd-chunked'))).toBe(
            compression === 'zstdChunked',
          );
        }
      });

      it('is mounted as the tree that umoci unpacks', async () => {
        expect(await pull('overlay')).toMatchObject({ imageId: expectedFor(tag).imageId });
        await expectMounted('overlay');
      });

      it('is that tree as a native snapshot, beside the other form in one store', async () => {
        const [{ chainId }] = [await pull('native')];
        expect(await pull('overlay')).toMatchObject({ chainId });
        await expectMounted('native');
      });

      it('is unpacked, without mounts, as that tree', async () => {
        const target = join(work, 'unpacked');
        await mkdir(target);
        expect(await landfall(run('unpack', reference, target))).toMatchObject({ code: 0 });
        expectTree(await listTree(target));
        await rm(target, { recursive: true });
      });
    },
  );

  it('run their programs', async () => {
    const root = join(work, 'root-run');
    const target = join(work, 'run');
    await mkdir(target);
    const reference = await push('gzip', 'tools');
    const run = `${process.execPath} ${LANDFALL} --root ${root} --progress none`;
    const script = `set -e
      ${run} pull -q ${reference} >/dev/null
      ${run} mount --rw --dev ${reference} ${target} >/dev/null
      chroot ${target} python3 -c 'import json, ssl; print(json.dumps({"python": 3}))'
      chroot ${target} perl -MPOSIX -e 'print POSIX::floor(5.5), "\\n"'
      chroot ${target} sh -c 'git init -q /tmp/r && cd /tmp/r && : > file && git add file &&
        git -c user.name=n -c user.email=n@localhost commit -q -m one && git log --format=%s'
      ${run} umount ${target} >/dev/null`;
    expect(await peerOutput('unshare', ['-m', 'sh', '-c', script])).toBe('{"python": 3}\n5\none\n');
  });
});
