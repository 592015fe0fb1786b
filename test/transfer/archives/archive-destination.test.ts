import { createWriteStream } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RegistryError } from '../../../src/errors.js';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import {
  ArchiveDestination,
  type ArchiveDestinationOptions,
} from '../../../src/transfer/transports/archives/archive-destination.js';
import { openArchive } from '../../../src/transfer/transports/archives/open-archive.js';
import { copy } from '../../../src/transfer/copy/copy.js';
import { CopySession } from '../../../src/transfer/copy/copy-session.js';
import { proofOf } from '../../support/archive-proof.js';
import { type ArchivedImage, putImages, writeArchive } from '../../support/archived-images.js';
import { addImage } from '../../support/memory-images.js';
import { MemoryTransport, type MemoryRepository } from '../../support/memory-transport.js';
import { makeTinyLayout } from '../../support/tiny-image.js';

describe('an archive that is written', () => {
  let work: string;
  let app: ArchivedImage;
  let tool: ArchivedImage;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-archive-'));
    const platforms = ['linux/amd64', 'linux/arm64', 'linux/s390x'];
    const many = await makeTinyLayout(join(work, 'app'), { platforms });
    const one = await makeTinyLayout(join(work, 'tool'), { compression: 'zstd' });
    app = { layout: many, repository: 'docker.io/library/app', tag: 'latest', platforms: 'all' };
    tool = { layout: one, repository: 'quay.io/team/tool', tag: '2' };
  });
  afterAll(() => rm(work, { recursive: true }));

  const fresh = (): Promise<string> => mkdtemp(join(work, 'fresh-'));
  const written = async (
    images: readonly ArchivedImage[],
    options: ArchiveDestinationOptions = {},
  ): Promise<Buffer> => {
    const file = join(await fresh(), 'archive.tar');
    await writeArchive(file, images, options);
    return await readFile(file);
  };
  const putBytes = async (
    transport: ArchiveDestination,
    bytes: Buffer,
    open: () => Promise<Readable> = () => Promise.resolve(Readable.from([bytes])),
  ): Promise<Descriptor> => {
    const descriptor = { mediaType: MEDIA_TYPES.ociLayer, digest: digestOf(bytes), size: bytes.length };
    await transport.repository('').put(descriptor, open);
    return descriptor;
  };

  test.each(['oci', 'docker', 'both'] as const)(
    'as %s has the same bytes, in whatever order images are put',
    async (format) => {
      const bytes = await written([app, tool], { format });
      expect(bytes.equals(await written([tool, app], { format }))).toBe(true);
      expect(bytes.equals(await written([tool, app, tool], { format, prefetch: { concurrency: 1 } }))).toBe(
        true,
      );
    },
  );

  test.each(['oci', 'docker', 'both'] as const)('as %s is whole, its layers too', async (format) => {
    const file = join(await fresh(), 'archive.tar');
    await writeArchive(file, [app, tool], { format });
    expect(await proofOf(file, { diffIds: true })).toBe('whole');
    await using archive = await openArchive({ file });
    expect(archive.format).toBe(format);
  });

  test('has each blob once, and is no larger than its blobs need', async () => {
    const both = await written([app, { ...app, tag: 'again' }, tool]);
    const digests = new Set([...app.layout.blobs.keys(), ...tool.layout.blobs.keys()]);
    const found = [...both.toString('latin1').matchAll(/blobs\/sha256\/([0-9a-f]{64})\0/g)].map(
      ([, hex]) => hex,
    );
    expect(found).toEqual([...digests].map((digest) => digest.slice('sha256:'.length)).sort());
  });

  test('shows Docker the manifest for the platform that is asked for, under every name', async () => {
    const file = join(await fresh(), 'archive.tar');
    const images = [app, { ...app, tag: 'again' }];
    await writeArchive(file, images, { format: 'docker', platform: { os: 'linux', architecture: 's390x' } });
    await using archive = await openArchive({ file });
    const { manifests } = await archive.index();
    expect(manifests.map(({ platform }) => platform?.architecture)).toEqual(['s390x', 's390x']);
    expect(manifests.map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'])).toEqual([
      'docker.io/library/app:again',
      'docker.io/library/app:latest',
    ]);
  });

  test('shows Docker the manifest whose config is for the platform, where the index says none', async () => {
    const platforms = ['linux/s390x', 'linux/amd64', 'linux/arm64'];
    const layout = await makeTinyLayout(await fresh(), { platforms, silent: true });
    const image: ArchivedImage = { layout, repository: 'docker.io/library/app', tag: '1', platforms: 'all' };
    const file = join(await fresh(), 'archive.tar');
    for (const architecture of ['arm64', 'amd64']) {
      await writeArchive(file, [image], { format: 'docker', platform: { os: 'linux', architecture } });
      await using archive = await openArchive({ file });
      const { manifests } = await archive.index();
      expect(manifests.map(({ platform }) => platform?.architecture)).toEqual([architecture]);
    }
  });

  test('declares what was left out, and is whole by that', async () => {
    const file = join(await fresh(), 'archive.tar');
    await writeArchive(file, [{ ...app, platforms: [{ os: 'linux', architecture: 'arm64' }] }]);
    await using archive = await openArchive({ file });
    expect(archive.declaration.omitted.map(({ platform }) => platform?.architecture).sort()).toEqual([
      'amd64',
      's390x',
    ]);
    expect(await proofOf(file)).toBe('whole');
    expect(await proofOf(file, { isLeftOut: () => false })).toEqual(['BLOB_NOT_FOUND', 'BLOB_NOT_FOUND']);
  });

  describe('that was broken off', () => {
    const MiB = 1024 * 1024;
    const layers = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(MiB));
    const cut = new RegistryError('DENIED', 'cut off');

    function sourceWith(...tags: readonly string[]): MemoryRepository {
      const source = new MemoryTransport('registry.example').repository('registry.example/team/app');
      for (const tag of tags) addImage(source, { tag, layers: [...layers, tag] });
      return source;
    }

    async function write(source: MemoryRepository, file: string, splitBytes?: number): Promise<void> {
      const options = { splitBytes, prefetch: { smallBytes: 10 } };
      await using transport = await ArchiveDestination.open({ file }, options);
      const session = new CopySession();
      for (const tag of Object.keys(source.everything.tags))
        await copy(source, transport.repository(source.name), { from: tag, tag, platforms: 'all' }, session);
      await transport.finish();
    }

    /** Breaks off in the middle of the third large layer that is written. */
    async function broken(file: string, splitBytes?: number): Promise<void> {
      const source = sourceWith('1');
      let large = 0;
      const fetch = source.fetch.bind(source);
      source.fetch = async (descriptor, o) => {
        const stream = await fetch(descriptor, o);
        if (descriptor.size < MiB) return stream;
        large += 1;
        if (large < 3) return stream;
        const bytes = Buffer.concat((await stream.toArray()) as Buffer[]);
        return Readable.from(
          (function* () {
            for (let at = 0; at < MiB / 2; at += MiB / 8) yield bytes.subarray(at, at + MiB / 8);
            throw cut;
          })(),
        );
      };
      await expect(write(source, file, splitBytes)).rejects.toBe(cut);
      const left = await readdir(dirname(file));
      expect(left.every((name) => name.startsWith(`${basename(file)}.partial`))).toBe(true);
      expect(left.length).toBe(splitBytes === undefined ? 1 : 3);
    }

    /** Bytes of large layers that were fetched to write it. */
    async function fetchedFor(source: MemoryRepository, file: string, splitBytes?: number): Promise<number> {
      let fetched = 0;
      const fetch = source.fetch.bind(source);
      source.fetch = async (descriptor, o) => {
        if (descriptor.size >= MiB) fetched += descriptor.size - (o?.offset ?? 0);
        return await fetch(descriptor, o);
      };
      await write(source, file, splitBytes);
      return fetched;
    }

    async function expectWhole(file: string, ...tags: readonly string[]): Promise<void> {
      const other = join(await fresh(), 'other.tar');
      await write(sourceWith(...tags), other);
      expect((await readFile(file)).equals(await readFile(other))).toBe(true);
      expect(await readdir(dirname(file))).toEqual([basename(file)]);
    }

    test('goes on where it stopped, within a layer too, and has the same bytes', async () => {
      const file = join(await fresh(), 'images.tar');
      await broken(file);
      const fetched = await fetchedFor(sourceWith('1'), file);
      expect(fetched).toBeGreaterThan(MiB);
      expect(fetched).toBeLessThan(2 * MiB);
      await expectWhole(file, '1');
    });

    test('uses what it has for another set, and on another medium', async () => {
      const file = join(await fresh(), 'images.tar');
      await broken(file);
      const moved = join(await fresh(), 'moved.tar');
      await rename(`${file}.partial`, `${moved}.partial`);
      expect(await fetchedFor(sourceWith('1', '2'), moved)).toBeLessThan(2 * MiB);
      await expectWhole(moved, '1', '2');
    });

    test.each([
      ['the same', MiB],
      ['another', 1.5 * MiB],
    ])('goes on in parts of %s size', async (_name, splitBytes) => {
      const file = join(await fresh(), 'images.tar');
      await broken(file, MiB);
      expect(await fetchedFor(sourceWith('1'), file, splitBytes)).toBeLessThan(2 * MiB);
      const parts = (await readdir(dirname(file))).filter((name) => /\d{3}$/.test(name));
      expect((await readdir(dirname(file))).length).toBe(parts.length + 1);
      const joined = await Promise.all(parts.map((name) => readFile(join(dirname(file), name))));
      const other = join(await fresh(), 'other.tar');
      await write(sourceWith('1'), other);
      expect(Buffer.concat(joined).equals(await readFile(other))).toBe(true);
    });

    test('begins anew after what it has was damaged', async () => {
      const file = join(await fresh(), 'images.tar');
      await broken(file);
      const partial = await open(`${file}.partial`, 'r+');
      const { size } = await partial.stat();
      await partial.write(Buffer.from('damage'), 0, 6, size - MiB);
      await partial.close();
      await expect(write(sourceWith('1'), file)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
      await write(sourceWith('1'), file);
      await expectWhole(file, '1');
    });

    test('tells of bytes when they are written', async () => {
      const file = join(await fresh(), 'images.tar');
      const source = sourceWith('1');
      await using transport = await ArchiveDestination.open({ file });
      const states: string[] = [];
      const session = new CopySession({
        onEvent: (event) => {
          if (event.type === 'content' && event.role === 'layer') states.push(event.state);
        },
      });
      await copy(
        source,
        transport.repository(source.name),
        { from: '1', tag: '1', platforms: 'all' },
        session,
      );
      expect(states).toEqual([]);
      await transport.finish();
      expect(states.filter((state) => state === 'copied')).toHaveLength(5);
    });
  });

  test('without what the far side has declares that, of layers too', async () => {
    const file = join(await fresh(), 'delta.tar');
    const registry = new MemoryTransport('registry.example');
    const source = registry.repository('registry.example/team/app');
    addImage(source, { tag: '1', layers: ['old', 'new'] });
    const old = digestOf(Buffer.from('old'));
    await using transport = await ArchiveDestination.open({ file });
    const session = new CopySession({ without: new Map([[old, 'docker.io/team/app']]) });
    await copy(source, transport.repository(source.name), { from: '1', tag: '1', platforms: 'all' }, session);
    await transport.finish();
    await using archive = await openArchive({ file });
    expect(archive.declaration.omitted.map(({ digest }) => digest)).toEqual([old]);
    expect(registry.count(`fetch ${old}`)).toBe(0);
  });

  test('names what is wanted by its digest so, and lists what refers to something without a name', async () => {
    const file = join(await fresh(), 'archive.tar');
    const source = new MemoryTransport('registry.example').repository('registry.example/team/app');
    const image = addImage(source, { layers: ['one'] });
    const signature = addImage(source, { layers: ['signature'], subject: image, artifactType: 'text/plain' });
    await using transport = await ArchiveDestination.open({ file });
    const request = { from: image.digest, platforms: 'all' as const, referrers: {} };
    await copy(source, transport.repository(source.name), request, new CopySession());
    await transport.finish();
    await using archive = await openArchive({ file });
    const entries = (await archive.index()).manifests.map(({ digest, annotations }) => [digest, annotations]);
    expect(entries).toEqual([
      [image.digest, { 'io.containerd.image.name': `registry.example/team/app@${image.digest}` }],
      [signature.digest, undefined],
    ]);
  });

  test('as docker refuses an artifact, and as both leaves it out of what Docker sees', async () => {
    const source = new MemoryTransport('registry.example').repository('registry.example/team/app');
    const config = source.add('application/vnd.example.config', Buffer.from('{}'));
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] };
    source.add(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)), 'chart');
    const request = { from: 'chart', tag: 'chart', platforms: 'all' as const };
    const file = join(await fresh(), 'archive.tar');
    await using docker = await ArchiveDestination.open({ file }, { format: 'docker' });
    await expect(
      copy(source, docker.repository(source.name), request, new CopySession()),
    ).rejects.toMatchObject({ code: 'UNSUPPORTED_MEDIA_TYPE' });
    await using both = await ArchiveDestination.open({ file });
    await copy(source, both.repository(source.name), request, new CopySession());
    await both.finish();
    await using archive = await openArchive({ file });
    expect(archive.format).toBe('oci');
    expect(await proofOf(file)).toBe('whole');
  });

  test('goes on from where a source broke, and verifies all of it', async () => {
    const file = join(await fresh(), 'archive.tar');
    const bytes = Buffer.from('0123456789');
    const offsets: (number | undefined)[] = [];
    await using transport = await ArchiveDestination.open({ file });
    const descriptor = { mediaType: MEDIA_TYPES.ociLayer, digest: digestOf(bytes), size: bytes.length };
    await transport.repository('').put(descriptor, (offset = 0) => {
      offsets.push(offset);
      const rest = bytes.subarray(offset, offset + 4);
      return Promise.resolve(Readable.from(offset < 8 ? breaking(rest) : [rest]));
    });
    await transport.finish();
    expect(offsets).toEqual([0, 4, 8]);
    expect((await readFile(file)).includes(bytes)).toBe(true);
  });

  test('that fails leaves nothing, and what was there before', async () => {
    const directory = await fresh();
    const file = join(directory, 'archive.tar');
    await writeFile(file, 'an older one');
    {
      await using transport = await ArchiveDestination.open({ file });
      await putBytes(transport, Buffer.from('right'));
      await putBytes(transport, Buffer.from('other'), () =>
        Promise.resolve(Readable.from([Buffer.from('wrong')])),
      );
      await expect(transport.finish()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    }
    expect(await readdir(directory)).toEqual(['archive.tar']);
    expect(await readFile(file, 'utf8')).toBe('an older one');
  });

  test('that is aborted leaves nothing', async () => {
    const directory = await fresh();
    const aborting = new AbortController();
    {
      await using transport = await ArchiveDestination.open({ file: join(directory, 'archive.tar') });
      await putBytes(transport, Buffer.from('never'), () => {
        aborting.abort();
        return Promise.resolve(new PassThrough());
      });
      await expect(transport.finish({ signal: aborting.signal })).rejects.toMatchObject({ code: 'ABORTED' });
    }
    expect(await readdir(directory)).toEqual([]);
  });

  test('to a stream is the same, and a reader that has gone is an error', async () => {
    const file = join(await fresh(), 'archive.tar');
    const stream = createWriteStream(file);
    {
      await using transport = await ArchiveDestination.open({ stream });
      await putImages(transport, [app, tool]);
    }
    await new Promise<void>((resolve) => stream.end(resolve));
    expect((await readFile(file)).equals(await written([app, tool]))).toBe(true);
    const gone = new PassThrough();
    gone.destroy();
    await using transport = await ArchiveDestination.open({ stream: gone });
    await expect(putImages(transport, [tool])).rejects.toMatchObject({ code: 'FILESYSTEM' });
  });

  test('in parts has none that is too large, is the same when they are joined, and replaces an earlier one', async () => {
    const directory = await fresh();
    const file = join(directory, 'archive.tar');
    await writeArchive(file, [app, tool], { splitBytes: 3000 });
    const parts = (await readdir(directory)).filter((name) => /\.\d+$/.test(name)).sort();
    const sizes = await Promise.all(parts.map(async (name) => (await stat(join(directory, name))).size));
    expect(sizes.slice(0, -1).every((size) => size === 3000)).toBe(true);
    const joined = Buffer.concat(await Promise.all(parts.map((name) => readFile(join(directory, name)))));
    expect(joined.equals(await written([app, tool]))).toBe(true);
    expect(await proofOf(file)).toBe('whole');
    expect(await proofOf(`${file}.parts.json`)).toBe('whole');
    const list = JSON.parse(await readFile(`${file}.parts.json`, 'utf8')) as { size: number; digest: Digest };
    expect(list).toMatchObject({ version: 1, size: joined.length, digest: digestOf(joined) });
    await writeArchive(file, [tool], { splitBytes: 1_000_000 });
    expect((await readdir(directory)).sort()).toEqual(['archive.tar.000', 'archive.tar.parts.json']);
    expect(await proofOf(file)).toBe('whole');
  });

  test('in parts takes the place of one that was not, and deletes no file that only a list calls a part', async () => {
    const directory = await fresh();
    const file = join(directory, 'archive.tar');
    await writeArchive(file, [app]);
    const digest = digestOf(Buffer.from('kept'));
    const names = ['kept.txt', 'archive.tar.txt', 'archive.tar.007'];
    for (const name of names) await writeFile(join(directory, name), 'kept');
    const parts = names.map((name) => ({ name, size: 4, digest }));
    await writeFile(`${file}.parts.json`, JSON.stringify({ version: 1, size: 12, digest, parts }));
    await writeArchive(file, [tool], { splitBytes: 1_000_000 });
    expect((await readdir(directory)).sort()).toEqual([
      'archive.tar.000',
      'archive.tar.parts.json',
      'archive.tar.txt',
      'kept.txt',
    ]);
  });

  test('is refused in place of a directory before anything is read', async () => {
    await expect(ArchiveDestination.open({ file: work })).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
  });

  test('can be read while several read it at once, at any offset', async () => {
    const file = join(await fresh(), 'archive.tar');
    const [target] = await writeArchive(file, [app]);
    if (target === undefined) throw new Error('nothing was written');
    await using archive = await openArchive({ file });
    const whole = app.layout.blobs.get(target.digest) ?? Buffer.alloc(0);
    const offsets = [0, 1, 100, target.size - 1, target.size];
    const parts = await Promise.all(
      offsets.map(async (offset) => buffer(await archive.open(target, { offset }))),
    );
    expect(parts.map((part, at) => part.equals(whole.subarray(offsets[at])))).toEqual(
      offsets.map(() => true),
    );
    await expect(archive.open({ ...target, size: 1 })).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
    await expect(archive.path(target.digest)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

async function* breaking(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  await turn();
  yield bytes;
  throw new RegistryError('UNAVAILABLE', 'the connection broke', { retryable: true });
}
