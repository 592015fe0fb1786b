import { randomBytes } from 'node:crypto';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import {
  type Digest,
  digestOf,
  LIMITS,
  MEDIA_TYPES,
  type VerifiableAlgorithm,
} from '../../../src/spec/index.js';
import { codesOf, type Reply, WritableRegistry } from './writable-registry.js';

/*
 * distribution-spec: Pushing Manifests, Listing Tags, Listing Referrers.
 */

const REPOSITORY = 'team/app';

let registry: WritableRegistry;

beforeEach(async () => {
  registry = await WritableRegistry.start();
});

afterEach(async () => {
  await registry[Symbol.asyncDispose]();
});

async function pull(reference: string, repository = REPOSITORY): Promise<Reply> {
  return await registry.send('GET', `/v2/${repository}/manifests/${reference}`);
}

async function tags(): Promise<unknown> {
  const { body } = await registry.send('GET', `/v2/${REPOSITORY}/tags/list`);
  return (JSON.parse(body.toString()) as { tags: unknown }).tags;
}

async function expectPushed(reply: Reply, bytes: Buffer, digest: Digest): Promise<void> {
  expect([reply.status, reply.headers['docker-content-digest']]).toEqual([201, digest]);
  const pulled = await registry.send('GET', String(reply.headers.location));
  expect([pulled.status, pulled.headers['docker-content-digest']]).toEqual([200, digest]);
  expect(pulled.body.equals(bytes)).toBe(true);
}

describe.each(['sha256', 'sha512'] as const)('a manifest with %s digests', (algorithm) => {
  test('is pushed by its digest', async () => {
    const bytes = await registry.manifest(REPOSITORY, {}, algorithm);
    const digest = digestOf(bytes, algorithm);
    await expectPushed(await registry.putManifest(REPOSITORY, digest, bytes), bytes, digest);
    expect(await tags()).toEqual([]);
  });

  test('gets the tags that are asked for beside its digest', async () => {
    const bytes = await registry.manifest(REPOSITORY, {}, algorithm);
    const digest = digestOf(bytes, algorithm);
    const wanted = ['1.2.3', '1.2', '1', 'latest', 'a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const query = wanted.map((tag) => `tag=${tag}`).join('&');
    const reply = await registry.putManifest(REPOSITORY, `${digest}?${query}`, bytes);
    await expectPushed(reply, bytes, digest);
    expect(String(reply.headers['oci-tag']).split(', ')).toEqual(wanted);
    expect(await tags()).toEqual(wanted.toSorted());
    for (const tag of wanted) expect((await pull(tag)).headers['docker-content-digest']).toBe(digest);
  });

  test('is refused by another digest', async () => {
    const bytes = await registry.manifest(REPOSITORY, {}, algorithm);
    const other = digestOf(Buffer.from('other'), algorithm);
    const reply = await registry.putManifest(REPOSITORY, other, bytes);
    expect([reply.status, codesOf(reply)]).toEqual([400, 'DIGEST_INVALID']);
    expect((await pull(other)).status).toBe(404);
    expect((await pull(digestOf(bytes, algorithm))).status).toBe(404);
  });
});

test('a manifest by tag may be held against a digest', async () => {
  const bytes = await registry.manifest(REPOSITORY);
  const digest = digestOf(bytes, 'sha512');
  await expectPushed(await registry.putManifest(REPOSITORY, `1?digest=${digest}`, bytes), bytes, digest);
  const wrong = digestOf(Buffer.from('other'), 'sha512');
  expect((await registry.putManifest(REPOSITORY, `2?digest=${wrong}`, bytes)).status).toBe(400);
  expect(await tags()).toEqual(['1']);
});

test('a tag that is pushed again points to the new one, and the old one is to be had by its digest', async () => {
  const [first, second] = [await registry.manifest(REPOSITORY), await registry.manifest(REPOSITORY)];
  await registry.putManifest(REPOSITORY, 'edge', first);
  await registry.putManifest(REPOSITORY, 'edge', second);
  expect((await pull('edge')).body.equals(second)).toBe(true);
  expect((await pull(digestOf(first))).body.equals(first)).toBe(true);
});

test('a manifest that another repository has is not there for who asks before pushing it', async () => {
  const bytes = await registry.manifest('team/other');
  const digest = digestOf(bytes);
  await registry.putManifest('team/other', digest, bytes);
  expect((await pull(digest)).status).toBe(404);
  await registry.putManifest(REPOSITORY, digest, bytes);
  expect((await pull(digest)).status).toBe(200);
});

test('what is pushed is an image of the store, under the name that a pull of the path has', async () => {
  for (const [path, name] of [
    ['team/app', 'docker.io/team/app:1'],
    ['alpine', 'docker.io/library/alpine:1'],
    ['quay.io/x/y', 'quay.io/x/y:1'],
  ] as const) {
    const bytes = await registry.manifest(path);
    expect((await registry.putManifest(path, '1', bytes)).status).toBe(201);
    expect((await registry.store.images.get(name))?.target.digest).toBe(digestOf(bytes));
    expect((await registry.store.manifests.get(digestOf(bytes)))?.children).toHaveLength(2);
  }
});

describe('a manifest is refused', () => {
  test.each<[what: string, body: Buffer, type: string | undefined]>([
    ['that is no JSON', Buffer.from('{"schemaVersion":2'), undefined],
    ['that is nothing', Buffer.alloc(0), undefined],
    ['that is neither image nor index', Buffer.from('{"schemaVersion":2}'), 'application/json'],
    ['of Docker schema 1', Buffer.from('{"schemaVersion":1}'), MEDIA_TYPES.dockerSchema1],
    [
      'that says another type than its Content-Type',
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] })),
      MEDIA_TYPES.dockerList,
    ],
  ])('%s', async (_what, body, type) => {
    const reply = await registry.putManifest(REPOSITORY, '1', body, type);
    expect([reply.status, codesOf(reply)]).toEqual([400, 'MANIFEST_INVALID']);
  });

  test.each([
    ['with its length', (bytes: Buffer) => bytes],
    ['without a length', (bytes: Buffer) => [bytes.subarray(0, 100), bytes.subarray(100)]],
  ])('that is too large, %s', async (_how, sent) => {
    const bytes = Buffer.alloc(LIMITS.manifestBytes + 1, ' ');
    const reply = await registry.send('PUT', `/v2/${REPOSITORY}/manifests/1`, { body: sent(bytes) });
    expect([reply.status, codesOf(reply)]).toEqual([413, 'SIZE_INVALID']);
  });

  test('by a tag that is none', async () => {
    const bytes = await registry.manifest(REPOSITORY);
    for (const tag of ['.hidden', 'a'.repeat(129), 'a%20b']) {
      expect((await registry.putManifest(REPOSITORY, tag, bytes)).status).toBe(400);
    }
    const reply = await registry.putManifest(REPOSITORY, `${digestOf(bytes)}?tag=ok&tag=.no`, bytes);
    expect(reply.status).toBe(400);
    expect((await pull('ok')).status).toBe(404);
  });

  test('whose blobs are not here, all of which are named', async () => {
    const [config, layer] = [digestOf(Buffer.from('config')), digestOf(Buffer.from('layer'))];
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        config: { mediaType: MEDIA_TYPES.ociConfig, digest: config, size: 6 },
        layers: [{ mediaType: MEDIA_TYPES.ociLayer, digest: layer, size: 5 }],
      }),
    );
    const reply = await registry.putManifest(REPOSITORY, '1', bytes);
    expect([reply.status, codesOf(reply)]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN MANIFEST_BLOB_UNKNOWN']);
    expect(reply.body.toString()).toContain(config);
    expect(reply.body.toString()).toContain(layer);
    expect((await pull(digestOf(bytes))).status).toBe(404);
  });
});

