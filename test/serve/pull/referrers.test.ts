import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { nextTarget } from '../../../src/registry/lists/paged-list.js';
import { createRegistryServer, type RegistryServer } from '../../../src/serve/index.js';
import { type Descriptor, type Digest, LIMITS, MEDIA_TYPES, parseManifest } from '../../../src/spec/index.js';
import { ask, errorCode, type Reply } from '../ask.js';
import { MemorySource } from '../memory-source.js';

const REPOSITORY = 'docker.io/team/app';
const SBOM = 'application/vnd.example.sbom.v1';
const SIGNATURE = 'application/vnd.example.signature.v1';

let source: MemorySource;
let server: RegistryServer;
let port: number;
let subject: Descriptor;

beforeEach(async () => {
  source = new MemorySource();
  subject = artifact({ name: 'the image', subject: undefined });
  source.tag(REPOSITORY, '1.0', subject);
  server = createRegistryServer({ source });
  ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
});

afterEach(async () => {
  await server.close({ graceMs: 0 });
});

interface Artifact {
  readonly name: string;
  readonly subject?: Descriptor | undefined;
  readonly artifactType?: string;
  readonly annotations?: Record<string, string>;
}

/** The content of a manifest that refers to the image, unless another subject, or none, is given. */
function artifact(o: Artifact): Descriptor {
  const config = source.add(JSON.stringify({ name: o.name }), 'application/vnd.example.config+json');
  const { artifactType, annotations } = o;
  const whom = 'subject' in o ? o.subject : subject;
  const type = MEDIA_TYPES.ociManifest;
  const manifest = { schemaVersion: 2, mediaType: type, artifactType, config, layers: [], annotations };
  return source.add(JSON.stringify({ ...manifest, subject: whom }), type);
}

function indexOf(manifests: readonly Descriptor[], fields: object = {}): Descriptor {
  const type = MEDIA_TYPES.ociIndex;
  return source.add(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests, ...fields }), type);
}

async function referrers(
  digest: Digest = subject.digest,
  query = '',
): Promise<{ reply: Reply; found: readonly Descriptor[] }> {
  const reply = await ask(port, `/v2/team/app/referrers/${digest}${query}`);
  expect(reply.status).toBe(200);
  expect(reply.headers['content-type']).toBe(MEDIA_TYPES.ociIndex);
  const manifest = parseManifest(Buffer.from(reply.body, 'latin1'), MEDIA_TYPES.ociIndex);
  return { reply, found: manifest.kind === 'index' ? manifest.manifests : [] };
}

const digestsOf = (found: readonly Descriptor[]): string[] => found.map(({ digest }) => digest);
const inOrder = (...found: readonly Descriptor[]): string[] => digestsOf(found).sort();

