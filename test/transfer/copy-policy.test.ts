import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { type Descriptor, digestOf, encodedOf, hostPlatform, type Platform } from '../../src/spec/index.js';
import { copyResolved } from '../../src/transfer/copy/copy.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import type { PolicyFile } from '../../src/trust/index.js';
import { copied, here, there } from '../support/copied-images.js';
import { addImage, addIndex, AMD64, ARM64, S390X } from '../support/memory-images.js';
import { MemoryTransport, type MemoryRepository } from '../support/memory-transport.js';
import { ACCEPT, addSbom, PolicyFiles, REJECT, sign, signByBundle } from '../support/memory-signed-images.js';

const OTHERS: readonly Platform[] = [AMD64, ARM64, S390X].filter(
  ({ architecture }) => architecture !== hostPlatform().architecture,
);

describe('copying under a signature policy', () => {
  let files: PolicyFiles;
  let policy: PolicyFile;
  let source: MemoryRepository;
  let destination: MemoryRepository;
  beforeAll(async () => {
    files = await PolicyFiles.create();
    policy = await files.signedOnly();
  });
  afterAll(() => files[Symbol.asyncDispose]());
  beforeEach(() => {
    [source, destination] = [there(), here()];
  });

  const byRightKey = (descriptor: Descriptor): Promise<Descriptor> =>
    sign(source, descriptor, { key: files.key });

  /** An index of two images, of which the first is for this machine. */
  function twoPlatforms(): { index: Descriptor; host: Descriptor; other: Descriptor } {
    const host = addImage(source, { layers: ['host'], platform: hostPlatform() });
    const [platform = ARM64] = OTHERS;
    const other = addImage(source, { layers: ['other'], platform });
    const entries = [
      [host, hostPlatform()],
      [other, platform],
    ] as const;
    return { index: addIndex(source, entries, '1'), host, other };
  }

  function nothingWasPut(): void {
    expect(destination.everything).toEqual({ contents: [], tags: {} });
  }

  it('takes what is signed, and says by whom', async () => {
    const target = addImage(source, { tag: '1' });
    const signature = await byRightKey(target);
    const report = await copied(source, destination, {}, { policy });
    expect(report.signatures).toEqual([
      {
        digest: target.digest,
        signedBy: `key ${files.key.fingerprint.slice(0, 'sha256:'.length + 16)}`,
        format: 'simple-signing',
        signature: signature.digest,
        policy: policy.path,
        scope: 'default',
      },
    ]);
    expect(destination.everything.tags).toEqual({ '1': target.digest });
  });

  it('takes what a bundle signs, where its digest is enough', async () => {
    const target = addImage(source, { tag: '1' });
    await signByBundle(source, target, files.key);
    const byDigest = await files.signedOnly({ type: 'matchDigest' });
    const report = await copied(source, destination, {}, { policy: byDigest });
    expect(report.signatures).toMatchObject([{ format: 'bundle', digest: target.digest }]);
  });

  const REFUSED: readonly [string, string, (target: Descriptor) => Promise<unknown>][] = [
    ['is not signed', 'SIGNATURE_MISSING', () => Promise.resolve()],
    ['is signed by another key', 'SIGNATURE_INVALID', (one) => sign(source, one, { key: files.otherKey })],
    [
      'is signed for another repository',
      'SIGNATURE_INVALID',
      (one) => sign(source, one, { key: files.key, identity: 'there.example/other' }),
    ],
  ];
  it.each(REFUSED)('refuses what %s, and moves nothing of it', async (_what, code, prepare) => {
    const target = addImage(source, { tag: '1', layers: ['a layer'] });
    await prepare(target);
    await expect(copied(source, destination, {}, { policy })).rejects.toMatchObject({ code });
    nothingWasPut();
    expect(source.transport.calls).not.toContain(`fetch ${digestOf(Buffer.from('a layer'))}`);
    expect(source.transport.count('fetch')).toBe(code === 'SIGNATURE_MISSING' ? 0 : 2);
  });

  it('refuses what a policy rejects before it looks for anything', async () => {
    const resolved = addImage(source, { tag: '1' });
    const request = { from: '1', tag: '1', platforms: 'all', resolved } as const;
    const rejecting = new CopySession({ policy: await files.write([REJECT]) });
    await expect(copyResolved(source, destination, request, rejecting)).rejects.toMatchObject({
      code: 'POLICY_REJECTED',
    });
    expect([...source.transport.calls, ...destination.transport.calls]).toEqual([]);
  });

  it('asks nothing more where nothing is asked for', async () => {
    addImage(source, { tag: '1' });
    await copied(source, destination);
    const without = [source.transport.calls, destination.transport.calls];
    [source, destination] = [there(), here()];
    addImage(source, { tag: '1' });
    const report = await copied(source, destination, {}, { policy: await files.write([ACCEPT]) });
    expect([source.transport.calls, destination.transport.calls]).toEqual(without);
    expect(report).not.toHaveProperty('signatures');
  });

  it('verifies first: nothing is put before the last signature was read', async () => {
    const { index } = twoPlatforms();
    const signature = await byRightKey(index);
    await copied(source, destination, {}, { policy });
    const calls = source.transport.calls;
    const layer = calls.indexOf(`fetch ${digestOf(Buffer.from('host'))}`);
    expect(layer).toBeGreaterThan(calls.lastIndexOf(`fetch ${signature.digest}`));
  });

  it('copies what was verified, though the tag moves meanwhile', async () => {
    const signed = addImage(source, { tag: '1', layers: ['signed'] });
    await byRightKey(signed);
    const later = addImage(source, { layers: ['later'] });
    source.transport.onCall = (call) => {
      if (call.startsWith('resolve sha256-')) addImage(source, { tag: '1', layers: ['later'] });
    };
    const report = await copied(source, destination, {}, { policy });
    expect(source.everything.tags['1']).toBe(later.digest);
    expect(report.target.digest).toBe(signed.digest);
    expect(destination.everything.contents).not.toContain(later.digest);
  });

  describe('of an index', () => {
    it('takes its signature for all that it lists', async () => {
      const { index, host } = twoPlatforms();
      await byRightKey(index);
      const [all, one, rewritten] = [here(), here(), here()];
      await copied(source, all, {}, { policy });
      expect(all.everything.tags).toEqual({ '1': index.digest });
      const { target } = await copied(source, one, { platforms: 'one' }, { policy });
      expect(target.digest).toBe(host.digest);
      const fewer = { platforms: [hostPlatform()], rewriteIndex: true };
      const report = await copied(source, rewritten, fewer, { policy });
      expect(report.target.digest).not.toBe(index.digest);
      expect(report.signatures).toMatchObject([{ digest: index.digest }]);
    });

    it('takes that of one platform for that one only', async () => {
      const { host } = twoPlatforms();
      await byRightKey(host);
      await expect(copied(source, destination, {}, { policy })).rejects.toMatchObject({
        code: 'SIGNATURE_MISSING',
      });
      nothingWasPut();
      await copied(source, destination, { platforms: 'one' }, { policy });
      expect(destination.everything.tags).toEqual({ '1': host.digest });
      const other = here();
      const platforms = [hostPlatform()];
      await copied(source, other, { platforms, rewriteIndex: true }, { policy });
      expect(other.everything.contents).toContain(host.digest);
    });

    it('asks of what is not at the source no signature, and takes nothing that comes there later', async () => {
      const { host, other } = twoPlatforms();
      await byRightKey(host);
      source.damage(other.digest);
      const sparse = new MemoryTransport('here.example', { sparse: true }).repository('here.example/app');
      const image = { platforms: 'present' as const };
      const { omitted } = await copied(source, sparse, image, { policy });
      expect(omitted.map(({ digest }) => digest)).toEqual([other.digest]);
      let looked = 0;
      source.transport.onCall = (call) => {
        if (call !== `resolve ${other.digest}`) return;
        looked += 1;
        if (looked === 2) addImage(source, { layers: ['other'], platform: OTHERS[0] ?? ARM64 });
      };
      await expect(copied(source, destination, image, { policy })).rejects.toMatchObject({
        code: 'POLICY_REJECTED',
        message: expect.stringContaining(other.digest) as string,
      });
      expect(destination.everything.contents).not.toContain(other.digest);
    });

    it('asks an index of which nothing is there for its own signature', async () => {
      const { host, other } = twoPlatforms();
      for (const { digest } of [host, other]) source.damage(digest);
      await expect(copied(source, destination, { platforms: 'present' }, { policy })).rejects.toMatchObject({
        code: 'SIGNATURE_MISSING',
      });
    });
  });

  describe('what accompanies images', () => {
    it('comes along, but no image that refers to one', async () => {
      const target = addImage(source, { tag: '1' });
      const signature = await byRightKey(target);
      const bundle = await signByBundle(source, target, files.key);
      const sbom = addSbom(source, { subject: target });
      const image = addImage(source, { subject: target, layers: ['malware'] });
      const warnings: string[] = [];
      const session = new CopySession({
        policy,
        onEvent: (event) => event.type === 'warning' && warnings.push(event.message),
      });
      const report = await copied(source, destination, { referrers: {} }, session);
      const along = report.referrers.map((referrer) => referrer.target.digest).sort();
      expect(along).toEqual([signature.digest, bundle.digest, sbom.digest].sort());
      expect(destination.everything.contents).not.toContain(image.digest);
      expect(warnings).toEqual([expect.stringContaining(image.digest)]);
    });

    it('needs no signature by its tag, or by its digest alone', async () => {
      const target = addImage(source, { tag: '1' });
      await byRightKey(target);
      const sbom = addSbom(source, { subject: target });
      const tag = `sha256-${encodedOf(target.digest)}.sig`;
      await copied(source, destination, { from: tag, tag }, { policy });
      await copied(source, destination, { from: sbom.digest, tag: undefined }, { policy });
      expect(destination.everything.tags).toHaveProperty([tag]);
      expect(destination.everything.contents).toContain(sbom.digest);
    });

    const DISGUISED: readonly [string, (target: Descriptor) => { from: string; tag?: string | undefined }][] =
      [
        [
          'an image with the tag of a signature',
          ({ digest }) => {
            const tag = `sha256-${encodedOf(digest)}.sig`;
            addImage(source, { tag, layers: ['malware'] });
            return { from: tag, tag };
          },
        ],
        [
          'an image that refers to one',
          (subject) => ({ from: addImage(source, { subject }).digest, tag: undefined }),
        ],
        [
          'an artifact with a tag of its own that refers to an image',
          (subject) => {
            addSbom(source, { subject, tag: 'chart' });
            return { from: 'chart', tag: 'chart' };
          },
        ],
        [
          'one that gets a tag of its own',
          (subject) => ({ from: addSbom(source, { subject }).digest, tag: 'chart' }),
        ],
        ['one that refers to nothing', () => ({ from: addSbom(source, {}).digest, tag: undefined })],
      ];
    it.each(DISGUISED)('is not %s', async (_what, prepare) => {
      const target = addImage(source, { tag: '1', layers: ['of it'] });
      await expect(copied(source, destination, prepare(target), { policy })).rejects.toMatchObject({
        code: 'SIGNATURE_MISSING',
      });
      nothingWasPut();
    });
  });

  describe('a second time', () => {
    it('asks the source nothing but what the tag is, where the destination has the signatures', async () => {
      const { index } = twoPlatforms();
      await byRightKey(index);
      await copied(source, destination, { referrers: {} }, { policy });
      source.transport.calls.length = 0;
      const report = await copied(source, destination, {}, { policy });
      expect(report).toMatchObject({ outcome: 'exists', signatures: [{ digest: index.digest }] });
      expect(source.transport.calls).toEqual(['resolve 1']);
    });

    it('asks it for no signature of the one platform that was copied either', async () => {
      const { host } = twoPlatforms();
      await byRightKey(host);
      const one = { platforms: 'one' as const };
      await copied(source, destination, { ...one, referrers: {} }, { policy });
      source.transport.calls.length = 0;
      expect((await copied(source, destination, one, { policy })).outcome).toBe('exists');
      expect(source.transport.count('resolve sha256-') + source.transport.count('referrers')).toBe(0);
    });

    it('asks the source for them where the destination has none', async () => {
      const target = addImage(source, { tag: '1' });
      await byRightKey(target);
      await copied(source, destination, {}, { policy });
      expect((await copied(source, destination, {}, { policy })).outcome).toBe('exists');
    });

    it('refuses what came there under a looser policy', async () => {
      addImage(source, { tag: '1' });
      await copied(source, destination);
      await expect(copied(source, destination, {}, { policy })).rejects.toMatchObject({
        code: 'SIGNATURE_MISSING',
      });
    });
  });

  it('refuses in a run that only looks, too', async () => {
    addImage(source, { tag: '1' });
    await expect(copied(source, destination, {}, { policy, dryRun: true })).rejects.toMatchObject({
      code: 'SIGNATURE_MISSING',
    });
  });

  it('never takes a source that is down for one without signatures', async () => {
    addImage(source, { tag: '1' });
    source.transport.onCall = (call) => {
      if (call.startsWith('resolve sha256-')) throw new Error('the line broke');
    };
    await expect(copied(source, destination, {}, { policy })).rejects.toThrow('the line broke');
    nothingWasPut();
  });
});
