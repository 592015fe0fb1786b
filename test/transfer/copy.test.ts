import { describe, expect, it } from 'vitest';
import { digestOf, type Descriptor, MEDIA_TYPES } from '../../src/spec/index.js';
import type { CopyReport } from '../../src/transfer/copy/copy-report.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import { copied, here, there } from '../support/copied-images.js';
import { addImage, addIndex, AMD64, ARM64, S390X } from '../support/memory-images.js';
import { MemoryTransport, type MemoryRepository } from '../support/memory-transport.js';

/** Digests by what became of them. */
function outcomes(report: CopyReport): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of report.contents) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

describe('copy of one image', () => {
  it('moves all that it consists of, the manifest last', async () => {
    const [source, destination] = [there(), here()];
    const target = addImage(source, { tag: '1', layers: ['a', 'b'] });
    const report = await copied(source, destination);
    expect(destination.everything).toEqual(source.everything);
    expect(report).toMatchObject({
      source: 'docker://there.example/app:1',
      destination: 'docker://here.example/app:1',
      outcome: 'copied',
      target,
      resolved: target,
    });
    expect(report.contents.map(({ role }) => role).sort()).toEqual(['config', 'layer', 'layer', 'manifest']);
    expect(report.contents.at(-1)?.role).toBe('manifest');
  });

  it('looks once at each side when there is nothing to do', async () => {
    const [source, destination] = [there(), here()];
    addImage(source, { tag: '1' });
    await copied(source, destination);
    source.transport.calls.length = 0;
    destination.transport.calls.length = 0;
    const report = await copied(source, destination);
    expect(report.outcome).toBe('exists');
    expect([source.transport.calls, destination.transport.calls]).toEqual([['resolve 1'], ['stored 1']]);
  });

  it('moves a tag to what is there', async () => {
    const [source, destination] = [there(), here()];
    addImage(source, { tag: '1' });
    await copied(source, destination);
    const report = await copied(source, destination, { tag: 'latest' });
    expect(report.outcome).toBe('copied');
    expect(outcomes(report)).toEqual({ exists: 3 });
    expect(destination.everything.tags).toHaveProperty('latest', report.target.digest);
  });

  it('goes on where an earlier one broke', async () => {
    const [source, destination] = [there(), here()];
    addImage(source, { tag: '1', layers: ['a', 'b', 'c'] });
    const broken = digestOf(Buffer.from('c'));
    source.transport.onCall = (call) => {
      if (call === `fetch ${broken}`) throw new Error('the line broke');
    };
    await expect(copied(source, destination)).rejects.toThrow('the line broke');
    expect(destination.everything.tags).toEqual({});
    source.transport.onCall = () => undefined;
    expect(outcomes(await copied(source, destination))).toMatchObject({
      copied: expect.any(Number) as number,
    });
    expect(destination.everything).toEqual(source.everything);
    expect(destination.transport.calls.filter((call) => call === `copied ${broken}`)).toHaveLength(1);
  });

  it('says what is not there', async () => {
    await expect(copied(there(), here())).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'docker://there.example/app has no 1',
    });
  });

  it('puts nothing of what was altered', async () => {
    const [source, destination] = [there(), here()];
    addImage(source, { tag: '1', layers: ['a'] });
    source.damage(digestOf(Buffer.from('a')), Buffer.from('b'));
    await expect(copied(source, destination)).rejects.toThrow();
    expect(destination.everything.tags).toEqual({});
  });

  it('puts a manifest that was altered nowhere', async () => {
    const [source, destination] = [there(), here()];
    const { digest, size } = addImage(source, { tag: '1' });
    source.damage(digest, Buffer.alloc(size, 0x20));
    await expect(copied(source, destination)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(destination.isEmpty).toBe(true);
  });

  it('only looks in a dry run', async () => {
    const [source, destination] = [there(), here()];
    addImage(source, { tag: '1', layers: ['a', 'b'] });
    destination.add(MEDIA_TYPES.ociLayer, Buffer.from('a'));
    const report = await copied(source, destination, {}, { dryRun: true });
    expect(report.outcome).toBe('planned');
    expect(outcomes(report)).toEqual({ planned: 3, exists: 1 });
    expect(destination.everything.contents).toHaveLength(1);
    expect(source.transport.count(`fetch ${digestOf(Buffer.from('b'))}`)).toBe(0);
  });

  it('looks at all parts again when it is to', async () => {
    const [source, destination] = [there(), here()];
    addImage(source, { tag: '1', layers: ['a', 'b'] });
    await copied(source, destination);
    const lost = digestOf(Buffer.from('b'));
    expect((await copied(source, destination, {}, { recheck: true })).outcome).toBe('exists');
    destination.damage(lost);
    expect((await copied(source, destination)).outcome).toBe('exists');
    expect((await copied(source, destination, {}, { recheck: true })).outcome).toBe('copied');
    expect(destination.everything).toEqual(source.everything);
  });

  it('leaves out what the far side has, and says so', async () => {
    const [source, destination] = [there(), here()];
    const target = addImage(source, { tag: '1', layers: ['a', 'b'] });
    const known = digestOf(Buffer.from('a'));
    destination.add(MEDIA_TYPES.ociLayer, Buffer.from('a'));
    const report = await copied(source, destination, {}, { without: new Map([[known, 'far.lan/app']]) });
    expect(report.omitted.map(({ digest }) => digest)).toEqual([known]);
    expect(report.contents.map(({ descriptor }) => descriptor.digest)).not.toContain(known);
    expect(report.target).toEqual(target);
  });
});