describe('what refers to a manifest', () => {
  test('is described with its type and its annotations, in the order of digests', async () => {
    const sbom = artifact({ name: 'sbom', artifactType: SBOM, annotations: { format: 'spdx' } });
    const signature = artifact({ name: 'signature', artifactType: '' });
    const index = indexOf([], { subject, annotations: { form: 'index' } });
    for (const target of [sbom, signature, index]) source.hold(REPOSITORY, target);
    const { found } = await referrers();
    expect(found).toEqual(
      [
        { ...sbom, artifactType: SBOM, annotations: { format: 'spdx' } },
        { ...signature, artifactType: 'application/vnd.example.config+json' },
        { ...index, annotations: { form: 'index' } },
      ].sort((a, b) => (a.digest < b.digest ? -1 : 1)),
    );
  });

  const places: [name: string, put: (target: Descriptor) => void][] = [
    ['by its digest', (target) => source.hold(REPOSITORY, target)],
    ['by a tag', (target) => source.tag(REPOSITORY, 'sbom', target)],
    ['in an index', (target) => source.tag(REPOSITORY, 'all', indexOf([subject, target]))],
    [
      'in the index that clients keep by hand',
      (target) =>
        source.tag(
          REPOSITORY,
          subject.digest.replace(':', '-'),
          indexOf([{ ...target, artifactType: SBOM }]),
        ),
    ],
    ['in an index in an index', (target) => source.tag(REPOSITORY, 'all', indexOf([indexOf([target])]))],
    [
      'twice',
      (target) => {
        source.tag(REPOSITORY, 'all', indexOf([target, target]));
        source.hold(REPOSITORY, target);
      },
    ],
  ];
  test.each(places)('is found %s', async (_name, put) => {
    const sbom = artifact({ name: 'sbom', artifactType: SBOM });
    put(sbom);
    expect(digestsOf((await referrers()).found)).toEqual([sbom.digest]);
  });

  test('may be referred to itself', async () => {
    const sbom = artifact({ name: 'sbom', artifactType: SBOM });
    const signature = artifact({ name: 'signature', subject: sbom, artifactType: SIGNATURE });
    for (const target of [sbom, signature]) source.hold(REPOSITORY, target);
    expect(digestsOf((await referrers()).found)).toEqual([sbom.digest]);
    expect(digestsOf((await referrers(sbom.digest)).found)).toEqual([signature.digest]);
  });

  test('may be there before what it refers to, in sha512 too', async () => {
    const missing = { ...subject, digest: `sha512:${'5'.repeat(128)}` as Digest };
    const sbom = artifact({ name: 'sbom', subject: missing, artifactType: SBOM });
    source.hold(REPOSITORY, sbom);
    expect(digestsOf((await referrers(missing.digest)).found)).toEqual([sbom.digest]);
  });

  test('is asked for by its head alone', async () => {
    const reply = await ask(port, `/v2/team/app/referrers/${subject.digest}`, { method: 'HEAD' });
    expect([reply.status, reply.body, reply.headers['content-type']]).toEqual([
      200,
      '',
      MEDIA_TYPES.ociIndex,
    ]);
  });
});

describe('what was read before', () => {
  test('is not read again to find referrers, only to describe them', async () => {
    const sbom = artifact({ name: 'sbom', artifactType: SBOM });
    source.tag(REPOSITORY, 'all', indexOf([subject, sbom]));
    expect(digestsOf((await referrers()).found)).toEqual([sbom.digest]);
    const before = source.opened.length;
    expect(digestsOf((await referrers()).found)).toEqual([sbom.digest]);
    expect(source.opened.length - before).toBe(1);
  });

  test('is found again, and so is what has come since', async () => {
    const [sbom, late] = [artifact({ name: 'sbom' }), artifact({ name: 'late' })];
    source.hold(REPOSITORY, sbom);
    source.hold(REPOSITORY, late);
    const content = source.lose(late);
    expect(digestsOf((await referrers()).found)).toEqual([sbom.digest]);
    source.add(content, late.mediaType);
    expect(digestsOf((await referrers()).found)).toEqual(inOrder(sbom, late));
    source.lose(sbom);
    expect(digestsOf((await referrers()).found)).toEqual([late.digest]);
  });

  test('is of the type that is said this time', async () => {
    const sbom = artifact({ name: 'sbom' });
    const wrong = { ...sbom, mediaType: MEDIA_TYPES.ociIndex };
    source.hold(REPOSITORY, sbom);
    source.hold('docker.io/team/wrong', wrong);
    expect((await referrers()).found).toHaveLength(1);
    const reply = await ask(port, `/v2/team/wrong/referrers/${subject.digest}`);
    expect(JSON.parse(reply.body)).toMatchObject({ manifests: [] });
  });
});

describe('nothing refers to', () => {
  const empty: [name: string, path: () => string][] = [
    ['a manifest without referrers', () => `team/app/referrers/${subject.digest}`],
    ['an unknown digest', () => `team/app/referrers/sha256:${'0'.repeat(64)}`],
    ['what is in another repository', () => `team/other/referrers/${subject.digest}`],
  ];
  test.each(empty)('%s: an empty list, never a 404', async (_name, path) => {
    source.hold('quay.io/team/app', artifact({ name: 'elsewhere', artifactType: SBOM }));
    const reply = await ask(port, `/v2/${path()}`);
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.body)).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [],
    });
  });

  test('what is malformed: that is a 400', async () => {
    const reply = await ask(port, '/v2/team/app/referrers/sha256:abc');
    expect([reply.status, errorCode(reply)]).toEqual([400, 'DIGEST_INVALID']);
  });
});

