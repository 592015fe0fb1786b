import { describe, expect, it } from 'vitest';
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES, type Platform } from '../../src/spec/index.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import { copied, here, there } from '../support/copied-images.js';
import { addImage, addIndex, AMD64, ARM64, S390X } from '../support/memory-images.js';
import { MemoryTransport, type MemoryRepository } from '../support/memory-transport.js';

describe('an index of indexes', () => {
  function nested(source: MemoryRepository): { amd64: Descriptor; arm64: Descriptor } {
    const amd64 = addImage(source, { layers: ['amd64'], platform: AMD64 });
    const arm64 = addImage(source, { layers: ['arm64'], platform: ARM64 });
    addIndex(source, [[addIndex(source, [[amd64, AMD64]])], [addIndex(source, [[arm64, ARM64]])]], '1');
    return { amd64, arm64 };
  }
  /** Takes indexes of which parts are missing. */
  const lenient = (): MemoryRepository =>
    new MemoryTransport('here.example', { sparse: true }).repository('here.example/app');

  it('gives the platforms of a list, in whichever of them they are', async () => {
    const [source, destination] = [there(), lenient()];
    const { amd64, arm64 } = nested(source);
    const report = await copied(source, destination, { platforms: [AMD64] });
    expect(report.omitted.map(({ digest }) => digest)).toEqual([arm64.digest]);
    expect(destination.everything.contents).toContain(amd64.digest);
    expect(destination.everything.contents).not.toContain(arm64.digest);
  });

  it('says which platform of a list none of them has, and gets no name then', async () => {
    const [source, destination] = [there(), lenient()];
    nested(source);
    await expect(copied(source, destination, { platforms: [AMD64, S390X] })).rejects.toMatchObject({
      code: 'NO_MATCHING_PLATFORM',
    });
    expect(destination.everything.tags).toEqual({});
  });
});

describe('images of odd forms', () => {
  it('an index that lists a manifest twice is copied, and the manifest put once', async () => {
    const [source, destination] = [there(), here()];
    const image = addImage(source);
    addIndex(
      source,
      [
        [image, AMD64],
        [image, { ...AMD64, variant: 'v2' }],
      ],
      '1',
    );
    await copied(source, destination);
    expect(destination.everything).toEqual(source.everything);
    expect(destination.transport.count(`copied ${image.digest}`)).toBe(1);
    expect(destination.transport.count(`exists ${image.digest}`)).toBe(0);
  });

  it('layers of no bytes, and no layers, are copied', async () => {
    const [source, destination] = [there(), here()];
    addImage(source, { tag: '1', layers: [''] });
    addImage(source, { tag: '2', layers: [] });
    for (const tag of ['1', '2']) await copied(source, destination, { from: tag, tag });
    expect(destination.everything).toEqual(source.everything);
  });

  it('a size that is another one than the content has is not believed because the content came with another image', async () => {
    const [source, destination] = [there(), here()];
    addImage(source, { tag: '1', layers: ['shared'] });
    const layer = { mediaType: MEDIA_TYPES.ociLayer, digest: digestOf(Buffer.from('shared')), size: 5 };
    const config = source.add(
      MEDIA_TYPES.ociConfig,
      Buffer.from('{"rootfs":{"type":"layers","diff_ids":[]}}'),
    );
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [layer] };
    source.add(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)), '2');
    const session = new CopySession();
    await copied(source, destination, {}, session);
    const before = destination.transport.count('exists');
    await copied(source, destination, { from: '2', tag: '2' }, session);
    // The destination was asked, and it is for it to say so.
    expect(destination.transport.count('exists')).toBeGreaterThan(before);
  });

  it('a referrer that is an index is for no platform, and comes whole', async () => {
    const [source, destination] = [there(), here()];
    const image = addImage(source);
    addIndex(source, [[image, AMD64]], '1');
    const reports = [addImage(source, { layers: ['one'] }), addImage(source, { layers: ['two'] })];
    addIndex(
      source,
      reports.map((report) => [report]),
      `${image.digest.replace(':', '-')}.att`,
    );
    await copied(source, destination, { platforms: [AMD64], referrers: {} });
    expect(destination.everything).toEqual(source.everything);
  });

  it('one: takes what a place on this machine has where it lacks the one for this machine', async () => {
    const [source, destination] = [there(), here()];
    Object.defineProperty(source, 'registry', { value: undefined });
    const only = addImage(source, { platform: S390X });
    const absent = (text: string): Descriptor => ({ ...only, digest: digestOf(Buffer.from(text)) });
    addIndex(
      source,
      [
        [absent('amd64'), AMD64],
        [absent('arm64'), ARM64],
        [only, S390X],
      ],
      '1',
    );
    expect((await copied(source, destination, { platforms: 'one' })).target.digest).toBe(only.digest);
  });
});