describe('copies of one session', () => {
  it('move what images share once, also when they run at once', async () => {
    const source = there();
    const destination = here();
    for (const tag of ['1', '2', '3']) addImage(source, { tag, layers: ['shared', tag] });
    const session = new CopySession();
    await Promise.all(
      ['1', '2', '3'].map((from) => copied(source, destination, { from, tag: from }, session)),
    );
    expect(destination.everything).toEqual(source.everything);
    expect(destination.transport.count(`copied ${digestOf(Buffer.from('shared'))}`)).toBe(1);
    expect(source.transport.count(`fetch ${digestOf(Buffer.from('shared'))}`)).toBe(1);
  });

  it('mount what another repository of the registry has', async () => {
    const source = there();
    addImage(source, { tag: '1', layers: ['shared'] });
    const transport = new MemoryTransport('here.example');
    const session = new CopySession();
    const [first, second] = ['here.example/one', 'here.example/two'].map((name) =>
      transport.repository(name),
    );
    if (first === undefined || second === undefined) throw new Error('two were made');
    const reports = await Promise.all([first, second].map((to) => copied(source, to, {}, session)));
    expect(reports.map(outcomes)).toEqual([{ copied: 3 }, { mounted: 2, copied: 1 }]);
    expect(source.transport.count(`fetch ${digestOf(Buffer.from('shared'))}`)).toBe(1);
  });

  it('mount from the source where it is the same registry', async () => {
    const transport = new MemoryTransport('here.example');
    const source = transport.repository('here.example/from');
    addImage(source, { tag: '1' });
    const report = await copied(source, transport.repository('here.example/to'));
    expect(outcomes(report)).toEqual({ mounted: 2, copied: 1 });
  });

  it('are not hurt by the failure of one that brought what they share', async () => {
    const source = there();
    const destination = here();
    addImage(source, { tag: 'bad', layers: ['shared', 'bad'] });
    addImage(source, { tag: 'good', layers: ['shared'] });
    let shared = 0;
    source.transport.onCall = async (call) => {
      if (call === `fetch ${digestOf(Buffer.from('bad'))}`) throw new Error('lost');
      if (call !== `fetch ${digestOf(Buffer.from('shared'))}` || (shared += 1) > 1) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
      throw new Error('broken off');
    };
    const session = new CopySession();
    const results = await Promise.allSettled(
      ['bad', 'good'].map((from) => copied(source, destination, { from, tag: from }, session)),
    );
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(Object.keys(destination.everything.tags)).toEqual(['good']);
  });
});

