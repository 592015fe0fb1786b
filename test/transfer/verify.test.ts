import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { RegistryError } from '../../src/errors.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import type { SourceRepository } from '../../src/transfer/transports/destination.js';
import { verify, type VerifyOptions, type VerifyReport } from '../../src/transfer/verify/verify.js';
import { addImage, addIndex, AMD64, ARM64 } from '../support/memory-images.js';
import { MemoryTransport, type MemoryRepository } from '../support/memory-transport.js';
import { makeTar } from '../support/tiny-image.js';

const NAME = 'registry.example/team/app';

describe('what is verified', () => {
  let transport: MemoryTransport;
  let repository: MemoryRepository;
  beforeEach(() => {
    transport = new MemoryTransport('registry.example');
    repository = transport.repository(NAME);
  });

  const proven = (
    targets: Readonly<Record<string, Descriptor>>,
    o: VerifyOptions = {},
  ): Promise<VerifyReport> =>
    verify(
      Object.entries(targets).map(([name, target]) => ({ name, target, repository })),
      o,
    );
  const found = ({ faults }: VerifyReport): [string, string, readonly string[]][] =>
    faults.map(({ kind, descriptor, images }) => [kind, descriptor?.digest ?? '', images]);
  const layerOf = (text: string): Descriptor => ({
    mediaType: MEDIA_TYPES.ociLayer,
    digest: digestOf(Buffer.from(text)),
    size: text.length,
  });
  /** With a config that fits, of layers that are tars. */
  const realImage = async (o: { gzip?: boolean; diffId?: string } = {}): Promise<Descriptor> => {
    const tar = await makeTar([{ path: 'a', content: 'a' }]);
    const layer = repository.add(
      o.gzip === true ? MEDIA_TYPES.ociLayerGzip : MEDIA_TYPES.ociLayer,
      o.gzip === true ? gzipSync(tar) : tar,
    );
    const diffIds = [o.diffId ?? digestOf(tar)];
    const config = { ...AMD64, rootfs: { type: 'layers', diff_ids: diffIds } };
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: repository.add(MEDIA_TYPES.ociConfig, Buffer.from(JSON.stringify(config))),
      layers: [layer],
    };
    return repository.add(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)));
  };

  test('is read once, however many images have it', async () => {
    const one = await realImage();
    const index = addIndex(repository, [[one, AMD64]]);
    const report = await proven({ one, index, again: index });
    expect(report.faults).toEqual([]);
    expect(report).toMatchObject({ manifests: 2, blobs: 2, leftOut: [] });
    for (const digest of [index.digest, one.digest]) expect(transport.count(`fetch ${digest}`)).toBe(1);
    expect(report.images.map(({ name }) => name)).toEqual(['one', 'index', 'again']);
  });

  test('is read once, and looked for in each repository that names it', async () => {
    const names = [NAME, 'registry.example/team/other'];
    const roots = names.map((name) => {
      const each = transport.repository(name);
      const target = addImage(each, { layers: ['shared', 'lost'] });
      return { name, target, repository: each };
    });
    const lost = layerOf('lost');
    const missing = ({ faults }: VerifyReport): typeof faults =>
      faults.filter(({ kind }) => kind === 'missing');
    const whole = await verify(roots);
    expect(whole).toMatchObject({ manifests: 1, blobs: 3 });
    expect(missing(whole)).toEqual([]);
    expect(transport.count(`fetch ${lost.digest}`)).toBe(1);
    transport.repository(names[1] ?? '').damage(lost.digest);
    const [fault, ...others] = missing(await verify(roots));
    expect(others).toEqual([]);
    expect(fault).toMatchObject({ kind: 'missing', descriptor: { digest: lost.digest } });
    expect(fault?.message).toContain('team/other');
  });

  test('has all its faults told, each with the images that need it', async () => {
    const a = addImage(repository, { layers: ['shared', 'only a'] });
    const b = addImage(repository, { layers: ['shared', 'only b'], platform: ARM64 });
    repository.damage(layerOf('shared').digest, Buffer.from('sHared'));
    repository.damage(layerOf('only a').digest);
    repository.damage(layerOf('only b').digest, Buffer.from('only'));
    const digests = ['shared', 'only a', 'only b'].map((text): string => layerOf(text).digest);
    // The configs of these images do not fit them, which is another matter.
    const layers = found(await proven({ a, b })).filter(([, digest]) => digests.includes(digest));
    expect(new Map(layers.map(([kind, digest, images]) => [digest, [kind, images]]))).toEqual(
      new Map([
        [layerOf('shared').digest, ['damaged', ['a', 'b']]],
        [layerOf('only a').digest, ['missing', ['a']]],
        [layerOf('only b').digest, ['damaged', ['b']]],
      ]),
    );
  });

  test('is malformed where its bytes are right and mean nothing', async () => {
    const text = Buffer.from('{"schemaVersion":2,"manifests":[{}]}');
    const broken = repository.add(MEDIA_TYPES.ociIndex, text);
    expect(found(await proven({ broken }))).toEqual([['malformed', broken.digest, ['broken']]]);
  });

  test('is unreadable where nothing can be said of it, and nothing else ends by that', async () => {
    const image = await realImage();
    const bad = addImage(repository, { layers: ['far away'] });
    transport.onCall = (call) => {
      if (call === `fetch ${bad.digest}`) throw new RegistryError('UNAVAILABLE', 'nobody answers');
    };
    const report = await proven({ image, bad });
    expect(found(report)).toEqual([['unreadable', bad.digest, ['bad']]]);
    expect(report).toMatchObject({ manifests: 1, blobs: 2 });
  });

  test('may miss what was left out on purpose', async () => {
    const amd64 = await realImage();
    const arm64 = addImage(repository, { layers: ['left out'], platform: ARM64 });
    const index = addIndex(repository, [
      [amd64, AMD64],
      [arm64, ARM64],
    ]);
    repository.damage(arm64.digest);
    expect(found(await proven({ index }))).toEqual([['missing', arm64.digest, ['index']]]);
    const isLeftOut = ({ digest }: Descriptor): boolean => digest === arm64.digest;
    const report = await proven({ index }, { isLeftOut });
    expect(report.faults).toEqual([]);
    expect(report.leftOut.map(({ platform }) => platform)).toEqual([ARM64]);
    // An image that was asked for cannot be.
    repository.damage(index.digest);
    expect(found(await proven({ index }, { isLeftOut: () => true }))).toEqual([
      ['missing', index.digest, ['index']],
    ]);
  });

  test.each([true, false])('is held against its config, when that is asked for (gzip: %s)', async (gzip) => {
    const wrong = digestOf(Buffer.from('else'));
    expect((await proven({ right: await realImage({ gzip }) }, { diffIds: true })).faults).toEqual([]);
    const image = await realImage({ gzip, diffId: wrong });
    expect((await proven({ image })).faults).toEqual([]);
    const [fault] = (await proven({ image }, { diffIds: true })).faults;
    expect(fault).toMatchObject({ kind: 'damaged', code: 'DIFF_ID_MISMATCH', images: ['image'] });
    expect(fault?.message).toContain(wrong);
  });

  test('has a config of as many layers', async () => {
    const image = addImage(repository, { layers: ['one'] });
    const [fault] = (await proven({ image })).faults;
    expect(fault).toMatchObject({ code: 'DIFF_ID_MISMATCH', images: ['image'] });
  });

  test('includes what refers to it, when that is asked for', async () => {
    const image = await realImage();
    const sbom = addImage(repository, { layers: ['sbom'], subject: image, artifactType: 'text/plain' });
    repository.damage(layerOf('sbom').digest);
    expect((await proven({ image })).faults).toEqual([]);
    const rows = found(await proven({ image }, { referrers: true }));
    expect(rows).toContainEqual(['missing', layerOf('sbom').digest, ['image']]);
    expect(sbom.digest).not.toBe(image.digest);
  });

  test('does not wait for itself where a registry lists it among its referrers', async () => {
    const image = await realImage();
    const round: SourceRepository = {
      name: NAME,
      location: NAME,
      resolve: () => Promise.resolve(image),
      tags: () => repository.tags(),
      fetch: (...of) => repository.fetch(...of),
      referrers: () => Readable.from([image]),
      governed: (name) => repository.governed(name),
    };
    const report = await verify([{ name: 'image', target: image, repository: round }], { referrers: true });
    expect(report.faults).toEqual([]);
  });

  test('comes to its end where a registry invents referrers of referrers', async () => {
    const image = await realImage();
    let invented = 0;
    repository.referrers = async function* endless(subject) {
      invented += 1;
      await Promise.resolve();
      yield addImage(this, { subject: { ...image, digest: subject }, layers: [`invented ${invented}`] });
    };
    const report = await proven({ image }, { referrers: true });
    expect(invented).toBe(8);
    expect(report.manifests).toBe(9);
  });

  test('tells of more referrers of one image than there can be', async () => {
    const image = await realImage();
    repository.referrers = async function* many() {
      await Promise.resolve();
      for (let at = 0; at < 10_001; at += 1) yield image;
    };
    const [fault] = (await proven({ image }, { referrers: true })).faults;
    expect(fault).toMatchObject({ code: 'LIMIT_EXCEEDED', kind: 'malformed' });
  });

  test('ends when it is aborted', async () => {
    const image = await realImage();
    const aborting = new AbortController();
    transport.onCall = () => aborting.abort();
    await expect(proven({ image }, { signal: aborting.signal })).rejects.toMatchObject({ code: 'ABORTED' });
  });

  test('comes to its end where what refers to an image lists that image', async () => {
    const image = await realImage();
    const about = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [image],
      subject: image,
    };
    repository.add(MEDIA_TYPES.ociIndex, Buffer.from(JSON.stringify(about)));
    const report = await proven({ image }, { referrers: true });
    expect(report.faults).toEqual([]);
    expect(report.manifests).toBe(2);
  });

  test('has of each content the size that each of its documents says', async () => {
    const image = await realImage();
    const wrong = { ...image, size: image.size + 1 };
    const index = addIndex(repository, [[wrong, AMD64]]);
    const rows = found(await proven({ image, index }));
    expect(rows).toContainEqual(['damaged', image.digest, ['image', 'index']]);
  });

  test('comes to its end where two images have what refers to each list the other', async () => {
    const one = addImage(repository, { layers: ['one'] });
    const two = addImage(repository, { layers: ['two'] });
    for (const [subject, listed] of [
      [one, two],
      [two, one],
    ]) {
      const about = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [listed], subject };
      repository.add(MEDIA_TYPES.ociIndex, Buffer.from(JSON.stringify(about)));
    }
    expect((await proven({ one, two }, { referrers: true })).manifests).toBe(4);
  });
});
