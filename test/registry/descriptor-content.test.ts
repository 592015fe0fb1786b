import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openStore } from '../../src/engine/store.js';
import { pull } from '../../src/engine/pull/pull.js';
import { type FetchOptions, type RegistryClientOptions } from '../../src/registry/index.js';
import {
  type Descriptor,
  digestOf,
  MEDIA_TYPES,
  parsePlatform,
  parseReference,
} from '../../src/spec/index.js';
import { hosts, mirrorAt, upstreamAt } from '../support/host-configs.js';
import { imageSteps } from '../support/image-steps.js';
import { blobOf, failure, fastClient, patterned } from '../support/registry-fixture.js';
import {
  errorReply,
  manifestReply,
  type Reply,
  ScriptedRegistry,
  type Step,
} from '../support/scripted-registry.js';
import { secret } from '../support/secrets.js';
import { makeTinyLayout } from '../support/tiny-image.js';

const REFERENCE = parseReference('registry.example/team/app:1');
const bytes = patterned(300_000);
const layer = blobOf(bytes);
const BLOB = `/v2/team/app/blobs/${layer.digest}`;

/** What a client fetches whose registry is `registry.example`, had there. */
async function fetched(
  registry: ScriptedRegistry,
  descriptor: Descriptor,
  options: FetchOptions & { client?: RegistryClientOptions } = {},
): Promise<Buffer> {
  const { client: clientOptions, ...fetchOptions } = options;
  await using client = fastClient({
    hosts: hosts(upstreamAt(registry.address)),
    foreignUrls: true,
    ...clientOptions,
  });
  return await buffer(await client.repository(REFERENCE).fetch(descriptor, fetchOptions));
}

describe('content that the descriptor carries itself', () => {
  const small = Buffer.from('{"architecture":"amd64"}');
  const carried = { ...blobOf(small), data: small.toString('base64') };

  it.each<[name: string, descriptor: Descriptor, options: FetchOptions, expected: Buffer]>([
    ['all of it', carried, {}, small],
    ['a part of it', carried, { offset: 5, length: 10 }, small.subarray(5, 15)],
    ['of a manifest', { ...carried, mediaType: MEDIA_TYPES.ociManifest }, {}, small],
  ])('is used without asking for it: %s', async (_name, descriptor, options, expected) => {
    await using registry = await ScriptedRegistry.start([]);
    expect((await fetched(registry, descriptor, options)).equals(expected)).toBe(true);
  });

  it.each<[name: string, code: string, descriptor: Descriptor]>([
    [
      'other bytes',
      'DIGEST_MISMATCH',
      { ...carried, data: Buffer.from('{"architecture":"riscv"}').toString('base64') },
    ],
    [
      'more bytes',
      'SIZE_MISMATCH',
      { ...carried, data: Buffer.from(`${small.toString()} `).toString('base64') },
    ],
    ['fewer bytes', 'SIZE_MISMATCH', { ...carried, data: small.subarray(1).toString('base64') }],
    ['another size', 'SIZE_MISMATCH', { ...carried, size: small.length + 1 }],
    ['no bytes', 'SIZE_MISMATCH', { ...carried, data: '' }],
  ])('is refused where it is not what the descriptor says: %s', async (_name, code, descriptor) => {
    await using registry = await ScriptedRegistry.start([]);
    const error = await failure(fetched(registry, descriptor));
    expect(error).toMatchObject({ code, details: { digest: descriptor.digest } });
    expect(error.message).toContain('descriptor carries');
  });
});