describe('platforms', () => {
  function indexed(repository: MemoryRepository): {
    index: Descriptor;
    amd64: Descriptor;
    arm64: Descriptor;
  } {
    const amd64 = addImage(repository, { layers: ['amd64'], platform: AMD64 });
    const arm64 = addImage(repository, { layers: ['arm64'], platform: ARM64 });
    const attestation = addImage(repository, { layers: ['about arm64'] });
    const index = addIndex(
      repository,
      [
        [amd64, AMD64],
        [arm64, ARM64],
        [
          attestation,
          { os: 'unknown', architecture: 'unknown' },
          { 'vnd.docker.reference.digest': arm64.digest },
        ],
      ],
      '1',
    );
    return { index, amd64, arm64 };
  }

  it('come along all of them', async () => {
    const [source, destination] = [there(), here()];
    indexed(source);
    await copied(source, destination);
    expect(destination.everything).toEqual(source.everything);
  });

  it('of a list: what a registry refuses that takes no index without its parts', async () => {
    const [source, destination] = [there(), here()];
    indexed(source);
    await expect(copied(source, destination, { platforms: [ARM64] })).rejects.toMatchObject({
      code: 'PROTOCOL',
    });
    expect(destination.everything.tags).toEqual({});
  });

  it('of a list: rewrites the index where that is asked for, with what is about them', async () => {
    const [source, destination] = [there(), here()];
    const { index, amd64 } = indexed(source);
    const request = { platforms: [ARM64], rewriteIndex: true };
    const report = await copied(source, destination, request);
    expect(report.resolved).toEqual(index);
    expect(report.target.digest).not.toBe(index.digest);
    expect(destination.everything.contents).not.toContain(amd64.digest);
    expect(report.contents.filter(({ role }) => role === 'manifest')).toHaveLength(2);
    // The same choice is the same index.
    expect((await copied(source, destination, request)).outcome).toBe('exists');
  });

  it('of a list: says which it cannot have', async () => {
    const [source, destination] = [there(), here()];
    indexed(source);
    await expect(copied(source, destination, { platforms: [ARM64, S390X] })).rejects.toMatchObject({
      code: 'NO_MATCHING_PLATFORM',
      details: { available: ['linux/amd64', 'linux/arm64'] },
    });
  });

  it('one: takes the manifest alone, under its own digest', async () => {
    const [source, destination] = [there(), here()];
    const { index, amd64, arm64 } = indexed(source);
    const report = await copied(source, destination, { platforms: 'one' });
    expect(report.resolved).toEqual(index);
    expect([amd64.digest, arm64.digest]).toContain(report.target.digest);
    expect(report.contents).toHaveLength(3);
  });

  it('one: takes the only one that the source has', async () => {
    const [source, destination] = [there(), here()];
    const only = addImage(source, { platform: S390X });
    addIndex(
      source,
      [
        [only, S390X],
        [
          { ...only, digest: digestOf(Buffer.from('gone')) },
          { os: 'plan9', architecture: 'mips' },
        ],
      ],
      '1',
    );
    expect((await copied(source, destination, { platforms: 'one' })).target.digest).toBe(only.digest);
  });
});

describe('referrers', () => {
  function signed(repository: MemoryRepository): { image: Descriptor; signature: Descriptor } {
    const image = addImage(repository, { tag: '1' });
    const sbom = addImage(repository, {
      subject: image,
      artifactType: 'application/spdx+json',
      layers: ['sbom'],
    });
    addImage(repository, {
      subject: sbom,
      artifactType: 'application/x-signature',
      layers: ['signature of sbom'],
    });
    const signature = addImage(repository, {
      tag: `sha256-${image.digest.slice('sha256:'.length)}.sig`,
      layers: ['signature'],
    });
    return { image, signature };
  }

  it('stay where they are unless they are asked for', async () => {
    const [source, destination] = [there(), here()];
    signed(source);
    expect((await copied(source, destination)).referrers).toEqual([]);
    expect(destination.everything.contents).toHaveLength(3);
  });

  it('come along level by level, and by the tags of cosign', async () => {
    const [source, destination] = [there(), here()];
    signed(source);
    const report = await copied(source, destination, { referrers: {} });
    expect(destination.everything).toEqual(source.everything);
    expect(report.referrers.map(({ referrers }) => referrers.length).sort()).toEqual([0, 1]);
  });

  it('come along with each platform of an index', async () => {
    const [source, destination] = [there(), here()];
    const amd64 = addImage(source, { layers: ['amd64'] });
    addIndex(source, [[amd64, AMD64]], '1');
    addImage(source, { subject: amd64, artifactType: 'application/spdx+json', layers: ['sbom'] });
    await copied(source, destination, { referrers: {} });
    expect(destination.everything).toEqual(source.everything);
  });

  it('are chosen by their type, and cosign left out', async () => {
    const [source, destination] = [there(), here()];
    const { image, signature } = signed(source);
    addImage(source, { subject: image, artifactType: 'application/other', layers: ['other'] });
    const report = await copied(source, destination, {
      referrers: { artifactTypes: ['application/other'], cosignTags: false },
    });
    expect(report.referrers).toHaveLength(1);
    expect(destination.everything.contents).not.toContain(signature.digest);
  });

  it('that came later come along with an image that is there, without a document read at the source', async () => {
    const [source, destination] = [there(), here()];
    const amd64 = addImage(source, { layers: ['amd64'] });
    const index = addIndex(source, [[amd64, AMD64]], '1');
    await copied(source, destination, { referrers: {} });
    const late = addImage(source, {
      subject: index,
      artifactType: 'application/spdx+json',
      layers: ['late'],
    });
    source.transport.calls.length = 0;
    expect((await copied(source, destination, { referrers: {} })).outcome).toBe('copied');
    expect(destination.everything).toEqual(source.everything);
    expect(source.transport.count(`fetch ${index.digest}`)).toBe(0);
    expect(source.transport.count(`fetch ${late.digest}`)).toBe(1);
    expect((await copied(source, destination, { referrers: {} })).outcome).toBe('exists');
  });
});
