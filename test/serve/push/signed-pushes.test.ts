import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { ACCEPT, PolicyFiles, REJECT } from '../../support/memory-signed-images.js';
import { putImage } from '../../support/stored-image.js';
import { bundleReferrer, statementBundle } from '../../support/signature-bundle.js';
import type { SigningKey } from '../../support/signing-keys.js';
import {
  type SignatureArtifact,
  simpleSignature,
  simpleSigningManifest,
} from '../../support/simple-signing.js';
import { codesOf, type Reply, WritableRegistry } from './writable-registry.js';

const TEAM = 'docker.io/team/app';
const REFUSED = [403, 'DENIED'];

describe('pushes under a signature policy', () => {
  let files: PolicyFiles;
  let registry: WritableRegistry;

  beforeEach(async () => {
    files = await PolicyFiles.create();
    const team = [files.signed()];
    const policy = await files.write([REJECT], {
      docker: { 'docker.io/team': team, 'docker.io/open': [ACCEPT] },
    });
    registry = await WritableRegistry.start({ policy });
  });
  afterEach(async () => {
    await registry[Symbol.asyncDispose]();
    await files[Symbol.asyncDispose]();
  });

  /** An image whose blobs were pushed. */
  const image = async (
    repository = 'team/app',
  ): Promise<{ bytes: Buffer; target: Descriptor; blobs: Digest[] }> => {
    const bytes = await registry.manifest(repository);
    const { config, layers } = JSON.parse(bytes.toString()) as { config: Descriptor; layers: Descriptor[] };
    const target = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(bytes), size: bytes.length };
    return { bytes, target, blobs: [config, ...layers].map(({ digest }) => digest) };
  };
  const indexOf = (...entries: Descriptor[]): { bytes: Buffer; target: Descriptor } => {
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: entries };
    const bytes = Buffer.from(JSON.stringify(index));
    return {
      bytes,
      target: { mediaType: MEDIA_TYPES.ociIndex, digest: digestOf(bytes), size: bytes.length },
    };
  };
  const put = (reference: string, bytes: Buffer, type?: string): Promise<Reply> =>
    registry.putManifest('team/app', reference, bytes, type);
  const putIndex = (reference: string, bytes: Buffer): Promise<Reply> =>
    put(reference, bytes, MEDIA_TYPES.ociIndex);
  const push = async ({ manifest, blobs, tag }: SignatureArtifact): Promise<number> => {
    for (const [digest, bytes] of blobs)
      if (digest !== manifest.digest) await registry.pushBlob('team/app', bytes);
    return (await put(tag ?? manifest.digest, blobs.get(manifest.digest) ?? Buffer.alloc(0))).status;
  };
  const sign = async ({ digest }: Descriptor, key: SigningKey = files.key): Promise<number> =>
    push(simpleSigningManifest(digest, [await simpleSignature(digest, { key }, { identity: TEAM })]));
  const outcome = async (path: string, method = 'GET', repository = 'team/app'): Promise<unknown> => {
    const reply = await registry.send(method, `/v2/${repository}/${path}`);
    return reply.status === 200 ? 200 : [reply.status, codesOf(reply)];
  };
  const blobsGiven = async (blobs: readonly Digest[], repository?: string): Promise<unknown[]> => {
    const outcomes = [];
    for (const digest of blobs) outcomes.push(await outcome(`blobs/${digest}`, 'GET', repository));
    return outcomes;
  };

  it('gives no tag to an image without its signature, and gives it once that is there', async () => {
    const { bytes, target, blobs } = await image();
    const refused = await put('1', bytes);
    expect([refused.status, codesOf(refused)]).toEqual(REFUSED);
    expect(refused.body.toString()).toContain(`sign ${TEAM}@${target.digest}`);
    expect(registry.warnings.join()).toContain('is not signed');
    expect(await registry.store.images.list()).toEqual([]);
    expect(await outcome('manifests/1')).toEqual([404, 'NAME_UNKNOWN']);
    // The signer reads the manifest, and a client that pushes asks for its blobs; the blobs are for nobody.
    expect(await outcome(`manifests/${target.digest}`)).toBe(200);
    expect(await outcome(`blobs/${blobs[0]}`, 'HEAD')).toBe(200);
    expect(await blobsGiven(blobs)).toEqual([REFUSED, REFUSED]);
    expect(await sign(target)).toBe(201);
    expect((await put('1', bytes)).status).toBe(201);
    expect(await outcome('manifests/1')).toBe(200);
    expect(await blobsGiven(blobs)).toEqual([200, 200]);
  });

  it('takes a bundle that refers to an image by its digest', async () => {
    const { bytes, target, blobs } = await image();
    expect((await put(target.digest, bytes)).status).toBe(201);
    expect(await blobsGiven(blobs)).toEqual([REFUSED, REFUSED]);
    const bundle = bundleReferrer(target, [await statementBundle(target.digest, { key: files.key })]);
    await registry.restart({ policy: await files.signedOnly({ type: 'matchDigest' }) });
    expect(await push(bundle)).toBe(201);
    expect((await put('1', bytes)).status).toBe(201);
    expect(await blobsGiven(blobs)).toEqual([200, 200]);
  });

  it('needs the index signed alone, whose entries were pushed before it', async () => {
    const [first, second] = [await image(), await image()];
    for (const { target, bytes } of [first, second])
      expect((await put(target.digest, bytes)).status).toBe(201);
    const index = indexOf(first.target, second.target);
    const refused = await putIndex('1', index.bytes);
    expect([refused.status, codesOf(refused)]).toEqual(REFUSED);
    expect(await sign(index.target)).toBe(201);
    expect((await putIndex('1', index.bytes)).status).toBe(201);
    expect(await blobsGiven([...first.blobs, ...second.blobs])).toEqual([200, 200, 200, 200]);
  });

  it('of an index of which one entry is signed gives that entry alone', async () => {
    const [signed, unsigned] = [await image(), await image()];
    const index = indexOf(signed.target, unsigned.target);
    for (const { target, bytes } of [signed, unsigned]) await put(target.digest, bytes);
    expect(await sign(signed.target)).toBe(201);
    expect((await putIndex('1', index.bytes)).status).toBe(201);
    expect(await blobsGiven([signed, unsigned].flatMap(({ blobs }) => blobs.slice(1)))).toEqual([
      200,
      REFUSED,
    ]);
  });

  it('takes no signature of somebody else for one', async () => {
    const { bytes, target } = await image();
    await put('1', bytes);
    expect(await sign(target, files.otherKey)).toBe(201);
    const reply = await put('1', bytes);
    expect(reply.status).toBe(403);
    expect(reply.body.toString()).toContain('SIGNATURE_INVALID');
  });

  it('finds the signature of an image in its own repository first', async () => {
    const { bytes, target } = await image();
    const other = await simpleSignature(target.digest, { key: files.otherKey }, { identity: TEAM });
    const { manifest, blobs, tag } = simpleSigningManifest(target.digest, [other]);
    for (const [digest, blob] of blobs)
      if (digest !== manifest.digest) await registry.pushBlob('open/a', blob);
    const shadow = await registry.putManifest('open/a', tag, blobs.get(manifest.digest) ?? Buffer.alloc(0));
    expect(shadow.status).toBe(201);
    await put('1', bytes);
    expect(await sign(target)).toBe(201);
    expect((await put('1', bytes)).status).toBe(201);
  });

  it('takes nothing of what no signature can help, also by its digest', async () => {
    const { bytes, target } = await image('none/app');
    for (const reference of ['1', target.digest]) {
      const reply = await registry.putManifest('none/app', reference, bytes);
      expect([reply.status, codesOf(reply)]).toEqual(REFUSED);
      expect(reply.body.toString()).toContain('POLICY_REJECTED');
    }
    expect(await outcome(`manifests/${target.digest}`, 'GET', 'none/app')).toEqual([404, 'MANIFEST_UNKNOWN']);
  });

  it('asks nothing of a repository that needs no signatures, which opens no other', async () => {
    const { bytes, blobs } = await image();
    await put('1', bytes);
    expect((await registry.putManifest('open/app', '1', bytes)).status).toBe(201);
    expect(await blobsGiven(blobs, 'open/app')).toEqual([200, 200]);
    expect(await blobsGiven(blobs)).toEqual([REFUSED, REFUSED]);
  });

  it('is not led around by an index of another repository', async () => {
    const { bytes, target, blobs } = await image();
    await put(target.digest, bytes);
    const index = indexOf(target);
    expect(
      (await registry.putManifest('team/other', index.target.digest, index.bytes, MEDIA_TYPES.ociIndex))
        .status,
    ).toBe(201);
    for (const repository of ['team/app', 'team/other', 'team/third'])
      expect(await blobsGiven(blobs, repository)).toEqual([REFUSED, REFUSED]);
  });

  it('serves what came in another way as it is, until its manifest is put', async () => {
    const stored = await putImage(registry.store, `${TEAM}:loaded`, { layers: ['loaded'] });
    expect(await outcome('manifests/loaded')).toBe(200);
    expect(await blobsGiven(stored.layers.map(({ digest }) => digest))).toEqual([200]);
  });

  describe('with a grace', () => {
    const HOUR = 3_600_000;
    const start = async (): Promise<void> => {
      const policy = await files.signedOnly();
      await registry.restart({ policy, graceMs: HOUR });
    };
    const pass = (ms: number): Promise<unknown> =>
      registry.store.database.run('UPDATE images SET updated_at = updated_at - ?', [ms]);

    it('lets a tag be read until the grace has passed, and its blobs only once it is signed', async () => {
      await start();
      const { bytes, target, blobs } = await image();
      expect((await put('1', bytes)).status).toBe(201);
      expect(await outcome('manifests/1')).toBe(200);
      expect(await blobsGiven(blobs)).toEqual([REFUSED, REFUSED]);
      await pass(HOUR / 2);
      await start();
      expect(await outcome('manifests/1')).toBe(200);
      await pass(HOUR / 2);
      expect(await outcome('manifests/1')).toEqual(REFUSED);
      expect(await sign(target)).toBe(201);
      expect(await outcome('manifests/1')).toBe(200);
      expect(await blobsGiven(blobs)).toEqual([200, 200]);
      await pass(2 * HOUR);
      expect(await outcome('manifests/1')).toBe(200);
    });

    it('ends for what was pushed before the policy was there', async () => {
      await registry.restart({});
      const { bytes } = await image();
      expect((await put('1', bytes)).status).toBe(201);
      await pass(2 * HOUR);
      await start();
      expect(await outcome('manifests/1')).toEqual(REFUSED);
    });
  });
});
