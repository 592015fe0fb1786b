import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { collectGarbage } from '../../src/engine/upkeep/collect-garbage.js';
import { openStore, type Store } from '../../src/engine/store.js';
import type { Descriptor } from '../../src/spec/index.js';
import { copy } from '../../src/transfer/copy/copy.js';
import type { CopyReport } from '../../src/transfer/copy/copy-report.js';
import type { CopyRequest } from '../../src/transfer/copy/copy-request.js';
import { CopySession, type CopySessionOptions } from '../../src/transfer/copy/copy-session.js';
import type { DestinationRepository, SourceRepository } from '../../src/transfer/transports/destination.js';
import { StoreTransport } from '../../src/transfer/transports/store-transport.js';
import type { PolicyFile } from '../../src/trust/index.js';
import { addImage, addIndex, AMD64, ARM64 } from '../support/memory-images.js';
import { MemoryTransport, type MemoryRepository } from '../support/memory-transport.js';
import { addSbom, PolicyFiles, sign, signByBundle } from '../support/memory-signed-images.js';
import { signatureTag } from '../support/simple-signing.js';

const NAME = 'there.example/app';

describe('a store under a signature policy', () => {
  let files: PolicyFiles;
  let policy: PolicyFile;
  let root: string;
  let store: Store;
  let source: MemoryRepository;
  let far: MemoryRepository;
  beforeAll(async () => {
    files = await PolicyFiles.create();
    policy = await files.signedOnly();
  });
  afterAll(() => files[Symbol.asyncDispose]());
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'landfall-store-policy-'));
    store = await openStore({ root });
    source = new MemoryTransport('there.example').repository(NAME);
    far = new MemoryTransport('far.example').repository('far.example/app');
  });
  afterEach(async () => {
    await store.close();
    await rm(root, { recursive: true, force: true });
  });

  async function copied(
    from: SourceRepository,
    to: DestinationRepository,
    options: CopySessionOptions,
    request: Partial<CopyRequest> = {},
  ): Promise<CopyReport> {
    const whole = { from: '1', tag: '1', platforms: 'all' as const, ...request };
    return await copy(from, to, whole, new CopySession(options));
  }

  /** Into the store, in whatever place it has only for this. */
  async function pulled(
    options: CopySessionOptions,
    request: Partial<CopyRequest> = {},
  ): Promise<CopyReport> {
    await using transport = new StoreTransport({ store });
    return await copied(source, transport.repository(NAME), options, request);
  }

  async function pushed(
    options: CopySessionOptions,
    request: Partial<CopyRequest> = {},
  ): Promise<CopyReport> {
    await using transport = new StoreTransport({ store });
    return await copied(transport.repository(NAME), far, options, request);
  }

  function signedIndex(): Descriptor {
    const images = [AMD64, ARM64].map(
      (platform) => [addImage(source, { platform, layers: [platform.architecture] }), platform] as const,
    );
    return addIndex(source, images, '1');
  }

  it('remembers what was verified on the way in', async () => {
    const target = signedIndex();
    const signature = await sign(source, target, { key: files.key });
    await pulled({ policy });
    expect(await store.verifications.about([target.digest])).toMatchObject([
      { name: `${NAME}:1`, policy: policy.path, scope: 'default', signature: signature.digest },
    ]);
  });

  it('remembers nothing of a run that only looks', async () => {
    const target = signedIndex();
    await sign(source, target, { key: files.key });
    await pulled({ policy, dryRun: true });
    expect(await store.verifications.about([target.digest])).toEqual([]);
  });

  it('has nothing of what is refused', async () => {
    signedIndex();
    await expect(pulled({ policy })).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
    const blobs: unknown[] = [];
    for await (const blob of store.content.list()) blobs.push(blob);
    expect(blobs).toEqual([]);
    expect(await store.images.list()).toEqual([]);
  });

  it('keeps the signatures, by which it can be verified without its registry, and after a collection', async () => {
    const target = signedIndex();
    await sign(source, target, { key: files.key });
    await pulled({ policy });
    await collectGarbage(store);
    source.transport.calls.length = 0;
    // Another key beside the first one is another requirement, of which nothing is remembered.
    const other = { type: 'sigstoreSigned', signedIdentity: { type: 'matchRepository' } };
    const keyDatas = [files.otherKey, files.key].map(({ pem }) => Buffer.from(pem).toString('base64'));
    const stricter = await files.write([{ ...other, keyDatas }]);
    expect((await pushed({ policy: stricter })).signatures).toMatchObject([{ digest: target.digest }]);
    expect(source.transport.calls).toEqual([]);
    expect(far.everything.tags).toEqual({ '1': target.digest });
  });

  it('verifies again what came in under a looser policy', async () => {
    signedIndex();
    await pulled({});
    await expect(pushed({ policy })).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
    expect(far.everything.contents).toEqual([]);
  });

  it('gives the signatures that it keeps to who asks for referrers, under the tag that they had', async () => {
    const target = signedIndex();
    const [byTag, bundle] = [
      await sign(source, target, { key: files.key }),
      await signByBundle(source, target, files.key),
    ];
    const both = { policy: await files.write([files.signed(), files.signed({ type: 'matchDigest' })]) };
    await pulled(both);
    await pushed({}, { referrers: {} });
    expect(far.everything.tags).toEqual({ '1': target.digest, [signatureTag(target.digest)]: byTag.digest });
    expect(far.everything.contents).toContain(bundle.digest);
  });

  it('lists among referrers only what names its subject itself', async () => {
    const target = signedIndex();
    await sign(source, target, { key: files.key });
    await pulled({ policy });
    const sbom = addSbom(source, { subject: target });
    await pulled({}, { from: sbom.digest, tag: undefined });
    await using transport = new StoreTransport({ store });
    const listed: string[] = [];
    for await (const { digest } of transport.repository(NAME).referrers(target.digest)) listed.push(digest);
    expect(listed).toEqual([sbom.digest]);
  });
});