describe('an index that says no platforms', () => {
  /** An artifact, as programs list one beside an image. */
  const addArtifact = (source: MemoryRepository): Descriptor => {
    const config = source.add(MEDIA_TYPES.ociEmpty, Buffer.from('{}'));
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] };
    return source.add(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)));
  };
  const NOWHERE = { os: 'unknown', architecture: 'unknown' };
  type Entries = readonly (readonly [Descriptor, Platform?, Record<string, string>?])[];
  interface Listed {
    readonly entries: Entries;
    /** What a copy for the platform takes, and with `one` the first of it alone. */
    readonly kept: readonly Descriptor[];
  }
  const amd64 = (source: MemoryRepository): Descriptor => addImage(source, { layers: ['amd64'] });
  const arm64 = (source: MemoryRepository): Descriptor =>
    addImage(source, { layers: ['arm64'], platform: ARM64 });

  const rows: readonly [name: string, make: (source: MemoryRepository) => Listed][] = [
    [
      'for the one image that it lists',
      (source) => {
        const image = amd64(source);
        return { entries: [[image]], kept: [image] };
      },
    ],
    [
      'for an image behind an artifact, which comes along',
      (source) => {
        const [image, artifact] = [amd64(source), addArtifact(source)];
        return { entries: [[artifact], [image]], kept: [image, artifact] };
      },
    ],
    [
      'for one of several images',
      (source) => {
        const [image, other] = [amd64(source), arm64(source)];
        return { entries: [[other], [image]], kept: [image] };
      },
    ],
    [
      'for an image with its attestation, and without that of another',
      (source) => {
        const [image, other] = [amd64(source), arm64(source)];
        const about = (of: Descriptor, text: string): Entries[number] => [
          addImage(source, { layers: [text], platform: NOWHERE }),
          NOWHERE,
          { 'vnd.docker.reference.digest': of.digest },
        ];
        const [own, foreign] = [about(image, 'own'), about(other, 'foreign')];
        return { entries: [[image], [other], own, foreign], kept: [image, own[0]] };
      },
    ],
    [
      'for an image in an index that it lists',
      (source) => {
        const image = amd64(source);
        const nested = addIndex(source, [[image]]);
        return { entries: [[nested]], kept: [image, nested] };
      },
    ],
  ];

  it.each(rows)('is copied for a platform: %s', async (_, make) => {
    const source = there();
    const destination = new MemoryTransport('here.example', { sparse: true }).repository('here.example/app');
    const { entries, kept } = make(source);
    const index = addIndex(source, entries, '1');
    await copied(source, destination, { platforms: [AMD64] });
    const manifests = new Set(entries.map(([{ digest }]) => digest));
    const expected = kept.map(({ digest }) => digest).filter((digest) => manifests.has(digest));
    const came = destination.everything.contents;
    expect(came.filter((digest) => manifests.has(digest as Digest))).toEqual(expected.sort());
    expect(came).toContain(index.digest);
    expect(came).toContain(kept[0]?.digest);
  });

  it.each(rows)('gives one image: %s', async (_, make) => {
    const [source, destination] = [there(), here()];
    const { entries, kept } = make(source);
    addIndex(source, entries, '1');
    const report = await copied(source, destination, { platforms: 'one' });
    expect(report.target.digest).toBe(kept[0]?.digest);
  });

  it('gives what a place on this machine has of it, and no artifact in its place', async () => {
    const [source, destination] = [there(), here()];
    Object.defineProperty(source, 'registry', { value: undefined });
    const image = addImage(source, { platform: S390X });
    const absent = { ...image, digest: digestOf(Buffer.from('absent')) };
    addIndex(source, [[addArtifact(source)], [absent], [image]], '1');
    expect((await copied(source, destination, { platforms: 'one' })).target.digest).toBe(image.digest);
  });

  it('and has nothing for a platform is not copied for it', async () => {
    const [source, destination] = [there(), here()];
    addIndex(source, [[addArtifact(source)], [arm64(source)]], '1');
    await expect(copied(source, destination, { platforms: [AMD64] })).rejects.toMatchObject({
      code: 'NO_MATCHING_PLATFORM',
      details: { available: ['linux/arm64'] },
    });
  });
});

describe('an index that was rewritten', () => {
  it('is still known when its referrers are looked for, however much was read meanwhile', async () => {
    const [source, destination] = [there(), here()];
    const amd64 = addImage(source, { layers: ['amd64'] });
    const arm64 = addImage(source, { layers: ['arm64'], platform: ARM64 });
    addIndex(
      source,
      [
        [amd64, AMD64],
        [arm64, ARM64],
      ],
      '1',
    );
    addImage(source, { subject: amd64, layers: ['sbom'] });
    const session = new CopySession();
    const layer = digestOf(Buffer.from('amd64'));
    source.transport.onCall = (call) => {
      if (call !== `fetch ${layer}`) return;
      for (let at = 0; at < 9; at += 1)
        session.manifests.add(Buffer.alloc(4 * 1024 * 1024, at), MEDIA_TYPES.ociManifest);
    };
    const request = { platforms: [AMD64], rewriteIndex: true, referrers: {} };
    const report = await copied(source, destination, request, session);
    expect(report.referrers).toHaveLength(1);
  });
});

describe('tags that a stranger made after the scheme of cosign', () => {
  it('lead nowhere twice, though they name the image that they are for', async () => {
    const [source, destination] = [there(), here()];
    const image = addImage(source, { tag: '1' });
    for (const suffix of ['sig', 'att', 'sbom'])
      addImage(source, { tag: `${image.digest.replace(':', '-')}.${suffix}` });
    const report = await copied(source, destination, { referrers: {} });
    expect(destination.everything).toEqual(source.everything);
    expect(report.referrers.map(({ referrers }) => referrers)).toEqual([[], [], []]);
    expect(destination.transport.count('stored')).toBe(4);
  });
});

describe('documents that several images want at once', () => {
  it('are read once', async () => {
    const [source, destination] = [there(), here()];
    const image = addImage(source, { tag: '1' });
    source.transport.onCall = async (call) => {
      if (call.startsWith('fetch')) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const session = new CopySession();
    await Promise.all(['1', '2', '3', '4'].map((tag) => copied(source, destination, { tag }, session)));
    expect(source.transport.count(`fetch ${image.digest}`)).toBe(1);
  });
});
