import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { putImage as putStoredImage } from '../../support/stored-image.js';
import { MEDIA_TYPES, parseDigest } from '../../../src/spec/index.js';
import { signature } from '../../support/signature-policies.js';
import { signingKey } from '../../support/signing-keys.js';
import { ask, errorCode, type Reply } from '../ask.js';
import { MARK, MirrorFixture, type UpstreamImage } from './mirror-fixture.js';

const OURS = signingKey();
const THEIRS = signingKey();

describe('a mirror under a signature policy', () => {
  let work: string;
  let policy: string;
  let mirror: MirrorFixture;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-gate-'));
    policy = join(work, 'policy.json');
    await writeFile(join(work, 'ours.pub'), OURS.pem);
    mirror = await MirrorFixture.start({ policy, ttlMs: 0 });
    await askForOurs();
  });
  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await rm(work, { recursive: true });
  });

  const write = (text: object): Promise<void> => writeFile(policy, JSON.stringify(text));
  const ours = (more: object = {}): object => signature({ keyPath: join(work, 'ours.pub'), ...more });
  const inRepository = (...requirements: object[]): object => ({
    default: [{ type: 'reject' }],
    transports: { docker: { [mirror.repository]: requirements } },
  });
  const askForOurs = (): Promise<void> => write(inRepository(ours()));
  const acceptAnything = (): Promise<void> => write(inRepository({ type: 'insecureAcceptAnything' }));
  const get = (rest: string, headers: Record<string, string> = {}): Promise<Reply> =>
    ask(mirror.port, mirror.path(rest), { headers });
  const outcome = async (rest: string): Promise<unknown[]> => {
    const answer = await get(rest);
    return answer.status === 200 ? [200] : [answer.status, errorCode(answer)];
  };
  const layersAsked = ({ layers }: UpstreamImage): number =>
    layers.reduce((sum, { digest }) => sum + mirror.upstream.asked(digest), 0);
  const pull = async (tag: string, { manifest, config, layers }: UpstreamImage): Promise<unknown[]> => {
    const paths = [
      `manifests/${tag}`,
      `manifests/${manifest.digest}`,
      ...[config, ...layers].map(({ digest }) => `blobs/${digest}`),
    ];
    const outcomes = [];
    for (const path of paths) outcomes.push((await get(path)).status);
    return outcomes;
  };
  const REFUSED = [403, 'DENIED'];

  it('gives an image that is signed, by tag and by digest, and its blobs', async () => {
    const image = mirror.image('1', { layers: 2 });
    await mirror.sign(image.manifest, OURS);
    expect(await pull('1', image)).toEqual([200, 200, 200, 200, 200]);
    await vi.waitFor(
      async () => expect(await mirror.store.images.get(`${mirror.repository}:1`)).toBeDefined(),
      { timeout: 30_000 },
    );
  });

  it.each([
    ['nobody has signed', () => Promise.resolve(), 'SIGNATURE_MISSING'],
    [
      'somebody else has signed',
      ({ manifest }: UpstreamImage) => mirror.sign(manifest, THEIRS),
      'SIGNATURE_INVALID',
    ],
    [
      'was signed for another repository',
      ({ manifest }: UpstreamImage) => mirror.sign(manifest, OURS, `${mirror.upstream.address}/team/other`),
      'SIGNATURE_INVALID',
    ],
  ])('refuses one that %s, with all of its blobs, and asks for none', async (_, sign, code) => {
    const image = mirror.image('1', { layers: 2 });
    await sign(image);
    const answer = await get('manifests/1');
    expect([answer.status, errorCode(answer)]).toEqual(REFUSED);
    const { errors } = JSON.parse(answer.body) as { errors: [{ message: string; detail: object }] };
    expect(errors[0].detail).toMatchObject({
      code,
      hint: expect.any(String) as string,
      policy,
      scope: `docker:${mirror.repository}`,
    });
    expect(errors[0].detail).not.toHaveProperty('tried');
    expect(errors[0].message).toContain(`${mirror.repository}:1`);
    expect(await pull('1', image)).toEqual([403, 403, 403, 403, 403]);
    expect(layersAsked(image)).toBe(0);
    expect(mirror.upstream.asked(image.config.digest)).toBe(0);
    expect(mirror.warnings[0]).toContain('is not given');
    expect(await mirror.store.images.list()).toEqual([]);
  });

  it('gives a blob to nobody who asks for it without a manifest', async () => {
    const image = mirror.image('1');
    await mirror.sign(image.manifest, OURS);
    const path = `blobs/${image.layers[0]?.digest ?? ''}`;
    expect(await outcome(path)).toEqual(REFUSED);
    expect(layersAsked(image)).toBe(0);
    expect(await outcome('manifests/1')).toEqual([200]);
    expect(await outcome(path)).toEqual([200]);
  });

  it('gives what is here already to nobody either before it is found to be signed', async () => {
    await acceptAnything();
    const image = mirror.image('1');
    expect(await pull('1', image)).toEqual([200, 200, 200, 200]);
    await vi.waitFor(
      async () => expect(await mirror.store.images.get(`${mirror.repository}:1`)).toBeDefined(),
      { timeout: 30_000 },
    );
    await askForOurs();
    expect(await pull('1', image)).toEqual([403, 403, 403, 403]);
    expect(await get(`blobs/${image.config.digest}`, { 'user-agent': MARK })).toMatchObject({ status: 404 });
    expect(await get('manifests/1', { 'user-agent': MARK })).toMatchObject({ status: 404 });
    await mirror.sign(image.manifest, OURS);
    expect(await pull('1', image)).toEqual([200, 200, 200, 200]);
    expect(await get('manifests/1', { 'user-agent': MARK })).toMatchObject({ status: 200 });
  });

  it('gives what came from an upstream under no other name either, unless an image of that name has it', async () => {
    await write({ default: [{ type: 'insecureAcceptAnything' }] });
    const image = mirror.image('1');
    const { manifest, config, layers } = image;
    const paths = [
      `manifests/${manifest.digest}`,
      ...[config, ...layers].map(({ digest }) => `blobs/${digest}`),
    ];
    const under = async (query: string): Promise<number[]> => {
      const answers = [];
      for (const path of paths) answers.push(await ask(mirror.port, `/v2/team/app/${path}${query}`));
      return answers.map(({ status }) => status);
    };
    expect(await pull('1', image)).toEqual([200, 200, 200, 200]);
    await vi.waitFor(
      async () => expect(await mirror.store.images.get(`${mirror.repository}:1`)).toBeDefined(),
      { timeout: 30_000 },
    );
    expect(await under('?ns=other.example')).toEqual([200, 200, 200]);
    await askForOurs();
    for (const query of ['', '?ns=other.example']) expect(await under(query)).toEqual([404, 404, 404]);
    const own = 'other.example/team/app:own';
    await mirror.store.images.put({
      name: own,
      target: { ...manifest, digest: parseDigest(manifest.digest) },
    });
    expect(await under('?ns=other.example')).toEqual([200, 200, 200]);
    await writeFile(policy, 'no policy');
    expect(await under('')).toEqual([404, 404, 404]);
  });

  it('asks for signatures once, and remembers them when it is started again', async () => {
    const image = mirror.image('1');
    await mirror.sign(image.manifest, OURS);
    await pull('1', image);
    await vi.waitFor(
      async () => expect(await mirror.store.images.get(`${mirror.repository}:1`)).toBeDefined(),
      { timeout: 30_000 },
    );
    await mirror.close();
    await mirror.open();
    const before = mirror.upstream.requests.length;
    expect(await pull('1', image)).toEqual([200, 200, 200, 200]);
    expect(mirror.upstream.requests.slice(before)).toEqual(['HEAD /v2/team/app/manifests/1']);
    await mirror.upstream.away();
    expect(await pull('1', image)).toEqual([200, 200, 200, 200]);
  });

  it('asks for nothing more where the policy asks for no signatures', async () => {
    await acceptAnything();
    const image = mirror.image('1');
    await pull('1', image);
    const paths = [image.config, ...image.layers].map(({ digest }) => `GET /v2/team/app/blobs/${digest}`);
    expect(mirror.upstream.requests).toEqual([
      'HEAD /v2/team/app/manifests/1',
      `GET /v2/team/app/manifests/${image.manifest.digest}`,
      ...paths,
    ]);
  });

  describe('of several platforms', () => {
    it('gives each where the index is signed', async () => {
      const [amd, arm] = [mirror.image(undefined), mirror.image(undefined, { platform: 'linux/arm64' })];
      const index = mirror.index('all', [amd, arm]);
      await mirror.sign(index, OURS);
      const before = mirror.upstream.requests.length;
      expect(await outcome('manifests/all')).toEqual([200]);
      // Nobody is asked for signatures of what it lists.
      expect(
        mirror.upstream.requests.slice(before).filter((line) => line.includes(amd.manifest.digest.slice(7))),
      ).toEqual([]);
      for (const image of [amd, arm]) expect(await pull('all', image)).toEqual([200, 200, 200, 200]);
    });

    it('gives only what is signed where the index is not', async () => {
      const [amd, arm] = [mirror.image(undefined), mirror.image(undefined, { platform: 'linux/arm64' })];
      mirror.index('all', [amd, arm]);
      await mirror.sign(arm.manifest, OURS);
      expect(await pull('all', amd)).toEqual([200, 403, 403, 403]);
      expect(await pull('all', arm)).toEqual([200, 200, 200, 200]);
      expect(layersAsked(amd)).toBe(0);
    });

    it('gives no index of which nothing is signed', async () => {
      const amd = mirror.image(undefined);
      mirror.index('all', [amd]);
      expect(await pull('all', amd)).toEqual([403, 403, 403, 403]);
    });

    it('gives the bytes of an unsigned manifest as a blob to nobody', async () => {
      const [amd, arm] = [mirror.image(undefined), mirror.image(undefined, { platform: 'linux/arm64' })];
      mirror.index('all', [amd, arm]);
      await mirror.sign(arm.manifest, OURS);
      expect(await pull('all', arm)).toEqual([200, 200, 200, 200]);
      await vi.waitFor(
        async () => expect(await mirror.store.images.get(`${mirror.repository}:all`)).toBeDefined(),
        { timeout: 30_000 },
      );
      expect(await outcome(`blobs/${amd.manifest.digest}`)).toEqual(REFUSED);
    });
  });

  it('holds what a signature says that it is for against the tag that was asked for', async () => {
    await write(inRepository(ours({ signedIdentity: { type: 'matchExact' } })));
    const image = mirror.image('1');
    mirror.upstream.tags.set('2', image.manifest.digest);
    await mirror.sign(image.manifest, OURS, `${mirror.repository}:1`);
    expect(await outcome('manifests/2')).toEqual(REFUSED);
    // By its digest too: the tag that it is signed for was not asked for.
    expect(await outcome(`manifests/${image.manifest.digest}`)).toEqual(REFUSED);
    expect(await pull('1', image)).toEqual([200, 200, 200, 200]);
    expect(await outcome('manifests/2')).toEqual(REFUSED);
  });

  it('gives what accompanies images, and the blobs of that', async () => {
    const image = mirror.image('1');
    const { manifest, blobs, tag } = await mirror.sign(image.manifest, OURS);
    expect(await outcome(`manifests/${tag}`)).toEqual([200]);
    expect(await outcome(`manifests/${manifest.digest}`)).toEqual([200]);
    for (const digest of blobs.keys())
      if (digest !== manifest.digest) expect(await outcome(`blobs/${digest}`)).toEqual([200]);
    const config = mirror.upstream.add(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json');
    const subject = image.manifest;
    const sbom = mirror.upstream.add(
      { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [], subject },
      MEDIA_TYPES.ociManifest,
    );
    mirror.upstream.referrers.set(image.manifest.digest, [sbom]);
    expect((await get(`referrers/${image.manifest.digest}`)).body).toContain(sbom.digest);
    expect(await outcome(`manifests/${sbom.digest}`)).toEqual([200]);
    expect(await outcome(`blobs/${config.digest}`)).toEqual([200]);
  });

  it.each(['1', `sha256-${'0'.repeat(64)}.sig`])(
    'takes no image for such because of a subject: %s',
    async (tag) => {
      const signed = mirror.image('signed');
      await mirror.sign(signed.manifest, OURS);
      const { layers, config } = mirror.image(undefined);
      const image = mirror.upstream.add(
        {
          schemaVersion: 2,
          mediaType: MEDIA_TYPES.ociManifest,
          config,
          layers,
          subject: { ...signed.manifest },
        },
        MEDIA_TYPES.ociManifest,
      );
      mirror.upstream.tags.set(tag, image.digest);
      mirror.upstream.referrers.set(signed.manifest.digest, [image]);
      expect(await outcome(`manifests/${tag}`)).toEqual(REFUSED);
      expect(await outcome(`manifests/${image.digest}`)).toEqual(REFUSED);
      await get(`referrers/${signed.manifest.digest}`);
      expect(await outcome(`blobs/${layers[0]?.digest ?? ''}`)).toEqual(REFUSED);
    },
  );

  it('gives no name to what it refuses, though all of it is here', async () => {
    const image = mirror.image('1');
    await mirror.sign(image.manifest, OURS);
    await pull('1', image);
    await vi.waitFor(
      async () => expect(await mirror.store.images.get(`${mirror.repository}:1`)).toBeDefined(),
      { timeout: 30_000 },
    );
    const { config, layers } = image;
    const annotations = { 'org.opencontainers.image.title': 'another' };
    const other = mirror.upstream.add(
      { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers, annotations },
      MEDIA_TYPES.ociManifest,
    );
    mirror.upstream.tags.set('2', other.digest);
    expect(await outcome('manifests/2')).toEqual(REFUSED);
    expect(await outcome(`manifests/${other.digest}`)).toEqual(REFUSED);
    await mirror.close();
    expect((await mirror.store.images.list()).map(({ name }) => name)).toEqual([`${mirror.repository}:1`]);
  });

  it('refuses what it does not understand', async () => {
    const old = { schemaVersion: 1, name: 'team/app', fsLayers: [] };
    const manifest = mirror.upstream.add(old, MEDIA_TYPES.dockerManifest);
    mirror.upstream.tags.set('old', manifest.digest);
    expect(await outcome('manifests/old')).toEqual(REFUSED);
    await acceptAnything();
    expect(await outcome('manifests/old')).toEqual([200]);
  });

  it('gives nothing else when a tag moves on to what is not signed', async () => {
    const first = mirror.image('1');
    await mirror.sign(first.manifest, OURS);
    expect(await pull('1', first)).toEqual([200, 200, 200, 200]);
    const second = mirror.image('1');
    expect(await outcome('manifests/1')).toEqual(REFUSED);
    expect(await outcome(`manifests/${second.manifest.digest}`)).toEqual(REFUSED);
    expect(await outcome(`manifests/${first.manifest.digest}`)).toEqual([200]);
  });

  it('refuses all with a policy that cannot be understood, and says where', async () => {
    const image = mirror.image('1');
    await mirror.sign(image.manifest, OURS);
    expect(await pull('1', image)).toEqual([200, 200, 200, 200]);
    await writeFile(policy, '{\n  "default": nothing\n}');
    const answer = await get('manifests/1');
    expect([answer.status, answer.body]).toEqual([403, expect.stringContaining(`${policy}:2:`) as string]);
    expect(await outcome(`blobs/${image.config.digest}`)).toEqual(REFUSED);
    await rm(policy);
    expect(await outcome('manifests/1')).toEqual(REFUSED);
  });

  it('says that the upstream is at fault where signatures cannot be asked for', async () => {
    const image = mirror.image('1');
    await mirror.sign(image.manifest, OURS);
    mirror.upstream.trouble = ({ url = '' }, response) => {
      if (!/\.sig|referrers/.test(url)) return false;
      response.writeHead(503).end();
      return true;
    };
    expect(await outcome('manifests/1')).toEqual([502, 'UNKNOWN']);
    expect(await outcome(`blobs/${image.config.digest}`)).toEqual(REFUSED);
    mirror.upstream.trouble = undefined;
    expect(await outcome('manifests/1')).toEqual([200]);
  });

  it('leaves what is not of an upstream as it is', async () => {
    await putStoredImage(mirror.store, 'registry.example/team/own:1', { layers: ['a'] });
    expect(await ask(mirror.port, '/v2/registry.example/team/own/manifests/1', {})).toMatchObject({
      status: 200,
    });
  });
});
