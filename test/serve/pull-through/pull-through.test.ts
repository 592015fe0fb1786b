import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { listPartials } from '../../../src/content/index.js';
import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { fsck } from '../../../src/engine/upkeep/fsck.js';
import { MEDIA_TYPES } from '../../../src/spec/index.js';
import { ask, errorCode, type Reply } from '../ask.js';
import { MARK, MirrorFixture, type UpstreamImage } from './mirror-fixture.js';

describe('a mirror that is filled on demand', () => {
  let mirror: MirrorFixture;

  beforeEach(async () => {
    mirror = await MirrorFixture.start();
  });
  afterEach(() => mirror[Symbol.asyncDispose]());

  const get = (rest: string, headers: Record<string, string> = {}): Promise<Reply> =>
    ask(mirror.port, mirror.path(rest), { headers });
  const head = (rest: string): Promise<Reply> => ask(mirror.port, mirror.path(rest), { method: 'HEAD' });
  const named = async (name: string): Promise<string | undefined> =>
    (await mirror.store.images.get(`${mirror.repository}${name}`))?.target.digest;
  const sound = async (): Promise<unknown> => (await fsck(mirror.store)).problems;
  /** As a client pulls an image by a tag. */
  const pull = async (tag: string, { manifest, config, layers }: UpstreamImage): Promise<void> => {
    expect(await head(`manifests/${tag}`)).toMatchObject({ status: 200 });
    expect(await get(`manifests/${manifest.digest}`)).toMatchObject({ status: 200 });
    for (const { digest } of [config, ...layers]) {
      const { status, body } = await get(`blobs/${digest}`);
      expect([status, body]).toEqual([200, mirror.upstream.blobs.get(digest)?.toString('latin1')]);
    }
  };
  const whole = (name: string, digest: string): Promise<void> =>
    vi.waitFor(async () => expect(await named(name)).toBe(digest), { timeout: 30_000 });

  describe('by tag', () => {
    it('gives what the upstream has, and names it once all of it is here', async () => {
      const image = mirror.image('1', { layers: 2 });
      const { headers } = await head('manifests/1');
      expect(headers['docker-content-digest']).toBe(image.manifest.digest);
      expect(await named(':1')).toBeUndefined();
      await pull('1', image);
      await whole(':1', image.manifest.digest);
      expect(await sound()).toEqual([]);
    });

    it('asks again only after a while, and for nothing that is here', async () => {
      const image = mirror.image('1');
      await pull('1', image);
      await whole(':1', image.manifest.digest);
      const before = mirror.upstream.requests.length;
      await pull('1', image);
      expect(mirror.upstream.requests.slice(before)).toEqual([]);
    });

    it('brings what nobody has asked for too, once somebody has a layer', async () => {
      const image = mirror.image('1', { layers: 3 });
      await get('manifests/1');
      await get(`blobs/${image.layers[0]?.digest ?? ''}`);
      await whole(':1', image.manifest.digest);
      expect(image.layers.map(({ digest }) => mirror.upstream.asked(digest))).toEqual([1, 1, 1]);
      expect(await sound()).toEqual([]);
    });

    it('brings no layer where only documents were asked for', async () => {
      const image = mirror.image('1', { layers: 1 });
      await get('manifests/1');
      await get(`blobs/${image.config.digest}`);
      await mirror.close();
      expect(mirror.upstream.asked(image.layers[0]?.digest ?? '')).toBe(0);
      expect(await sound()).toEqual([]);
    });

    it('keeps what is not whole yet from being collected', async () => {
      const image = mirror.image('1', { layers: 2 });
      await get('manifests/1');
      await get(`blobs/${image.config.digest}`);
      await collectGarbage(mirror.store);
      await pull('1', image);
      await whole(':1', image.manifest.digest);
      expect(mirror.upstream.asked(image.config.digest)).toBe(1);
    });

    const lies: [name: string, head: Record<string, string> | number, byDigest: number | undefined][] = [
      ['is not implemented', 501, undefined],
      ['has a stale digest', { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }, undefined],
      ['has a wrong length', { 'content-length': '7777' }, undefined],
      ['is right, and manifests are had by tag alone', {}, 404],
    ];
    it.each(lies)('gives what GET has where HEAD %s', async (_name, lie, byDigest) => {
      const image = mirror.image('1');
      const bytes = mirror.upstream.blobs.get(image.manifest.digest) ?? Buffer.alloc(0);
      mirror.upstream.trouble = ({ method, url = '' }, response) => {
        const isByDigest = url.includes('/manifests/sha256:');
        if (isByDigest && byDigest !== undefined) response.writeHead(byDigest).end();
        else if (method !== 'HEAD' || isByDigest || !url.includes('/manifests/')) return false;
        else if (typeof lie === 'number') response.writeHead(lie).end();
        else {
          const headers = {
            'content-type': image.manifest.mediaType,
            'content-length': String(bytes.length),
            'docker-content-digest': image.manifest.digest,
          };
          response.writeHead(200, { ...headers, ...lie }).end();
        }
        return true;
      };
      await pull('1', image);
      await whole(':1', image.manifest.digest);
      expect(await sound()).toEqual([]);
    });

    it('says that a tag is unknown at the upstream', async () => {
      const answer = await get('manifests/none');
      expect([answer.status, errorCode(answer)]).toEqual([404, 'MANIFEST_UNKNOWN']);
    });
  });

  describe('by digest', () => {
    it('gives a manifest that no tag was asked for, and names it by its digest', async () => {
      const image = mirror.image(undefined);
      await get(`manifests/${image.manifest.digest}`);
      await get(`blobs/${image.config.digest}`);
      await get(`blobs/${image.layers[0]?.digest ?? ''}`);
      await whole(`@${image.manifest.digest}`, image.manifest.digest);
      expect(await sound()).toEqual([]);
    });

    it('gives a blob of which no manifest is here', async () => {
      const { digest } = mirror.upstream.add(randomBytes(100_000));
      const { status, headers } = await head(`blobs/${digest}`);
      expect([status, headers['content-length']]).toEqual([200, '100000']);
      expect(mirror.upstream.asked(digest)).toBe(0);
      expect(await get(`blobs/${digest}`)).toMatchObject({
        status: 200,
        body: mirror.upstream.blobs.get(digest)?.toString('latin1'),
      });
    });

    it('says that a blob is unknown at the upstream', async () => {
      const answer = await get(`blobs/sha256:${'0'.repeat(64)}`);
      expect([answer.status, errorCode(answer)]).toEqual([404, 'BLOB_UNKNOWN']);
    });
  });

  describe('of several platforms', () => {
    it('brings those that are asked for, each when it is', async () => {
      const [amd, arm] = [mirror.image(undefined), mirror.image(undefined, { platform: 'linux/arm64' })];
      const index = mirror.index('all', [amd, arm]);
      await get('manifests/all');
      expect(await named(':all')).toBeUndefined();
      await pull('all', amd);
      await whole(':all', index.digest);
      expect(mirror.upstream.asked(arm.layers[0]?.digest ?? '')).toBe(0);
      expect(await sound()).toEqual([]);
      await pull('all', arm);
      await vi.waitFor(
        async () => {
          expect((await mirror.store.manifests.get(arm.manifest.digest as never))?.platform).toBe(
            'linux/arm64',
          );
        },
        { timeout: 30_000 },
      );
      expect(await sound()).toEqual([]);
    });

    it('goes on with a further platform after it was ended', async () => {
      const [amd, arm] = [mirror.image(undefined), mirror.image(undefined, { platform: 'linux/arm64' })];
      const index = mirror.index('all', [amd, arm]);
      await get('manifests/all');
      await pull('all', amd);
      await whole(':all', index.digest);
      await mirror.close();
      await mirror.open();
      await pull('all', arm);
      await vi.waitFor(
        async () => {
          expect((await mirror.store.manifests.get(arm.manifest.digest as never))?.platform).toBe(
            'linux/arm64',
          );
        },
        { timeout: 30_000 },
      );
    });

    it('gives an index a second name at once, where a part of it is here', async () => {
      const amd = mirror.image(undefined);
      const index = mirror.index('all', [amd]);
      await get('manifests/all');
      await pull('all', amd);
      await whole(':all', index.digest);
      mirror.upstream.tags.set('too', index.digest);
      await head('manifests/too');
      await whole(':too', index.digest);
    });
  });

  describe('many at once', () => {
    it('are given one fetch, and its bytes before it has ended', async () => {
      const image = mirror.image('1');
      await get('manifests/1');
      const { digest = '', size = 0 } = image.layers[0] ?? {};
      const goOn = mirror.upstream.hold();
      const clients = await Promise.all(Array.from({ length: 8 }, () => mirror.begin(digest)));
      await Promise.all(clients.map((client) => client.received(100_000)));
      goOn();
      for (const client of clients) {
        const { bytes, whole: all } = await client.end();
        expect([all, bytes.length, bytes.equals(mirror.upstream.blobs.get(digest) ?? Buffer.of())]).toEqual([
          true,
          size,
          true,
        ]);
      }
      expect(mirror.upstream.asked(digest)).toBe(1);
    });

    it('ask for one manifest with one request', async () => {
      const image = mirror.image('1');
      const answers = await Promise.all(Array.from({ length: 8 }, () => get('manifests/1')));
      expect(new Set(answers.map(({ body }) => body)).size).toBe(1);
      const lines = mirror.upstream.requests;
      expect(lines.filter((line) => line.startsWith('HEAD'))).toHaveLength(1);
      expect(lines.filter((line) => line.includes(`/manifests/${image.manifest.digest}`))).toHaveLength(1);
    });

    it('may give one image several names', async () => {
      const image = mirror.image('1');
      for (const tag of ['2', '3', '4']) mirror.upstream.tags.set(tag, image.manifest.digest);
      await Promise.all(['1', '2', '3', '4'].map((tag) => pull(tag, image)));
      for (const tag of ['1', '2', '3', '4']) await whole(`:${tag}`, image.manifest.digest);
      expect(mirror.upstream.asked(image.layers[0]?.digest ?? '')).toBe(1);
    });

    it('are not stopped by one that goes away', async () => {
      const { layers } = mirror.image('1');
      await get('manifests/1');
      const { digest = '' } = layers[0] ?? {};
      const goOn = mirror.upstream.hold();
      const [leaves, stays] = [await mirror.begin(digest), await mirror.begin(digest)];
      await leaves.received(1);
      leaves.leave();
      await leaves.end();
      goOn();
      expect(await stays.end()).toMatchObject({ whole: true });
      expect(mirror.upstream.asked(digest)).toBe(1);
    });

    it('may ask for parts of what is on its way', async () => {
      const { layers } = mirror.image('1');
      await get('manifests/1');
      const { digest = '' } = layers[0] ?? {};
      const body = mirror.upstream.blobs.get(digest) ?? Buffer.of();
      const goOn = mirror.upstream.hold();
      const all = await mirror.begin(digest);
      const early = await mirror.begin(digest, { range: 'bytes=1000-1999' });
      // Nothing of it is here, not even its head.
      const late = mirror.begin(digest, { range: 'bytes=390000-' });
      expect([early.status, early.headers['content-range']]).toEqual([206, 'bytes 1000-1999/400000']);
      expect((await early.end()).bytes.equals(body.subarray(1000, 2000))).toBe(true);
      goOn();
      expect((await (await late).end()).bytes.equals(body.subarray(390_000))).toBe(true);
      expect(await all.end()).toMatchObject({ whole: true });
      expect(mirror.upstream.asked(digest)).toBe(1);
    });
  });

  describe('what breaks off', () => {
    it('is kept when nobody wants it any more, and gone on with', async () => {
      const { layers } = mirror.image('1');
      await get('manifests/1');
      const { digest = '' } = layers[0] ?? {};
      const goOn = mirror.upstream.hold();
      const client = await mirror.begin(digest);
      await client.received(100_000);
      client.leave();
      await vi.waitFor(() => expect(mirror.upstream.cut).toBe(1), { timeout: 30_000 });
      await vi.waitFor(
        async () => {
          const [partial] = await listPartials(mirror.store.root);
          expect(partial).toMatchObject({ digest, bytes: 200_000, inFlight: false });
        },
        { timeout: 30_000 },
      );
      goOn();
      expect((await (await mirror.begin(digest)).end()).whole).toBe(true);
      expect(mirror.upstream.requests.at(-1)).toMatch(/ bytes=200000-/);
    });

    it('is resumed by a mirror that begins anew', async () => {
      const { layers } = mirror.image('1');
      await get('manifests/1');
      const { digest = '' } = layers[0] ?? {};
      const goOn = mirror.upstream.hold();
      const client = await mirror.begin(digest);
      await client.received(100_000);
      await mirror.close();
      expect(await client.end()).toMatchObject({ whole: false });
      await mirror.open();
      const again = await mirror.begin(digest);
      // Of what came before, bytes are given while the rest is waited for.
      await again.received(100_000);
      goOn();
      expect(await again.end()).toMatchObject({ whole: true });
      expect(mirror.upstream.requests.filter((line) => line.includes('bytes=200000-'))).toHaveLength(1);
    });

    it('goes on where the upstream comes back in time', async () => {
      const { layers } = mirror.image('1');
      await get('manifests/1');
      const { digest = '' } = layers[0] ?? {};
      mirror.upstream.hold();
      const client = await mirror.begin(digest);
      await client.received(100_000);
      await mirror.upstream.away();
      const goOn = mirror.upstream.hold();
      await mirror.upstream.listen();
      goOn();
      const { bytes, whole: all } = await client.end();
      expect([all, bytes.equals(mirror.upstream.blobs.get(digest) ?? Buffer.of())]).toEqual([true, true]);
    });

    it('breaks the connections of all, where it stays away', async () => {
      const { layers } = mirror.image('1');
      await get('manifests/1');
      const { digest = '' } = layers[0] ?? {};
      mirror.upstream.hold();
      const clients = [await mirror.begin(digest), await mirror.begin(digest)];
      for (const client of clients) await client.received(1);
      await mirror.upstream.away();
      for (const client of clients) expect(await client.end()).toMatchObject({ whole: false });
      expect(await sound()).toEqual([]);
    });
  });

  describe('wrong bytes', () => {
    const damage = (digest: string): void => {
      const body = Buffer.from(mirror.upstream.blobs.get(digest) ?? Buffer.of());
      body[10] = (body[10] ?? 0) ^ 0xff;
      mirror.upstream.blobs.set(digest, body);
    };

    it('are never given as a whole', async () => {
      const { layers, manifest } = mirror.image('1');
      await get('manifests/1');
      const { digest = '', size = 0 } = layers[0] ?? {};
      damage(digest);
      const clients = await Promise.all([1, 2, 3].map(() => mirror.begin(digest)));
      for (const client of clients) {
        const { bytes, whole: all } = await client.end();
        expect([all, bytes.length < size]).toEqual([false, true]);
      }
      expect(await mirror.store.content.info(digest as never)).toBeUndefined();
      expect(await named(':1')).toBeUndefined();
      expect(await mirror.store.manifests.get(manifest.digest as never)).toBeUndefined();
    });

    it('of a small blob are refused with a status', async () => {
      const { config } = mirror.image('1');
      await get('manifests/1');
      damage(config.digest);
      expect(await get(`blobs/${config.digest}`)).toMatchObject({ status: 502 });
    });

    it.each<[name: string, wrong: (body: Buffer) => Buffer]>([
      ['flipped', (body): Buffer => Buffer.from(body.map((byte, at) => (at === 10 ? byte ^ 0xff : byte)))],
      ['too many', (body): Buffer => Buffer.concat([body, body])],
    ])('of a small blob, %s once, are asked for once more', async (_name, wrong) => {
      const { config } = mirror.image('1');
      await get('manifests/1');
      const right = mirror.upstream.blobs.get(config.digest) ?? Buffer.of();
      let asked = 0;
      mirror.upstream.trouble = ({ url = '' }, response): boolean => {
        if (!url.includes(config.digest)) return false;
        asked += 1;
        if (asked === 1) response.write(wrong(right), () => response.end());
        return asked === 1;
      };
      const answer = await get(`blobs/${config.digest}`);
      expect(answer.status).toBe(200);
      expect(answer.body).toBe(String(right));
      expect(asked).toBe(2);
    });

    it('of a manifest are refused', async () => {
      const { manifest } = mirror.image('1');
      damage(manifest.digest);
      expect(await get('manifests/1')).toMatchObject({ status: 502 });
    });
  });

  describe('what the upstream refuses', () => {
    it.each([
      [401, {}, 403, 'DENIED'],
      [403, {}, 403, 'DENIED'],
      [404, {}, 404, 'MANIFEST_UNKNOWN'],
      [429, { 'retry-after': '77' }, 429, 'TOOMANYREQUESTS'],
      [500, {}, 502, 'UNKNOWN'],
    ])('with %d', async (upstream, headers, status, code) => {
      mirror.image('1');
      mirror.upstream.trouble = (_request, response): boolean => {
        response.writeHead(upstream, headers).end();
        return true;
      };
      const answer = await get('manifests/1');
      expect([answer.status, errorCode(answer)]).toEqual([status, code]);
      expect(answer.headers['retry-after']).toBe(upstream === 429 ? '77' : undefined);
      expect(answer.headers['www-authenticate']).toBeUndefined();
    });

    it('is told of a blob too', async () => {
      const { layers } = mirror.image('1');
      await get('manifests/1');
      mirror.upstream.trouble = (_request, response): boolean => {
        response.writeHead(429, { 'retry-after': '77' }).end();
        return true;
      };
      const answer = await get(`blobs/${layers[0]?.digest ?? ''}`);
      expect([answer.status, errorCode(answer)]).toEqual([429, 'TOOMANYREQUESTS']);
    });
  });

  describe('without its upstream', () => {
    it('gives what is here, and says so where that is of a tag', async () => {
      await mirror[Symbol.asyncDispose]();
      mirror = await MirrorFixture.start({ ttlMs: 0 });
      const image = mirror.image('1');
      await pull('1', image);
      await whole(':1', image.manifest.digest);
      await mirror.upstream.away();
      await mirror.close();
      await mirror.open();
      const answer = await get('manifests/1');
      expect(answer).toMatchObject({
        status: 200,
        headers: { 'docker-content-digest': image.manifest.digest },
      });
      expect(answer.headers.warning).toMatch(/^299 - ".* as it was last seen here/);
      expect(mirror.warnings).toHaveLength(1);
      expect(await get(`blobs/${image.layers[0]?.digest ?? ''}`)).toMatchObject({ status: 200 });
      expect((await get(`manifests/${image.manifest.digest}`)).headers.warning).toBeUndefined();
    });

    it('gives what is whole rather than what the tag led to last', async () => {
      await mirror[Symbol.asyncDispose]();
      mirror = await MirrorFixture.start({ ttlMs: 0 });
      const first = mirror.image('1');
      await pull('1', first);
      await whole(':1', first.manifest.digest);
      mirror.image('1');
      await head('manifests/1');
      await mirror.upstream.away();
      expect((await head('manifests/1')).headers['docker-content-digest']).toBe(first.manifest.digest);
    });

    it('cannot give what is not', async () => {
      mirror.image('1');
      await mirror.upstream.away();
      expect(await get('manifests/1')).toMatchObject({ status: 502 });
      expect(await get(`manifests/sha256:${'0'.repeat(64)}`)).toMatchObject({ status: 502 });
      expect(await get(`blobs/sha256:${'0'.repeat(64)}`)).toMatchObject({ status: 502 });
    });
  });

  it('follows a tag that moves, and gives it its name once the new image is whole', async () => {
    await mirror[Symbol.asyncDispose]();
    mirror = await MirrorFixture.start({ ttlMs: 0 });
    const first = mirror.image('1');
    await pull('1', first);
    await whole(':1', first.manifest.digest);
    const second = mirror.image('1');
    expect((await head('manifests/1')).headers['docker-content-digest']).toBe(second.manifest.digest);
    expect(await named(':1')).toBe(first.manifest.digest);
    await pull('1', second);
    await whole(':1', second.manifest.digest);
  });

  it('does not give a tag the image that it led to in between', async () => {
    await mirror[Symbol.asyncDispose]();
    mirror = await MirrorFixture.start({ ttlMs: 0 });
    const first = mirror.image('1');
    await pull('1', first);
    await whole(':1', first.manifest.digest);
    const second = mirror.image('1');
    await head('manifests/1');
    mirror.upstream.tags.set('1', first.manifest.digest);
    await head('manifests/1');
    await get(`manifests/${second.manifest.digest}`);
    for (const { digest } of [second.config, ...second.layers]) await get(`blobs/${digest}`);
    await vi.waitFor(
      async () => {
        expect(await mirror.store.manifests.get(second.manifest.digest as never)).toBeDefined();
      },
      { timeout: 30_000 },
    );
    expect(await named(':1')).toBe(first.manifest.digest);
  });

  it('asks no registry that it was not told of', async () => {
    await mirror[Symbol.asyncDispose]();
    mirror = await MirrorFixture.start({ upstreams: ['docker.io'] });
    mirror.image('1');
    expect(await get('manifests/1')).toMatchObject({ status: 404 });
    expect(mirror.upstream.requests).toEqual([]);
  });

  it('answers itself from what is here, should its own hosts lead back to it', async () => {
    mirror.image('1');
    const answer = await get('manifests/1', { 'user-agent': `landfall ${MARK}` });
    expect(answer.status).toBe(404);
    expect(mirror.upstream.requests).toEqual([]);
  });

  it('lists the tags that the upstream has, and those that are here', async () => {
    const image = mirror.image('1');
    mirror.image('2');
    await pull('1', image);
    await whole(':1', image.manifest.digest);
    mirror.upstream.tags.delete('1');
    expect(JSON.parse((await get('tags/list')).body)).toMatchObject({ tags: ['1', '2'] });
    await mirror.close();
    await mirror.upstream.away();
    await mirror.open();
    const away = await get('tags/list');
    expect(JSON.parse(away.body)).toMatchObject({ tags: ['1'] });
    expect(away.headers.warning).toContain('only those are listed that are here');
  });

  it('lists what refers to an image at the upstream, and brings it', async () => {
    const image = mirror.image('1');
    const signature = mirror.upstream.add(
      {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
        config: mirror.upstream.add(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json'),
        layers: [],
        subject: image.manifest,
      },
      MEDIA_TYPES.ociManifest,
    );
    const lost = { ...signature, digest: `sha256:${'0'.repeat(64)}` };
    mirror.upstream.referrers.set(image.manifest.digest, [lost, signature]);
    const { body, headers } = await get(`referrers/${image.manifest.digest}`);
    expect(headers.warning).toContain('only those are listed that are here');
    expect(JSON.parse(body)).toMatchObject({
      manifests: [
        { digest: signature.digest, artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json' },
      ],
    });
    expect(await get(`manifests/${signature.digest}`)).toMatchObject({ status: 200 });
  });

  it('notes that an image is used', async () => {
    const image = mirror.image('1');
    await pull('1', image);
    await whole(':1', image.manifest.digest);
    await mirror.store.database.run('UPDATE images SET used_at = 0');
    await mirror.close();
    await mirror.open();
    const usedAt = async (): Promise<number | undefined> =>
      (await mirror.store.images.get(`${mirror.repository}:1`))?.usedAt.getTime();
    await head('manifests/1');
    expect(await usedAt()).toBeGreaterThan(0);
    await mirror.store.database.run('UPDATE images SET used_at = 0');
    await head(`manifests/${image.manifest.digest}`);
    expect(await usedAt()).toBeGreaterThan(0);
  });
});
