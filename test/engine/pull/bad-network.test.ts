import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openStore, type Store } from '../../../src/engine/store.js';
import { pull } from '../../../src/engine/pull/pull.js';
import { PullBudget } from '../../../src/engine/pull/pull-budget.js';
import type { RegistryClientOptions } from '../../../src/registry/index.js';
import { parsePlatform } from '../../../src/spec/index.js';
import { DEAD_ADDRESS, hosts, mirrorAt, upstreamAt } from '../../support/host-configs.js';
import { imageSteps } from '../../support/image-steps.js';
import { makeLayeredLayout } from '../../support/layered-image.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { type Reply, ScriptedRegistry, type SeenRequest } from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

const MEBIBYTE = 1024 * 1024;
const reference = 'registry.example/team/app:1';
const image = { repository: 'team/app', tag: '1' };
const mirrored = { ...image, query: '?ns=registry.example' };
const platform = parsePlatform('linux/amd64');

describe('a pull over a bad network', () => {
  let work: string;
  let store: Store;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-network-'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));
  beforeEach(async () => {
    store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    return () => store.close();
  });

  const layers = async (count: number, fileBytes: number): Promise<TinyLayout> =>
    await makeLayeredLayout(await mkdtemp(join(work, 'layout-')), { layers: count, files: 1, fileBytes });

  /** Which bytes of each blob all of these sent, one or the other. */
  const sentTwice = (layout: TinyLayout, ...registries: ScriptedRegistry[]): number =>
    [...layout.blobs.keys()].reduce((sum, digest) => {
      const ranges = registries
        .flatMap((registry) => registry.sent.of(`/v2/team/app/blobs/${digest}`))
        .sort((a, b) => a.start - b.start);
      let reached = 0;
      let twice = 0;
      for (const { start, end } of ranges) {
        twice += Math.max(0, Math.min(end, reached) - start);
        reached = Math.max(reached, end);
      }
      return sum + twice;
    }, 0);

  it('with three mirrors, one dead, one that stalls after 1 MB and one well', async () => {
    const layout = await layers(20, 1.5 * MEBIBYTE);
    const isBlob = ({ line }: SeenRequest): boolean => line.includes('/blobs/');
    await using stalling = await ScriptedRegistry.start(
      imageSteps(layout, { ...mirrored, blobs: { ranges: true, stallAfter: 1_000_000 } }),
    );
    await using well = await ScriptedRegistry.start(imageSteps(layout, mirrored));
    await using upstream = await ScriptedRegistry.start([]);
    await using client = fastClient({
      hosts: hosts(
        mirrorAt(DEAD_ADDRESS),
        mirrorAt(stalling.address),
        mirrorAt(well.address),
        upstreamAt(upstream.address),
      ),
      failover: { windowMs: 500 },
    });
    const result = await pull({ store, registry: client, reference, platform });
    expect(result.layers).toHaveLength(20);
    const toTheDead = client.events.filter(({ host }) => host === DEAD_ADDRESS);
    expect(toTheDead.length).toBeLessThanOrEqual(2);
    // Manifests are small and come whole; what is wasted are the layers that stall.
    const config = layout.manifests[0].config.digest;
    const stalled = stalling.requests.filter((request) => isBlob(request) && !request.line.includes(config));
    expect(stalled.length).toBeGreaterThan(0);
    expect(stalled.length).toBeLessThanOrEqual(2);
    expect(sentTwice(layout, stalling, well)).toBe(0);
    expect(result.bytesDownloaded).toBe(
      [...layout.blobs.values()].reduce((sum, { length }) => sum + length, 0),
    );
  });

  it.each([
    ['over several connections where it would take long over one', { bytes: 300_000, rate: 60_000 }],
    ['over one where little is left', { bytes: 300_000, rate: 600_000 }],
  ])('brings a small layer of a slow host %s', async (_, { bytes, rate }) => {
    const layout = await layers(1, bytes);
    await using upstream = await ScriptedRegistry.start(
      imageSteps(layout, { ...image, blobs: { ranges: true, bytesPerSecond: rate } }),
    );
    await using client = fastClient({ hosts: hosts(upstreamAt(upstream.address)) });
    await pull({ store, registry: client, reference, platform });
    const layer = layout.manifests[0].layers[0]?.digest ?? '';
    const asked = upstream.lines().filter((line) => line.includes(layer));
    if (bytes / rate > 2) expect(asked.length).toBeGreaterThan(1);
    else expect(asked).toHaveLength(1);
  });

  it('with a registry that answers 429 with Retry-After to every third request', async () => {
    const layout = await layers(6, 10_000);
    let count = 0;
    const refused: { line: string; at: number }[] = [];
    await using upstream = await ScriptedRegistry.start(
      imageSteps(layout, {
        ...image,
        first: (request): Reply | undefined => {
          count += 1;
          if (count % 3 !== 0) return undefined;
          refused.push({ line: request.line, at: request.at });
          return { status: 429, headers: { 'retry-after': '1' } };
        },
      }),
    );
    await using client = fastClient({ hosts: hosts(upstreamAt(upstream.address)), retry: {} });
    await pull({ store, registry: client, reference, platform });
    expect(refused.length).toBeGreaterThan(1);
    for (const { at } of refused) {
      const next = upstream.requests.filter((request) => request.at > at).map((request) => request.at - at);
      // Requests that were under way when it was refused are no breach.
      const later = next.filter((pause) => pause > 100);
      expect(Math.min(...later)).toBeGreaterThanOrEqual(995);
      expect(next.length - later.length).toBeLessThan(4);
    }
  });

  it('with a connection that is cut after every 256 KiB', async () => {
    const content = randomBytes(64 * MEBIBYTE);
    const layout = await makeTinyLayout(await mkdtemp(join(work, 'layout-')), {
      layers: [[{ path: 'big', content }]],
      compression: 'none',
    });
    await using upstream = await ScriptedRegistry.start(
      imageSteps(layout, { ...image, blobs: { ranges: true, cutEvery: 256 * 1024 } }),
    );
    await using client = fastClient({ hosts: hosts(upstreamAt(upstream.address)) });
    const result = await pull({ store, registry: client, reference, platform });
    const [layer] = layout.manifests[0].layers;
    expect(result.layers[0]?.digest).toBe(layer?.digest);
    const cuts = upstream.sent.of(`/v2/team/app/blobs/${layer?.digest ?? ''}`).length;
    expect(cuts).toBeGreaterThanOrEqual(256);
    expect(sentTwice(layout, upstream)).toBeLessThanOrEqual(cuts * 64 * 1024);
  });

  it('with a token that expires after 2 s, for 10 s', async () => {
    const layout = await layers(10, 100_000);
    const given = new Map<string, number>();
    await using tokens = await ScriptedRegistry.start([
      {
        on: 'GET /token*',
        times: 'any',
        reply: () => {
          const token = secret(`pull-token-${given.size}-of-this-run`);
          given.set(token, performance.now());
          return { body: JSON.stringify({ token, expires_in: 2 }) };
        },
      },
    ]);
    const begun = performance.now();
    await using upstream = await ScriptedRegistry.start(
      imageSteps(layout, {
        ...image,
        blobs: { ranges: true, bytesPerSecond: 100_000 },
        first: ({ headers, at }): Reply | undefined => {
          const issued = given.get(headers.authorization?.replace('Bearer ', '') ?? '');
          if (issued !== undefined && at - issued < 2000) return undefined;
          return { status: 401, headers: { 'www-authenticate': `Bearer realm="${tokens.origin}/token"` } };
        },
      }),
    );
    await using client = fastClient({ hosts: hosts(upstreamAt(upstream.address)) });
    await pull({ store, registry: client, reference, platform, budget: new PullBudget({ concurrency: 1 }) });
    expect(performance.now() - begun).toBeGreaterThan(10_000);
    expect(given.size).toBeGreaterThanOrEqual(4);
    // One for each time that the last one had run out, not one for each request.
    expect(given.size).toBeLessThan(10);
  });

  it('with mirrors that send wrong bytes, which are not trusted again', async () => {
    const layout = await layers(3, 200_000);
    const [layer] = layout.manifests[0].layers;
    const wrong =
      (digest: string | undefined) =>
      (request: SeenRequest): Reply | undefined => {
        const body = layer === undefined ? undefined : layout.blobs.get(layer.digest);
        return digest !== undefined && request.line.includes(digest) && body !== undefined
          ? { body, ranges: true, corrupt: 150_000 }
          : undefined;
      };
    await using first = await ScriptedRegistry.start(
      imageSteps(layout, { ...mirrored, first: wrong(layer?.digest) }),
    );
    await using second = await ScriptedRegistry.start(
      imageSteps(layout, { ...mirrored, first: wrong(layer?.digest) }),
    );
    await using upstream = await ScriptedRegistry.start(imageSteps(layout, image));
    await using client = fastClient({
      hosts: hosts(mirrorAt(first.address), mirrorAt(second.address), upstreamAt(upstream.address)),
    });
    const result = await pull({ store, registry: client, reference, platform });
    expect(result.layers).toHaveLength(3);
    const asked = upstream.lines().filter((line) => line.includes(layer?.digest ?? ''));
    expect(asked).toHaveLength(1);
  });

  it('with nobody who sends the right bytes, which is said plainly', async () => {
    const layout = await layers(2, 200_000);
    const [layer] = layout.manifests[0].layers;
    const first = (request: SeenRequest): Reply | undefined => {
      const body = layer === undefined ? undefined : layout.blobs.get(layer.digest);
      return request.line.includes(layer?.digest ?? '') && body !== undefined
        ? { body, ranges: true, corrupt: 150_000 }
        : undefined;
    };
    await using mirror = await ScriptedRegistry.start(imageSteps(layout, { ...mirrored, first }));
    await using upstream = await ScriptedRegistry.start(imageSteps(layout, { ...image, first }));
    await using client = fastClient({ hosts: hosts(mirrorAt(mirror.address), upstreamAt(upstream.address)) });
    const error = await failure(pull({ store, registry: client, reference, platform }));
    expect(error).toMatchObject({ code: 'DIGEST_MISMATCH', details: { expected: layer?.digest } });
  });
});