describe('a referrer is passed over', () => {
  const absent: [name: string, make: () => Descriptor][] = [
    [
      'whose content has gone',
      () => {
        const gone = artifact({ name: 'gone' });
        source.lose(gone);
        return gone;
      },
    ],
    ['that is not JSON', () => source.add('{"subject"', MEDIA_TYPES.ociManifest)],
    [
      'that is another thing than its name says',
      () => ({ ...artifact({ name: 'x' }), mediaType: MEDIA_TYPES.ociIndex }),
    ],
    ['of an unknown type', () => ({ ...artifact({ name: 'x' }), mediaType: 'application/vnd.example+json' })],
    [
      'that is too large for a manifest',
      () => artifact({ name: 'x', annotations: { large: 'x'.repeat(LIMITS.manifestBytes) } }),
    ],
  ];
  test.each(absent)('%s, and the others are listed', async (_name, make) => {
    const sbom = artifact({ name: 'sbom', artifactType: SBOM });
    source.hold(REPOSITORY, make());
    source.hold(REPOSITORY, sbom);
    expect(digestsOf((await referrers()).found)).toEqual([sbom.digest]);
  });

  test('unread where it is too large', async () => {
    source.hold(
      REPOSITORY,
      artifact({ name: 'x', annotations: { large: 'x'.repeat(LIMITS.manifestBytes) } }),
    );
    expect((await referrers()).found).toEqual([]);
    // The image alone.
    expect(source.opened).toHaveLength(1);
  });

  test('but a source that fails is not', async () => {
    source.hold(REPOSITORY, artifact({ name: 'sbom' }));
    source.failure = new Error('the disk is broken');
    expect((await ask(port, `/v2/team/app/referrers/${subject.digest}`)).status).toBe(500);
  });
});

describe('a type of artifact', () => {
  test('is what is listed, and the answer says so', async () => {
    const sbom = artifact({ name: 'sbom', artifactType: SBOM });
    for (const target of [sbom, artifact({ name: 'sig', artifactType: SIGNATURE })]) {
      source.hold(REPOSITORY, target);
    }
    const { reply, found } = await referrers(subject.digest, `?artifactType=${encodeURIComponent(SBOM)}`);
    expect(digestsOf(found)).toEqual([sbom.digest]);
    expect(reply.headers['oci-filters-applied']).toBe('artifactType');
  });

  test('is that of the config where a manifest names none', async () => {
    const old = artifact({ name: 'old' });
    source.hold(REPOSITORY, old);
    const type = encodeURIComponent('application/vnd.example.config+json');
    expect(digestsOf((await referrers(subject.digest, `?artifactType=${type}`)).found)).toEqual([old.digest]);
  });

  test.each(['', '?artifactType='])('is not asked for by %j', async (query) => {
    const both = [artifact({ name: 'sbom', artifactType: SBOM }), artifact({ name: 'sig' })];
    for (const target of both) source.hold(REPOSITORY, target);
    const { reply, found } = await referrers(subject.digest, query);
    expect(digestsOf(found)).toEqual(inOrder(...both));
    expect(reply.headers['oci-filters-applied']).toBeUndefined();
  });
});

test('a list that is longer than clients read goes on in pages', async () => {
  const long = 'x'.repeat(LIMITS.manifestBytes / 2 - 1000);
  const all = ['a', 'b', 'c', 'd', 'e'].map((name) =>
    artifact({ name, artifactType: SBOM, annotations: { long } }),
  );
  for (const target of [...all, artifact({ name: 'sig', artifactType: SIGNATURE })]) {
    source.hold('quay.io/team/app', target);
  }
  const pages: string[][] = [];
  const type = encodeURIComponent(SBOM);
  let next: string | undefined = `/v2/team/app/referrers/${subject.digest}?ns=quay.io&artifactType=${type}`;
  while (next !== undefined) {
    const reply = await ask(port, next);
    expect(Buffer.byteLength(reply.body)).toBeLessThanOrEqual(LIMITS.manifestBytes);
    const { manifests } = JSON.parse(reply.body) as { manifests: Descriptor[] };
    pages.push(digestsOf(manifests));
    next = nextTarget([reply.headers['link']?.toString() ?? '']);
  }
  expect(pages.map((page) => page.length)).toEqual([2, 2, 1]);
  expect(pages.flat()).toEqual(inOrder(...all));
});
