import { createReadStream } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compress } from 'zstd-napi';
import { listImages } from '../../../src/engine/images/images.js';
import { openStore } from '../../../src/engine/store.js';
import type { ContentError } from '../../../src/errors.js';
import { requireSpace } from '../../../src/engine/pull/require-space.js';
import { digestOf, hostPlatform, MEDIA_TYPES } from '../../../src/spec/index.js';
import { writeArchive } from '../../support/archived-images.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';
import { documented, runWithBytes, type RanWithBytes, shapeOf } from './archives.js';

const HOST = `linux/${hostPlatform().architecture}`;
const APP = 'quay.io/team/app:1';

interface Loaded {
  readonly images: readonly {
    readonly name: string;
    readonly digest: string;
    readonly outcome: string;
    readonly chainId?: string;
    readonly platform?: string;
  }[];
}

describe('landfall load', () => {
  let work: string;
  let app: TinyLayout;
  let tool: TinyLayout;
  let file: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-load-'));
    app = await makeTinyLayout(join(work, 'app'), { platforms: [HOST, 'linux/s390x'] });
    tool = await makeTinyLayout(join(work, 'tool'), { layers: [[{ path: 'tool', content: 'hammer' }]] });
    file = join(work, 'images.tar');
    const images = [
      { layout: app, repository: 'quay.io/team/app', tag: '1', platforms: 'all' as const },
      { layout: tool, repository: 'docker.io/library/tool', tag: '2' },
    ];
    await writeArchive(file, images);
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  const freshRoot = async (): Promise<string> => join(await mkdtemp(join(work, 'root-')), 'store');
  const load = (root: string, args: readonly string[], stdin?: Readable): Promise<RanWithBytes> =>
    runWithBytes(
      ['--root', root, '--snapshots', 'native', 'load', ...args],
      stdin === undefined ? {} : { stdin },
    );
  const loadJson = async (root: string, args: readonly string[], stdin?: Readable): Promise<Loaded> => {
    const { code, out, err } = await load(root, [...args, '--output', 'json'], stdin);
    if (code !== 0) throw new Error(`ended with ${code}: ${err}`);
    return JSON.parse(out) as Loaded;
  };
  const namesAt = async (root: string): Promise<string[]> => {
    await using store = await openStore({ root });
    return (await listImages(store)).map(({ name }) => name);
  };

  test('what it has unpacked says how much room more layers need', async () => {
    const root = await freshRoot();
    const layer = { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(Buffer.from('x')), size: 2 ** 45 };
    const neededAt = async (): Promise<number> => {
      await using store = await openStore({ root });
      const { content, database } = store;
      // Snapshots are measured some time after they were made.
      await store.snapshotter.diskUsage();
      const unpacked = { layers: [layer], database };
      const refused = requireSpace({ root, content, descriptors: [layer], unpacked });
      const error = await refused.then(
        () => undefined,
        (reason: unknown) => reason as ContentError,
      );
      return Number(error?.details['needed']) / layer.size;
    };
    expect(await neededAt()).toBe(2);
    await loadJson(root, ['-i', file, '--no-unpack']);
    expect(await neededAt()).toBe(2);
    await loadJson(root, ['-i', file]);
    // A small file takes a block, and its layer some hundred bytes.
    expect(await neededAt()).toBeGreaterThan(2);
  });

  test('brings all images under their names, unpacks them, and skips them the next time', async () => {
    const root = await freshRoot();
    const first = await loadJson(root, ['-i', file]);
    expect(
      first.images.map(({ name, digest, outcome, platform }) => [name, digest, outcome, platform]),
    ).toEqual([
      ['docker.io/library/tool:2', tool.target.digest, 'copied', 'linux/amd64'],
      [APP, app.target.digest, 'copied', HOST],
    ]);
    expect(first.images.every(({ chainId }) => chainId !== undefined)).toBe(true);
    expect(await namesAt(root)).toEqual(['docker.io/library/tool:2', APP]);
    const again = await loadJson(root, ['-i', file]);
    expect(again.images.map(({ outcome }) => outcome)).toEqual(['exists', 'exists']);
    const verified = await runWithBytes(['--root', root, 'verify', '--diff-ids']);
    expect(verified.code).toBe(0);
  });

  test('answers in the form that is documented', async () => {
    const root = await freshRoot();
    const part = join(work, 'part.tar');
    const platforms = [hostPlatform()];
    await writeArchive(part, [{ layout: app, repository: 'quay.io/team/app', tag: '1', platforms }]);
    expect(shapeOf(await loadJson(root, ['-i', part]))).toEqual(shapeOf(documented('load')));
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['as it is', (bytes) => bytes],
    ['with gzip', (bytes) => gzipSync(bytes)],
    ['with zstd', (bytes) => compress(bytes)],
  ])('reads standard input, %s, and such a file', async (_how, pack) => {
    const packed = join(work, 'packed');
    await writeFile(packed, pack(await readFile(file)));
    const [piped, named] = [await freshRoot(), await freshRoot()];
    expect((await loadJson(piped, [], createReadStream(packed))).images).toHaveLength(2);
    expect((await loadJson(named, ['-i', packed])).images).toHaveLength(2);
  });

  test('tells of a platform that was left out on purpose, and is done', async () => {
    const part = join(work, 'part.tar');
    const platforms = [{ os: 'linux', architecture: 's390x' }];
    await writeArchive(part, [{ layout: app, repository: 'quay.io/team/app', tag: '1', platforms }]);
    const { code, err, out } = await load(await freshRoot(), ['-i', part]);
    expect(code).toBe(0);
    expect(err).toContain(`${APP}: left out on purpose: ${HOST}`);
    expect(err).toContain(`has nothing for ${HOST}, and was not unpacked`);
    expect(out).toContain('loaded 1 image from');
  });

  test('brings only the platforms that are asked for', async () => {
    const root = await freshRoot();
    const { err } = await load(root, ['-i', file, '--platform', HOST]);
    expect(err).toContain(`${APP}: left out on purpose: linux/s390x`);
  });

  test('does not unpack where it is not to', async () => {
    const { images } = await loadJson(await freshRoot(), ['-i', file, '--no-unpack']);
    expect(images.every(({ chainId }) => chainId === undefined)).toBe(true);
  });

  test('prints only the digests where that is asked for', async () => {
    const { out } = await load(await freshRoot(), ['-i', file, '-q', '--no-unpack']);
    expect(out).toBe(`${tool.target.digest}\n${app.target.digest}\n`);
  });

  test('gives a name to an image that has none, and without one says so', async () => {
    const nameless = join(work, 'nameless.tar');
    await writeArchive(nameless, [{ layout: tool, repository: '' }]);
    const root = await freshRoot();
    expect(await load(root, ['-i', nameless])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--name') as string,
    });
    await loadJson(root, ['-i', nameless, '--name', 'given', '--no-unpack']);
    expect(await namesAt(root)).toEqual(['docker.io/library/given:latest']);
  });

  test('brings a split archive, and names a part that is missing', async () => {
    const split = join(work, 'split.tar');
    await writeArchive(split, [{ layout: tool, repository: 'docker.io/library/tool', tag: '2' }], {
      splitBytes: 2000,
    });
    expect((await loadJson(await freshRoot(), ['-i', split, '--no-unpack'])).images).toHaveLength(1);
    await rm(`${split}.001`);
    const { code, err } = await load(await freshRoot(), ['-i', split]);
    expect(code).toBe(7);
    expect(err).toContain('split.tar.001 is missing');
  });

  test.each<[string, (bytes: Buffer) => Buffer, number]>([
    ['is cut short', (bytes) => bytes.subarray(0, bytes.length - 600), 7],
    ['has an altered blob', (bytes) => alteredIn(bytes, app.manifests[0].layers[0]?.digest ?? ''), 6],
    ['is empty', () => Buffer.alloc(0), 7],
    ['is no archive', () => Buffer.from('hello'), 7],
  ])('refuses an archive that %s', async (_what, alter, code) => {
    const broken = join(work, 'broken.tar');
    await copyFile(file, broken);
    await writeFile(broken, alter(await readFile(file)));
    const root = await freshRoot();
    expect(await load(root, ['-i', broken])).toMatchObject({ code });
    expect(await load(root, [], createReadStream(broken))).toMatchObject({ code });
    expect(await runWithBytes(['verify', broken])).toMatchObject({ code });
  });

  test('brings the images that are right beside one that is not, and ends with its code', async () => {
    const broken = join(work, 'one-broken.tar');
    await writeFile(broken, alteredIn(await readFile(file), app.manifests[1]?.layers[0]?.digest ?? ''));
    const root = await freshRoot();
    const { code, out } = await load(root, ['-i', broken, '--no-unpack']);
    expect(code).toBe(6);
    expect(out).toContain('docker.io/library/tool:2');
    expect(await namesAt(root)).toEqual(['docker.io/library/tool:2']);
  });

  test('says what is not there', async () => {
    expect(await load(await freshRoot(), ['-i', join(work, 'nothing')])).toMatchObject({ code: 3 });
  });
});

/** With a bit of a blob altered. */
function alteredIn(bytes: Buffer, digest: string): Buffer {
  const name = bytes.indexOf(`blobs/${digest.replace(':', '/')}\0`);
  if (name < 0) throw new Error('there is no such blob');
  const altered = Buffer.from(bytes);
  const at = name + 512 + 20;
  altered[at] = (altered[at] ?? 0) ^ 4;
  return altered;
}
