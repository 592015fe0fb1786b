import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OciLayout } from '../../src/content/index.js';
import { openStore } from '../../src/engine/store.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import type { PutOptions } from '../../src/transfer/transports/destination.js';
import { LayoutDestination } from '../../src/transfer/transports/layout-destination.js';
import { LayoutTransport } from '../../src/transfer/transports/layout-transport.js';
import { layoutRoots } from '../../src/transfer/verify/layout-roots.js';
import { verify } from '../../src/transfer/verify/verify.js';
import { putImages } from '../support/archived-images.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

const SCRIPT = fileURLToPath(new URL('layout-process.js', import.meta.url));
const REPOSITORY = 'docker.io/team/app';

interface Index {
  readonly schemaVersion: number;
  readonly manifests: readonly {
    readonly digest: string;
    readonly annotations?: Readonly<Record<string, string>>;
  }[];
  readonly [key: string]: unknown;
}

describe('a layout that is written to', () => {
  let work: string;
  let image: TinyLayout;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-layout-'));
    image = await makeTinyLayout(join(work, 'image'), { platforms: ['linux/amd64', 'linux/arm64'] });
  });
  afterAll(() => rm(work, { recursive: true }));

  const fresh = (): Promise<string> => mkdtemp(join(work, 'fresh-'));
  const indexOf = async (directory: string): Promise<Index> =>
    JSON.parse(await readFile(join(directory, 'index.json'), 'utf8')) as Index;
  const namesIn = async (directory: string): Promise<string[]> =>
    (await indexOf(directory)).manifests.map(
      (entry) => entry.annotations?.['org.opencontainers.image.ref.name'] ?? '',
    );
  const putText = async (
    transport: LayoutDestination,
    text: string,
    options: PutOptions,
    repository = REPOSITORY,
  ): Promise<Descriptor> => {
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        config: { mediaType: MEDIA_TYPES.ociEmpty, digest: digestOf(Buffer.from('{}')), size: 2 },
        layers: [],
        annotations: { text },
      }),
    );
    const descriptor = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(bytes), size: bytes.length };
    await transport
      .repository(repository)
      .put(descriptor, () => Promise.resolve(Readable.from([bytes])), options);
    return descriptor;
  };

  test('is made where there is nothing, and holds what was put, whole', async () => {
    const directory = join(await fresh(), 'deep', 'layout');
    await using transport = await LayoutDestination.open(directory);
    const [target] = await putImages(transport, [
      { layout: image, repository: REPOSITORY, tag: '1', platforms: 'all' },
    ]);
    expect(target?.digest).toBe(image.target.digest);
    expect((await readdir(join(directory, 'blobs/sha256'))).length).toBe(image.blobs.size);
    expect(await readdir(directory)).toEqual(['blobs', 'index.json', 'oci-layout']);
    const source = new LayoutTransport({ content: await OciLayout.open(directory), location: directory });
    const report = await verify(await layoutRoots(source), { diffIds: true });
    expect(report.faults).toEqual([]);
    expect(report.images.map(({ name }) => name)).toEqual([`${REPOSITORY}:1`]);
  });

  test('moves a tag to what it is given to, and keeps all else, whoever wrote it', async () => {
    const directory = await fresh();
    await using transport = await LayoutDestination.open(directory);
    await putText(transport, 'one', { tag: '1' });
    const before = await indexOf(directory);
    const foreign = {
      mediaType: 'text/plain',
      digest: digestOf(Buffer.from('x')),
      size: 1,
      'org.example': true,
    };
    const annotated = { ...before, annotations: { of: 'others' }, manifests: [foreign, ...before.manifests] };
    await writeFile(join(directory, 'index.json'), JSON.stringify(annotated));
    const two = await putText(transport, 'two', { tag: '1' });
    const after = await indexOf(directory);
    expect(after['annotations']).toEqual({ of: 'others' });
    expect(after.manifests[0]).toEqual(foreign);
    expect(after.manifests.slice(1).map(({ digest }) => digest)).toEqual([two.digest]);
  });

  test('moves a name that another program wrote in its own way', async () => {
    const directory = await fresh();
    await using transport = await LayoutDestination.open(directory);
    const one = await putText(transport, 'one', { tag: 'latest' }, 'docker.io/library/app');
    const text = JSON.stringify(await indexOf(directory));
    const familiar = text.replaceAll('docker.io/library/app:latest', 'app:latest');
    await writeFile(join(directory, 'index.json'), familiar.replace('io.containerd.image.name', 'x'));
    const two = await putText(transport, 'two', { tag: 'latest' }, 'docker.io/library/app');
    expect((await indexOf(directory)).manifests.map(({ digest }) => digest)).toEqual([two.digest]);
    expect(one.digest).not.toBe(two.digest);
  });

  test('has an entry without a name for what is wanted without one, once, until it gets one', async () => {
    const directory = await fresh();
    await using transport = await LayoutDestination.open(directory);
    await putText(transport, 'one', { root: true }, '');
    await putText(transport, 'one', { root: true }, '');
    expect(await namesIn(directory)).toEqual(['']);
    await putText(transport, 'one', { tag: 'any name' }, '');
    await putText(transport, 'one', { root: true }, '');
    expect(await namesIn(directory)).toEqual(['any name']);
  });

  test('deletes tags and manifests, and says what is not there', async () => {
    const directory = await fresh();
    await using transport = await LayoutDestination.open(directory);
    const one = await putText(transport, 'one', { tag: '1' });
    await putText(transport, 'one', { tag: '2' });
    await putText(transport, 'three', { tag: '3' });
    const repository = transport.repository(REPOSITORY);
    await repository.deleteTag('3');
    const tags: string[] = [];
    for await (const tag of repository.tags()) tags.push(tag);
    expect(tags).toEqual(['1', '2']);
    await expect(repository.deleteTag('3')).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    await repository.deleteManifest(one.digest);
    expect((await indexOf(directory)).manifests).toEqual([]);
    await expect(repository.deleteManifest(one.digest)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
  });

  test('declares what was left out, until it comes', async () => {
    const directory = await fresh();
    await using transport = await LayoutDestination.open(directory);
    const amd64 = [{ os: 'linux', architecture: 'amd64' }];
    const put = { layout: image, repository: REPOSITORY, tag: '1' };
    await putImages(transport, [{ ...put, platforms: amd64 }]);
    const declared = JSON.parse(await readFile(join(directory, 'landfall.json'), 'utf8')) as {
      omitted: Descriptor[];
    };
    expect(declared.omitted).toEqual([
      { ...image.manifests[1]?.manifest, platform: { os: 'linux', architecture: 'arm64' } },
    ]);
    await putImages(transport, [{ ...put, platforms: 'all' }]);
    const source = new LayoutTransport({ content: transport.layout, location: directory });
    expect((await verify(await layoutRoots(source))).faults).toEqual([]);
  });

  test('shows nothing of a blob that is not what it was said to be', async () => {
    const directory = await fresh();
    await using transport = await LayoutDestination.open(directory);
    const descriptor = { mediaType: MEDIA_TYPES.ociLayer, digest: digestOf(Buffer.from('right')), size: 5 };
    const put = (bytes: string): Promise<unknown> =>
      transport.repository('').put(descriptor, () => Promise.resolve(Readable.from([Buffer.from(bytes)])));
    await expect(put('wrong')).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    await expect(put('righ')).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
    await expect(put('right!')).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
    expect(await readdir(join(directory, 'blobs/sha256'))).toEqual([]);
    await put('right');
    expect(await readdir(directory)).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  test('sweeps what a killed process left, and not what somebody is writing', async () => {
    const directory = await fresh();
    await using transport = await LayoutDestination.open(directory);
    await writeFile(join(directory, '.landfall-left'), 'half of a blob');
    let opened: (() => void) | undefined;
    const slow = new Promise<void>((resolve) => (opened = resolve));
    const bytes = Buffer.from('slow');
    const descriptor = { mediaType: 'text/plain', digest: digestOf(bytes), size: bytes.length };
    const putting = transport.repository('').put(descriptor, async () => {
      await slow;
      return Readable.from([bytes]);
    });
    await expect.poll(() => readdir(directory)).toHaveLength(5);
    await using other = await LayoutDestination.open(directory);
    expect((await readdir(other.directory)).filter((name) => name.startsWith('.'))).toHaveLength(1);
    opened?.();
    expect(await putting).toBe('copied');
  });

  test.each<[string, (directory: string) => Promise<unknown>, string]>([
    ['that is not empty', (directory) => writeFile(join(directory, 'file'), ''), 'INVALID_CONFIG'],
    [
      'of a later version',
      (directory) => writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}'),
      'UNSUPPORTED',
    ],
    [
      'that is a store',
      async (directory) => (await openStore({ root: directory })).close(),
      'INVALID_CONFIG',
    ],
  ])('is not made of a directory %s', async (_what, prepare, code) => {
    const directory = await fresh();
    await prepare(directory);
    await expect(LayoutDestination.open(directory)).rejects.toMatchObject({ code });
  });

  test('is made of a directory in which another process has just begun', async () => {
    const directory = await fresh();
    await mkdir(join(directory, 'blobs'));
    await using transport = await LayoutDestination.open(directory);
    expect(await readdir(transport.directory)).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  test('by eight processes at once loses no image of any', async () => {
    const directory = join(await fresh(), 'layout');
    const count = 6;
    const children = Array.from({ length: 8 }, (_, who) =>
      spawn(process.execPath, [SCRIPT, directory, `p${who}`, String(count)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    );
    await Promise.all(children.map((child) => once(child.stdout, 'data')));
    const ended = children.map((child) => once(child, 'exit'));
    for (const child of children) child.stdin.write('go\n');
    expect(await Promise.all(ended)).toEqual(children.map(() => [0, null]));
    const names = children.flatMap((_, who) =>
      Array.from({ length: count }, (_one, at) => `docker.io/team/p${who}:v${at}`),
    );
    expect((await namesIn(directory)).sort()).toEqual(names.sort());
    const source = new LayoutTransport({ content: await OciLayout.open(directory), location: directory });
    expect(
      (await verify(await layoutRoots(source))).faults.filter(({ kind }) => kind !== 'malformed'),
    ).toEqual([]);
    expect(await readdir(directory)).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  test('does not pass on that a blob failed to come to who wants it too', async () => {
    await using transport = await LayoutDestination.open(await fresh());
    const bytes = Buffer.from('shared');
    const blob = { mediaType: MEDIA_TYPES.ociLayer, digest: digestOf(bytes), size: bytes.length };
    const repository = transport.repository(REPOSITORY);
    const failing = repository.put(blob, () => Promise.reject(new Error('the line broke')));
    const coming = repository.put(blob, () => Promise.resolve(Readable.from([bytes])));
    const waiting = repository.put(blob, () => Promise.reject(new Error('nobody is to be asked')));
    await expect(failing).rejects.toThrow('the line broke');
    expect(await coming).toBe('copied');
    expect(await waiting).toBe('exists');
  });

  test('deletes an image by its digest from the repository that was named, and no other', async () => {
    const directory = await fresh();
    await using transport = await LayoutDestination.open(directory);
    const { digest } = await putText(transport, 'one', { tag: '1' });
    await putText(transport, 'one', { tag: '1' }, `${REPOSITORY}lication`);
    await putText(transport, 'one', { tag: '1' }, `${REPOSITORY}/deeper`);
    await transport.repository(REPOSITORY).deleteManifest(digest);
    expect(await namesIn(directory)).toEqual([`${REPOSITORY}lication:1`, `${REPOSITORY}/deeper:1`]);
  });
});
