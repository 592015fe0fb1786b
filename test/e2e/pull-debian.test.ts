import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { layerBlobs } from '../support/built-image.js';
import { DEBIAN_IMAGE_PEERS, type ServedDebianImage, serveDebianImage } from '../support/debian-image.js';
import { extractWithGnuTar } from '../support/gnu-tar-layers.js';
import { LANDFALL, peerOutput } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { listMounted, listTree, withoutUnlistedTimes } from '../support/tree-listing.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const reason = needsPeer('docker-registry', ...DEBIAN_IMAGE_PEERS);

interface Pulled {
  reference: string;
  digest: string;
  mediaType: string;
  platform: string;
  imageId: string;
  chainId: string;
  layers: { digest: string; diffId: string; chainId: string; size: number; reused: boolean }[];
  bytesDownloaded: number;
}

/** A real image from a real registry, held against what umoci makes of the same image. */
describe.skipIf(reason !== undefined)('a Debian image', () => {
  let work: string;
  let image: ServedDebianImage;
  let layout: string;
  let reference: string;
  let root: string;
  let expected: string[];
  let listed: ReadonlySet<string>;
  let pulled: Pulled;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-debian-'));
    image = await serveDebianImage();
    ({ layout, reference, listed } = image);
    await peerOutput('umoci', ['unpack', '--image', `${layout}:trixie`, join(work, 'bundle')]);
    expected = withoutUnlistedTimes(await listTree(join(work, 'bundle/rootfs')), listed);
    root = join(work, 'root');
    [pulled] = await landfallJson<[Pulled]>(['--root', root, 'pull', reference]);
  }, 300_000);

  afterAll(async () => {
    await image[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it('is told as the manifest and config have it', async () => {
    const raw = JSON.parse(await peerOutput('skopeo', ['inspect', '--raw', `oci:${layout}:trixie`])) as {
      config: { digest: string };
      layers: { digest: string; size: number }[];
    };
    expect(pulled).toMatchObject({
      reference,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      imageId: raw.config.digest,
      chainId: pulled.layers.at(-1)?.chainId,
      layers: raw.layers.map(({ digest, size }) => ({ digest, size, reused: false })),
    });
    expect(pulled.layers).toHaveLength(4);
    const total = raw.layers.reduce((sum, { size }) => sum + size, 0);
    expect(pulled.bytesDownloaded).toBeGreaterThan(total);
  });

  it('mounts as the tree that umoci unpacks', async () => {
    const target = join(work, 'mounted');
    await mkdir(target);
    const mount = `${process.execPath} ${LANDFALL} --root ${root} mount ${reference} ${target}`;
    expect(withoutUnlistedTimes(await listMounted(mount, target), listed)).toEqual(expected);
    await landfall(['--root', root, 'umount', target]);
  });

  it('unpacks, without mounts, as the tree that umoci unpacks', async () => {
    const target = join(work, 'unpacked');
    await mkdir(target);
    const result = await landfall(['--root', root, 'unpack', reference, target]);
    expect(result).toMatchObject({ code: 0 });
    expect(withoutUnlistedTimes(await listTree(target), listed)).toEqual(expected);
    await rm(target, { recursive: true });
  });

  it('is unpacked so by GNU tar, too', async () => {
    const target = join(work, 'tar');
    await mkdir(target);
    await extractWithGnuTar(await layerBlobs(layout, 'trixie'), target, work);
    expect(withoutUnlistedTimes(await listTree(target), listed)).toEqual(expected);
    await rm(target, { recursive: true });
  });

  it('makes the same tree as a native snapshot, of the layers that are here', async () => {
    const native = ['--root', root, '--snapshots', 'native'];
    expect(await landfallJson([...native, 'pull', reference])).toMatchObject([
      { chainId: pulled.chainId, layers: pulled.layers.map(() => ({ reused: false })) },
    ]);
    const target = join(work, 'native');
    await mkdir(target);
    const mount = `${process.execPath} ${LANDFALL} ${native.join(' ')} mount ${reference} ${target}`;
    expect(withoutUnlistedTimes(await listMounted(mount, target), listed)).toEqual(expected);
    await landfall([...native, 'umount', target]);
  });

  it('unpacks from an OCI layout as well, to which nothing is written', async () => {
    const target = join(work, 'from-layout');
    await mkdir(target);
    const before = await listTree(layout);
    const result = await landfall(['--root', root, 'unpack', `oci:${layout}:trixie`, target]);
    expect(result).toMatchObject({ code: 0 });
    expect(withoutUnlistedTimes(await listTree(target), listed)).toEqual(expected);
    expect(await listTree(layout)).toEqual(before);
    await rm(target, { recursive: true });
  });

  it('runs a program from the mounted root file system', async () => {
    const target = join(work, 'run');
    await mkdir(target);
    const script = `${process.execPath} ${LANDFALL} --root ${root} mount ${reference} ${target} >/dev/null && chroot ${target} /usr/bin/hello && chroot ${target} /bin/sh -c '. /etc/os-release; echo $VERSION_CODENAME'`;
    expect(await peerOutput('unshare', ['-m', 'sh', '-c', script])).toBe('Hello, world!\ntrixie\n');
    await landfall(['--root', root, 'umount', target]);
  });

  it('mounts writable with --rw, and the image stays as it is', async () => {
    const target = join(work, 'writable');
    await mkdir(target);
    const run = `${process.execPath} ${LANDFALL} --root ${root}`;
    const script = `${run} mount --rw ${reference} ${target} >/dev/null && rm ${target}/usr/bin/hello && echo x > ${target}/new && ls ${target}/new && ${run} umount ${target} >/dev/null`;
    expect(await peerOutput('unshare', ['-m', 'sh', '-c', script])).toBe(`${target}/new\n`);
    const mount = `${run} mount ${reference} ${target}`;
    expect(withoutUnlistedTimes(await listMounted(mount, target), listed)).toEqual(expected);
    await landfall(['--root', root, 'umount', target]);
  });

  it('is read in place by skopeo and umoci', async () => {
    const inspected = JSON.parse(await peerOutput('skopeo', ['inspect', `oci:${root}:${reference}`])) as {
      Digest: string;
    };
    expect(inspected.Digest).toBe(pulled.digest);
    const stat = JSON.parse(
      await peerOutput('umoci', ['stat', '--json', '--image', `${root}:${reference}`]),
    ) as {
      history: { diff_id?: string }[];
    };
    expect(stat.history.flatMap(({ diff_id: diffId }) => diffId ?? [])).toEqual(
      pulled.layers.map((l) => l.diffId),
    );
  });

  it('has mounts that the kernel takes as they are', async () => {
    const target = join(work, 'by-hand');
    await mkdir(target);
    const mounts = JSON.parse((await landfall(['--root', root, 'mounts', reference])).stdout) as {
      type: string;
      source: string;
      options: string[];
    }[];
    expect(mounts).toHaveLength(1);
    const [{ type, source, options } = { type: '', source: '', options: [] }] = mounts;
    // mount(8) would hand over options one by one, each of at most 255 bytes; the kernel's older call takes a
    // page.
    const mount = `LIBMOUNT_FORCE_MOUNT2=always mount -t ${type} -o ${options.join(',')} ${source} ${target}`;
    expect(withoutUnlistedTimes(await listMounted(mount, target), listed)).toEqual(expected);
  });

  it('is not downloaded again: one HEAD, and the command says so', async () => {
    const before = (await image.registry.accessLog()).length;
    const again = await landfall(['--root', root, 'pull', reference]);
    expect(again).toMatchObject({ code: 0 });
    expect(again.stdout).toMatch(/up to date/);
    const requests = (await image.registry.accessLog()).slice(before);
    expect(requests).toHaveLength(1);
    expect(requests[0]).toMatch(/"HEAD \/v2\/debian\/manifests\/trixie HTTP/);
    const [json] = await landfallJson<[Pulled]>(['--root', root, 'pull', reference]);
    expect(json.bytesDownloaded).toBe(0);
    expect(json.layers.every((layer) => layer.reused)).toBe(true);
  });

  it('is kept by its other name, and leaves nothing when the last is removed', async () => {
    const name = `${image.registry.address}/debian:other`;
    expect(await landfall(['--root', root, 'tag', reference, name])).toMatchObject({ code: 0 });
    const images = await landfallJson<{ name: string; digest: string }[]>(['--root', root, 'images']);
    expect(images.map((image) => image.name).sort()).toEqual([name, reference].sort());
    expect(await landfall(['--root', root, 'rmi', reference])).toMatchObject({ code: 0 });
    expect(await landfall(['--root', root, 'mounts', name])).toMatchObject({ code: 0 });
    expect(await landfall(['--root', root, 'rmi', name])).toMatchObject({ code: 0 });
    expect(await landfallJson<unknown[]>(['--root', root, 'images'])).toEqual([]);
    expect(await readdir(join(root, 'blobs/sha256'))).toEqual([]);
    expect(await readdir(join(root, 'snapshots'))).toEqual([]);
    expect(await readdir(join(root, 'ingest'))).toEqual([]);
  });
});