test('a manifest of the largest size is taken', async () => {
  const annotations = { large: '' };
  const small = await registry.manifest(REPOSITORY, { annotations });
  const bytes = Buffer.from(
    small.toString().replace('"large":""', `"large":"${'A'.repeat(LIMITS.manifestBytes - small.length)}"`),
  );
  expect(bytes.length).toBe(LIMITS.manifestBytes);
  await expectPushed(await registry.putManifest(REPOSITORY, 'large', bytes), bytes, digestOf(bytes));
});

test('a layer that need not be distributed may be absent', async () => {
  const config = await registry.pushBlob(REPOSITORY, '{}', { mediaType: MEDIA_TYPES.ociConfig });
  const layer = {
    mediaType: MEDIA_TYPES.ociNonDistributableLayerGzip,
    digest: digestOf(randomBytes(8)),
    size: 5,
    urls: ['https://store.example/layer'],
  };
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [layer] }));
  await expectPushed(await registry.putManifest(REPOSITORY, '1', bytes), bytes, digestOf(bytes));
});

test('an index whose entries are not here is taken, so that a mirror of some platforms keeps its digest', async () => {
  const here = await registry.manifest(REPOSITORY);
  await registry.putManifest(REPOSITORY, digestOf(here), here);
  const manifests = [
    { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(here), size: here.length },
    { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(randomBytes(8)), size: 7 },
  ];
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }));
  const reply = await registry.putManifest(REPOSITORY, 'sparse', bytes, MEDIA_TYPES.ociIndex);
  await expectPushed(reply, bytes, digestOf(bytes));
  expect((await pull('sparse')).headers['content-type']).toBe(MEDIA_TYPES.ociIndex);
});

