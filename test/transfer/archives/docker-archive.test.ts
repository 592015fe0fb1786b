import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compress } from 'zstd-napi';
import type { ImageIndex } from '../../../src/spec/index.js';
import type { Archive } from '../../../src/transfer/transports/archives/archive.js';
import { openArchive } from '../../../src/transfer/transports/archives/open-archive.js';
import { dockerArchive, type DockerArchiveImage, sha256 } from '../../support/docker-archive.js';
import { archive, file, symlink } from '../../support/tar-builder.js';
import { makeTar } from '../../support/tiny-image.js';

const NAME = 'org.opencontainers.image.ref.name';

describe('an archive of Docker', () => {
  let work: string;
  let tar: Buffer;
  let diffId: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-docker-archive-'));
    tar = await makeTar([{ path: 'hail', content: 'ahoy\n' }]);
    diffId = sha256(tar);
  });
  afterAll(() => rm(work, { recursive: true }));

  const opened = async (bytes: Buffer): Promise<Archive> => {
    const path = join(work, 'docker.tar');
    await writeFile(path, bytes);
    return await openArchive({ file: path });
  };
  const image = (bytes: Buffer, more: Partial<DockerArchiveImage> = {}): DockerArchiveImage => ({
    layers: [{ path: 'one/layer.tar', bytes, diffId }],
    tags: ['team/app:1'],
    ...more,
  });

  test.each<[string, (bytes: Buffer) => Buffer, string]>([
    ['as they are', (bytes) => bytes, 'application/vnd.oci.image.layer.v1.tar'],
    ['with gzip', (bytes) => gzipSync(bytes), 'application/vnd.oci.image.layer.v1.tar+gzip'],
    ['with zstd', (bytes) => compress(bytes), 'application/vnd.oci.image.layer.v1.tar+zstd'],
  ])('has a manifest for layers %s, by their own bytes', async (_how, pack, mediaType) => {
    const layer = pack(tar);
    await using docker = await opened(dockerArchive([image(layer)]));
    const { manifests } = await docker.index();
    const [target] = manifests;
    if (target === undefined) throw new Error('there is no image');
    expect(docker.format).toBe('docker');
    expect(target.platform).toMatchObject({ os: 'linux', architecture: 'amd64' });
    expect(target.annotations).toEqual({ [NAME]: 'docker.io/team/app:1' });
    const bytes = await buffer(await docker.open(target));
    expect(sha256(bytes)).toBe(target.digest);
    const manifest = JSON.parse(bytes.toString()) as { config: { digest: string }; layers: object[] };
    expect(manifest.layers).toEqual([{ mediaType, digest: sha256(layer), size: layer.length }]);
    expect(Object.keys(manifest)).toEqual(['schemaVersion', 'mediaType', 'config', 'layers']);
  });

  test('is looked into for all who ask at once, whoever of them goes', async () => {
    await using docker = await opened(dockerArchive([image(gzipSync(tar))]));
    const impatient = new AbortController();
    const first = docker.index({ signal: impatient.signal });
    const second = docker.index();
    impatient.abort();
    await expect(first).rejects.toMatchObject({ code: 'ABORTED' });
    expect((await second).manifests).toHaveLength(1);
  });

  test('gives every tag of an image its entry, and one without tags an entry without a name', async () => {
    const names = async (tags: readonly string[] | null): Promise<(string | undefined)[]> => {
      await using docker = await opened(dockerArchive([image(tar, { tags })]));
      return (await docker.index()).manifests.map(({ annotations }) => annotations?.[NAME]);
    };
    expect(await names(['app', 'quay.io/team/app:2'])).toEqual([
      'docker.io/library/app:latest',
      'quay.io/team/app:2',
    ]);
    expect(await names(null)).toEqual([undefined]);
  });

  test('follows the links by which older Dockers left out layers that were there', async () => {
    const path = 'two/layer.tar';
    const bytes = dockerArchive(
      [image(tar), image(tar, { tags: ['b:1'], config: { author: 'else' }, links: [path] })],
      [symlink(path, '../one/layer.tar')],
    );
    await using docker = await opened(bytes);
    const { manifests } = await docker.index();
    expect(new Set(manifests.map(({ digest }) => digest)).size).toBe(2);
    for (const target of manifests) {
      const manifest = JSON.parse((await buffer(await docker.open(target))).toString()) as {
        layers: { digest: string }[];
      };
      expect(manifest.layers.map(({ digest }) => digest)).toEqual([diffId]);
    }
  });

  test.each<[string, () => DockerArchiveImage, string]>([
    [
      'a layer is not what the config says',
      () => image(Buffer.concat([tar, Buffer.alloc(512)])),
      'DIFF_ID_MISMATCH',
    ],
    [
      'the config is not what its name says',
      () => image(tar, { configPath: `${'0'.repeat(64)}.json` }),
      'DIFF_ID_MISMATCH',
    ],
    [
      'a layer is missing in the config',
      () => image(tar, { config: { rootfs: { type: 'layers', diff_ids: [] } } }),
      'BAD_ARCHIVE',
    ],
    ['a compressed layer is damaged', () => image(gzipSync(tar).fill(0, 30, 40)), 'BAD_ARCHIVE'],
  ])('is found out where %s', async (_what, made, code) => {
    await using docker = await opened(dockerArchive([made()]));
    expect((await docker.faults()).map((fault) => fault.code)).toEqual([code]);
    await expect(docker.index()).rejects.toMatchObject({ code });
  });

  test('tells of all its faults', async () => {
    const wrong = Buffer.concat([tar, Buffer.alloc(512)]);
    const two = { path: 'two/layer.tar', bytes: Buffer.concat([tar, Buffer.alloc(1024)]), diffId };
    const bad: DockerArchiveImage = { layers: [{ path: 'one/layer.tar', bytes: wrong, diffId }, two] };
    await using docker = await opened(dockerArchive([bad]));
    expect(await docker.faults()).toHaveLength(2);
  });

  test.each<[string, () => Buffer, string]>([
    ['lacks a layer', () => dockerArchive([image(tar, { links: ['two/layer.tar'] })]), 'BAD_ARCHIVE'],
    ['was written before Docker 1.10', () => archive(file('repositories', '{}')), 'UNSUPPORTED_MEDIA_TYPE'],
    ['is no archive of images', () => archive(file('hello', 'world')), 'BAD_ARCHIVE'],
    ['has a list that is none', () => archive(file('manifest.json', '{}')), 'INVALID_MANIFEST'],
    [
      'has a list without configs',
      () => archive(file('manifest.json', '[{"Layers":[]}]')),
      'INVALID_MANIFEST',
    ],
    [
      'lists a config that is not there',
      () => archive(file('manifest.json', '[{"Config":"../a"}]')),
      'BAD_ARCHIVE',
    ],
  ])('is refused where it %s', async (_what, bytes, code) => {
    const reading = opened(bytes()).then(async (docker): Promise<ImageIndex> => {
      await using held = docker;
      return await held.index();
    });
    await expect(reading).rejects.toMatchObject({ code });
  });

  test('of which an OCI layout is there too is read as that', async () => {
    const index = JSON.stringify({ schemaVersion: 2, manifests: [] });
    const both = dockerArchive(
      [image(tar)],
      [file('oci-layout', '{"imageLayoutVersion":"1.0.0"}'), file('index.json', index)],
    );
    await using opening = await opened(both);
    expect(opening.format).toBe('both');
    expect((await opening.index()).manifests).toEqual([]);
  });
});