describe('a layer that registries may not keep', () => {
  const password = secret('registry-password');
  const foreign = (...urls: string[]): Descriptor => ({
    ...layer,
    mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    urls,
  });
  const lacking: Step = { on: `GET ${BLOB}`, ...errorReply(404, 'BLOB_UNKNOWN') };
  /** What no place but the registry may be shown. */
  const shownNothing = { authorization: undefined, 'x-team': undefined };
  const honest = (path: string): Step => ({ on: `GET ${path}`, expect: shownNothing, body: bytes });

  it('is had from the registry where it has it', async () => {
    await using elsewhere = await ScriptedRegistry.start([]);
    await using registry = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes }]);
    const body = await fetched(registry, foreign(`${elsewhere.origin}/layer`));
    expect(body.equals(bytes)).toBe(true);
  });

  it.each([
    'application/vnd.oci.image.layer.nondistributable.v1.tar',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  ])('is had from its URL where the registry lacks it: %s', async (mediaType) => {
    await using elsewhere = await ScriptedRegistry.start([honest('/layer?v=1')]);
    await using registry = await ScriptedRegistry.start([lacking]);
    const descriptor = { ...foreign(`${elsewhere.origin}/layer?v=1`), mediaType };
    expect((await fetched(registry, descriptor)).equals(bytes)).toBe(true);
  });

  it('is had from its URL after all hosts of the registry were asked', async () => {
    await using elsewhere = await ScriptedRegistry.start([honest('/layer')]);
    await using mirror = await ScriptedRegistry.start([
      { ...lacking, on: `${lacking.on}?ns=registry.example` },
    ]);
    await using registry = await ScriptedRegistry.start([lacking]);
    await using client = fastClient({
      hosts: hosts(mirrorAt(mirror.address), upstreamAt(registry.address)),
      foreignUrls: true,
    });
    const body = await buffer(await client.repository(REFERENCE).fetch(foreign(`${elsewhere.origin}/layer`)));
    expect(body.equals(bytes)).toBe(true);
    expect(client.events.map(({ host }) => host)).toEqual([
      mirror.address,
      registry.address,
      elsewhere.address,
    ]);
  });

  it.each<[name: string, bad: Reply & Pick<Step, 'times'>]>([
    ['lacks it', { status: 404 }],
    ['wants credentials', { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }],
    ['sends another length, twice', { body: bytes.subarray(1), times: 2 }],
    ['redirects to no web address', { status: 302, headers: { location: 'ftp://example/' } }],
  ])('is had from the next URL in order where one %s', async (_name, bad) => {
    await using elsewhere = await ScriptedRegistry.start([
      { on: 'GET /1', expect: shownNothing, ...bad },
      honest('/2'),
    ]);
    await using registry = await ScriptedRegistry.start([lacking]);
    const { origin } = elsewhere;
    const descriptor = foreign('ftp://example/0', 'no URL', `${origin}/1`, `${origin}/2`, `${origin}/3`);
    expect((await fetched(registry, descriptor)).equals(bytes)).toBe(true);
    expect([...new Set(elsewhere.lines())]).toEqual(['GET /1', 'GET /2']);
  });

  it('is asked for again at a URL that is not well', async () => {
    await using elsewhere = await ScriptedRegistry.start([
      { on: 'GET /layer', status: 503 },
      honest('/layer'),
    ]);
    await using registry = await ScriptedRegistry.start([lacking]);
    expect((await fetched(registry, foreign(`${elsewhere.origin}/layer`))).equals(bytes)).toBe(true);
  });

  it('is asked for at its URL without credentials or headers of the registry, though it is the same origin', async () => {
    const authorization = `Basic ${Buffer.from(`team:${password}`).toString('base64')}`;
    await using registry = await ScriptedRegistry.start([
      {
        on: `GET ${BLOB}`,
        expect: { authorization: undefined, 'x-team': 'blue' },
        status: 401,
        headers: { 'www-authenticate': 'Basic realm="registry"' },
      },
      { ...lacking, expect: { authorization, 'x-team': 'blue' } },
      honest('/layer'),
    ]);
    const body = await fetched(registry, foreign(`${registry.origin}/layer`), {
      client: {
        hosts: hosts(upstreamAt(registry.address, { headers: { 'x-team': 'blue' } })),
        credentials: () => Promise.resolve({ username: 'team', password }),
      },
    });
    expect(body.equals(bytes)).toBe(true);
  });

  it('goes on by a range at its URL', async () => {
    await using elsewhere = await ScriptedRegistry.start([
      { ...honest('/layer'), expect: { ...shownNothing, range: 'bytes=200000-299999' }, ranges: true },
    ]);
    // By its range, and as a whole.
    await using registry = await ScriptedRegistry.start([{ ...lacking, times: 2 }]);
    const body = await fetched(registry, foreign(`${elsewhere.origin}/layer`), { offset: 200_000 });
    expect(body.equals(bytes.subarray(200_000))).toBe(true);
    expect(elsewhere.sent.of('/layer')).toEqual([{ start: 200_000, end: 300_000 }]);
  });

  it('fails with what the registry said where no URL has it either', async () => {
    await using elsewhere = await ScriptedRegistry.start([{ on: 'GET /layer', status: 403 }]);
    await using registry = await ScriptedRegistry.start([lacking]);
    const error = await failure(fetched(registry, foreign(`${elsewhere.origin}/layer`)));
    expect(error).toMatchObject({ code: 'NOT_FOUND' });
    expect(error.message).toContain(registry.address);
  });

  it('is asked for nowhere else unless that was allowed, and the error says how', async () => {
    await using elsewhere = await ScriptedRegistry.start([]);
    await using registry = await ScriptedRegistry.start([lacking]);
    const client = { foreignUrls: undefined };
    const error = await failure(fetched(registry, foreign(`${elsewhere.origin}/layer`), { client }));
    expect(error).toMatchObject({
      code: 'NOT_FOUND',
      hint: expect.stringContaining('--foreign-urls') as string,
    });
    expect(elsewhere.requests).toEqual([]);
  });

  it('is what any other layer is not: its URLs are not asked', async () => {
    await using elsewhere = await ScriptedRegistry.start([]);
    await using registry = await ScriptedRegistry.start([lacking]);
    const descriptor = { ...layer, urls: [`${elsewhere.origin}/layer`] };
    expect(await failure(fetched(registry, descriptor))).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('is asked for nowhere else once the pull is broken off', async () => {
    await using elsewhere = await ScriptedRegistry.start([]);
    const controller = new AbortController();
    await using registry = await ScriptedRegistry.start([
      {
        on: `GET ${BLOB}`,
        reply: () => {
          controller.abort();
          return errorReply(404, 'BLOB_UNKNOWN');
        },
      },
    ]);
    const descriptor = foreign(`${elsewhere.origin}/layer`);
    const error = await failure(fetched(registry, descriptor, { signal: controller.signal }));
    expect(error).toMatchObject({ code: 'ABORTED' });
  });
});