test('a manifest that does not say its type goes out as what it was pushed as', async () => {
  const whole = JSON.parse((await registry.manifest(REPOSITORY)).toString()) as Record<string, unknown>;
  delete whole['mediaType'];
  const bytes = Buffer.from(JSON.stringify(whole));
  await registry.putManifest(REPOSITORY, 'docker', bytes, `${MEDIA_TYPES.dockerManifest}; charset=utf-8`);
  for (const reference of ['docker', digestOf(bytes)]) {
    expect((await pull(reference)).headers['content-type']).toBe(MEDIA_TYPES.dockerManifest);
  }
});

describe('a subject', () => {
  interface Listed {
    readonly digest: string;
    readonly artifactType?: string;
    readonly annotations?: Record<string, string>;
  }

  async function referrers(of: string, query = ''): Promise<{ reply: Reply; listed: Listed[] }> {
    const reply = await registry.send('GET', `/v2/${REPOSITORY}/referrers/${of}${query}`);
    return { reply, listed: (JSON.parse(reply.body.toString()) as { manifests: Listed[] }).manifests };
  }

  async function pushReferrer(
    subject: Digest,
    fields: object,
    algorithm?: VerifiableAlgorithm,
  ): Promise<Digest> {
    const about = { mediaType: MEDIA_TYPES.ociManifest, digest: subject, size: 7 };
    const bytes = await registry.manifest(REPOSITORY, { subject: about, ...fields }, algorithm);
    const reply = await registry.putManifest(REPOSITORY, digestOf(bytes, algorithm), bytes);
    expect([reply.status, reply.headers['oci-subject']]).toEqual([201, subject]);
    return digestOf(bytes, algorithm);
  }

  test('need not be here, before and after', async () => {
    const image = await registry.manifest(REPOSITORY);
    const subject = digestOf(image);
    const before = await pushReferrer(subject, { artifactType: 'application/vnd.example.sbom' });
    expect((await referrers(subject)).listed.map(({ digest }) => digest)).toEqual([before]);
    await registry.putManifest(REPOSITORY, '1', image);
    const after = await pushReferrer(subject, { annotations: { by: 'test' } }, 'sha512');
    const { reply, listed } = await referrers(subject);
    expect(reply.headers['content-type']).toBe(MEDIA_TYPES.ociIndex);
    expect(listed.map(({ digest }) => digest).sort()).toEqual([before, after].sort());
    expect(listed.find(({ digest }) => digest === after)).toMatchObject({
      artifactType: MEDIA_TYPES.ociConfig,
      annotations: { by: 'test' },
    });
  });

  test('is asked for by the type of what refers to it', async () => {
    const subject = digestOf(randomBytes(8));
    const sbom = await pushReferrer(subject, { artifactType: 'application/vnd.example.sbom' });
    await pushReferrer(subject, { artifactType: 'application/vnd.example.signature' });
    const { reply, listed } = await referrers(subject, '?artifactType=application/vnd.example.sbom');
    expect(reply.headers['oci-filters-applied']).toBe('artifactType');
    expect(listed.map(({ digest }) => digest)).toEqual([sbom]);
    expect((await referrers(subject, '?artifactType=none')).listed).toEqual([]);
  });

  test('of an index is told too, and the index has no type unless it says one', async () => {
    const subject = digestOf(randomBytes(8));
    const about = { mediaType: MEDIA_TYPES.ociManifest, digest: subject, size: 7 };
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [], subject: about };
    const bytes = Buffer.from(JSON.stringify(index));
    const reply = await registry.putManifest(REPOSITORY, digestOf(bytes), bytes, MEDIA_TYPES.ociIndex);
    expect(reply.headers['oci-subject']).toBe(subject);
    const { listed } = await referrers(subject);
    expect(listed).toEqual([
      { mediaType: MEDIA_TYPES.ociIndex, digest: digestOf(bytes), size: bytes.length },
    ]);
  });
});

test('tags come in order, in pages of the size that is asked for', async () => {
  const bytes = await registry.manifest(REPOSITORY);
  for (const tag of ['b', 'B', 'a', '10', '9']) await registry.putManifest(REPOSITORY, tag, bytes);
  expect(await tags()).toEqual(['10', '9', 'B', 'a', 'b']);
  const seen: string[] = [];
  let next: string | undefined = `/v2/${REPOSITORY}/tags/list?n=2`;
  while (next !== undefined) {
    const { headers, body } = await registry.send('GET', next);
    seen.push(...(JSON.parse(body.toString()) as { tags: string[] }).tags);
    next = /^<([^>]+)>; rel="next"$/.exec(String(headers['link'] ?? ''))?.[1];
  }
  expect(seen).toEqual(['10', '9', 'B', 'a', 'b']);
  const none = await registry.send('GET', `/v2/${REPOSITORY}/tags/list?n=0`);
  expect([JSON.parse(none.body.toString()), none.headers['link']]).toEqual([
    { name: REPOSITORY, tags: [] },
    undefined,
  ]);
});