describe('a large blob', () => {
  let work: string;
  let layout: TinyLayout;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-parts-'));
    layout = await makeTinyLayout(join(work, 'layout'), {
      layers: [[{ path: 'big', content: randomBytes(70 * MEBIBYTE) }]],
      compression: 'none',
    });
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  const pulled = async (
    blobs: Reply,
    options: RegistryClientOptions & { concurrency?: number } = {},
  ): Promise<{
    ranges: (string | undefined)[];
    twice: number;
    total: number;
    most: number;
    surplus: number;
  }> => {
    const { digest = '', size = 0 } = layout.manifests[0].layers[0] ?? {};
    const path = `/v2/team/app/blobs/${digest}`;
    await using upstream = await ScriptedRegistry.start(imageSteps(layout, { ...image, blobs }));
    await using client = fastClient({ hosts: hosts(upstreamAt(upstream.address)), ...options });
    await using store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    const { concurrency = 4 } = options;
    const budget = new PullBudget({ concurrency });
    const { bytesDownloaded } = await pull({ store, registry: client, reference, platform, budget });
    const asked = upstream.requests.filter(({ line }) => line.endsWith(path));
    const ranges = upstream.sent.of(path);
    return {
      ranges: asked.map(({ headers }) => headers.range),
      twice: upstream.sent.twice(path).reduce((sum, { start, end }) => sum + end - start, 0),
      total: ranges.reduce((sum, { start, end }) => sum + end - start, 0),
      most: upstream.connections,
      surplus: bytesDownloaded - size,
    };
  };
  /**
   * What a connection may have read at once when another one had begun where it was to end; and manifests.
   */
  const AT_ONCE = 2 * MEBIBYTE;

  it('comes over several connections where one is slow, each byte once', async () => {
    const { ranges, most, surplus } = await pulled({ ranges: true, bytesPerSecond: 16 * MEBIBYTE });
    const [first, ...others] = ranges;
    expect(first).toBeUndefined();
    expect(others).not.toEqual([]);
    expect(others.every((range) => range?.startsWith('bytes='))).toBe(true);
    expect(most).toBeGreaterThan(1);
    expect(surplus).toBeLessThan(ranges.length * AT_ONCE);
  });

  it('comes in one piece from a host that ignores ranges, which is found out once', async () => {
    const { ranges, twice, surplus } = await pulled({ ranges: 'ignored', bytesPerSecond: 16 * MEBIBYTE });
    const [first, ...others] = ranges;
    expect(first).toBeUndefined();
    expect(others.length).toBeLessThan(2);
    expect(twice).toBeLessThan(AT_ONCE);
    expect(surplus).toBeLessThan(AT_ONCE);
  });

  it('comes whole from a host that answers shorter parts', async () => {
    const { ranges, surplus } = await pulled({ ranges: 'short', bytesPerSecond: 16 * MEBIBYTE });
    expect(ranges.length).toBeGreaterThan(2);
    expect(surplus).toBeLessThan(ranges.length * AT_ONCE);
  });

  it('comes whole from a host that answers other ranges than were asked for', async () => {
    await pulled({ ranges: 'wrong' });
  });

  it('comes whole where the host that takes over ignores ranges, and not several times', async () => {
    const bytesPerSecond = 32 * MEBIBYTE;
    let blobs = 0;
    const first = ({ line }: SeenRequest): Reply | undefined => {
      if (line.includes(layout.manifests[0].layers[0]?.digest ?? '')) blobs += 1;
      return blobs > 1 ? { status: 503 } : undefined;
    };
    await using mirror = await ScriptedRegistry.start(
      imageSteps(layout, { ...mirrored, first, blobs: { ranges: true, bytesPerSecond } }),
    );
    await using upstream = await ScriptedRegistry.start(
      imageSteps(layout, { ...image, blobs: { ranges: 'ignored', bytesPerSecond } }),
    );
    await using client = fastClient({ hosts: hosts(mirrorAt(mirror.address), upstreamAt(upstream.address)) });
    await using store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    await pull({ store, registry: client, reference, platform });
    expect(upstream.sent.total()).toBeLessThan(2 * 70 * MEBIBYTE);
  });

  describe('of which a part arrived before', () => {
    const total = 70 * MEBIBYTE;
    it.each<[string, [start: number, end: number][], [start: number, end: number][]]>([
      ['the start', [[0, 50]], [[50, 70.5]]],
      ['pieces with large gaps', [[0, 5], [20, 30]], [[5, 20], [30, 70.5]]], // prettier-ignore
      ['pieces with small gaps', [[1, 30], [31, 60]], [[0, 1], [30, 31], [60, 70.5]]], // prettier-ignore
      ['the end', [[60, 70]], [[0, 60], [70, 70.5]]], // prettier-ignore
    ])('comes without what is here, and each byte once: %s', async (_, here, asked) => {
      const [layer] = layout.manifests[0].layers;
      if (layer === undefined) throw new Error('no layer');
      const bytes = layout.blobs.get(layer.digest) ?? Buffer.alloc(0);
      expect(bytes.length).toBeGreaterThan(total);
      const path = `/v2/team/app/blobs/${layer.digest}`;
      // prettier-ignore
      await using upstream = await ScriptedRegistry.start(imageSteps(layout, { ...image, blobs: { ranges: true } }));
      await using client = fastClient({ hosts: hosts(upstreamAt(upstream.address)) });
      await using store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
      for (const [start, end] of here) {
        await using writer = await store.content.ingest(layer);
        await writer?.write(start * MEBIBYTE, bytes.subarray(start * MEBIBYTE, end * MEBIBYTE));
      }
      const reported: number[] = [];
      const result = await pull({
        store,
        registry: client,
        reference,
        platform,
        budget: new PullBudget({ concurrency: 1 }),
        onEvent: (event) => {
          if (event.type === 'blob' && event.role === 'layer' && event.state === 'downloading')
            reported.push(event.bytes);
        },
      });
      const sent = upstream.sent.of(path).sort((a, b) => a.start - b.start);
      const end = (of: number): number => Math.min(of * MEBIBYTE, bytes.length);
      // prettier-ignore
      expect(sent.map(({ start, end }) => [start, end])).toEqual(asked.map(([from, to]) => [from * MEBIBYTE, end(to)]));
      // What was here already counts as here, and is never counted again.
      expect(reported[0]).toBe(here.reduce((sum, [from, to]) => sum + to - from, 0) * MEBIBYTE);
      expect(Math.max(...reported)).toBeLessThanOrEqual(bytes.length);
      expect(result.bytesDownloaded).toBeLessThan(bytes.length - (reported[0] ?? 0) + 100_000);
    });

    it('comes whole where the host ignores ranges', async () => {
      const [layer] = layout.manifests[0].layers;
      if (layer === undefined) throw new Error('no layer');
      const bytes = layout.blobs.get(layer.digest) ?? Buffer.alloc(0);
      // prettier-ignore
      await using upstream = await ScriptedRegistry.start(imageSteps(layout, { ...image, blobs: { ranges: 'ignored' } }));
      await using client = fastClient({ hosts: hosts(upstreamAt(upstream.address)) });
      for (const gaps of [[[0, 50]], [[1, 68]]] as const) {
        await using store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
        for (const [start, end] of gaps) {
          await using writer = await store.content.ingest(layer);
          await writer?.write(start * MEBIBYTE, bytes.subarray(start * MEBIBYTE, end * MEBIBYTE));
        }
        await pull({ store, registry: client, reference, platform });
        expect(await store.content.info(layer.digest)).toBeDefined();
      }
      // Once for each of the two: what comes of a longer answer is taken, not asked for again.
      const path = `/v2/team/app/blobs/${layer.digest}`;
      expect(upstream.requests.filter(({ line }) => line.endsWith(path))).toHaveLength(2);
    });
  });

  it('comes on one connection where there is to be only one', async () => {
    const { most, twice } = await pulled({ ranges: true, bytesPerSecond: 16 * MEBIBYTE }, { concurrency: 1 });
    // One for manifests and one for the layer at most, however many parts there are.
    expect(most).toBeLessThanOrEqual(2);
    expect(twice).toBe(0);
  });
});