describe('the media type of a manifest', () => {
  const oci = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(Buffer.from('{}')), size: 2 },
    layers: [],
  });
  const MANIFEST = '/v2/team/app/manifests/1';

  const resolved = async (reply: Reply): Promise<Descriptor> => {
    await using registry = await ScriptedRegistry.start([
      { on: `HEAD ${MANIFEST}`, status: 405 },
      { on: `GET ${MANIFEST}`, ...reply },
    ]);
    await using client = fastClient({ hosts: hosts(upstreamAt(registry.address)) });
    return await client.resolver().resolve(REFERENCE);
  };

  it.each([
    ['the same', MEDIA_TYPES.ociManifest],
    ['with parameters', `${MEDIA_TYPES.ociManifest}; charset=utf-8`],
    ['in other letters', 'Application/VND.oci.image.manifest.v1+JSON ;q=1'],
    ['one that says nothing', 'application/json'],
    ['one that says less', 'application/octet-stream'],
  ])('is that of its body, where Content-Type is %s', async (_name, contentType) => {
    expect(await resolved(manifestReply(oci, contentType))).toMatchObject({
      mediaType: MEDIA_TYPES.ociManifest,
    });
  });

  it.each([
    ['of another kind', MEDIA_TYPES.ociIndex],
    ['of another maker', MEDIA_TYPES.dockerManifest],
    ['of another kind, with parameters', `${MEDIA_TYPES.ociIndex}; charset=utf-8`],
  ])('is refused where Content-Type is %s', async (_name, contentType) => {
    const error = await failure(resolved(manifestReply(oci, contentType)));
    expect(error).toMatchObject({ code: 'INVALID_MANIFEST' });
    expect(error.message).toContain(contentType.replace(/;.*/, ''));
    expect(error.message).toContain(MEDIA_TYPES.ociManifest);
  });

  describe('that is pulled', () => {
    let work = '';
    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), 'landfall-media-type-'));
    });
    afterAll(() => rm(work, { recursive: true }));

    const pulled = async (contentType: (own: string) => string): Promise<unknown> => {
      const layout = await makeTinyLayout(await mkdtemp(join(work, 'layout-')));
      const { digest, mediaType } = layout.target;
      const body = layout.blobs.get(digest) ?? '';
      const first = ({ line }: { line: string }): Reply | undefined =>
        line.includes('/manifests/') ? manifestReply(body, contentType(mediaType), digest) : undefined;
      await using registry = await ScriptedRegistry.start(
        imageSteps(layout, { repository: 'team/app', tag: '1', first }),
      );
      await using client = fastClient({ hosts: hosts(upstreamAt(registry.address)) });
      await using store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
      const platform = parsePlatform('linux/amd64');
      const reference = 'registry.example/team/app:1';
      const result = await pull({ store, registry: client, reference, platform });
      expect(registry.lines()[0]).toBe('HEAD /v2/team/app/manifests/1');
      return result;
    };

    it.each<[name: string, contentType: (own: string) => string]>([
      ['the same', (own) => own],
      ['with parameters', (own) => `${own};charset=utf-8`],
      ['one that says nothing', () => 'application/json'],
    ])('may be told by Content-Type in other words: %s', async (_name, contentType) => {
      await pulled(contentType);
    });

    it.each([
      ['of another kind', MEDIA_TYPES.ociIndex],
      ['of another maker', MEDIA_TYPES.dockerManifest],
      ['of another kind, with parameters', `${MEDIA_TYPES.dockerList}; charset=utf-8`],
    ])('is refused where Content-Type is %s', async (_name, contentType) => {
      const error = await failure(pulled(() => contentType));
      expect(error).toMatchObject({ code: 'INVALID_MANIFEST' });
      expect(error.message).toContain(MEDIA_TYPES.ociManifest);
    });
  });
});
