import { performance } from 'node:perf_hooks';
import { buffer } from 'node:stream/consumers';

import { describe, expect, it, vi } from 'vitest';

import { ByteRateLimit } from '../../../src/registry/index.js';
import { parseReference } from '../../../src/spec/index.js';
import { useFakeClock } from '../../support/fake-clock.js';
import { hosts, mirrorAt, upstreamAt } from '../../support/host-configs.js';
import { blobOf, fastClient, patterned } from '../../support/registry-fixture.js';
import { ScriptedRegistry } from '../../support/scripted-registry.js';

describe('a limit of bytes per second', () => {
  useFakeClock();

  /** `[bytes that come, milliseconds that pass before]` */
  it.each<[name: string, steps: [bytes: number, afterMs: number][], waits: number[]]>([
    ['is not met by a little at once', [[100, 0]], [0]],
    [
      'bears a tenth of a second’s worth at once',
      [
        [50, 0],
        [50, 0],
      ],
      [0, 0],
    ],
    ['holds back what is above that', [[101, 0]], [1]],
    ['holds back for as long as the bytes should have taken', [[1100, 0]], [1000]],
    [
      'adds up what comes at the same time',
      [
        [600, 0],
        [500, 0],
      ],
      [500, 1000],
    ],
    [
      'forgets what time has made good',
      [
        [1100, 0],
        [1, 1000],
      ],
      [1000, 1],
    ],
    [
      'forgets it bit by bit',
      [
        [1100, 0],
        [0, 250],
      ],
      [1000, 750],
    ],
    [
      'saves up nothing while little comes',
      [
        [10, 0],
        [1100, 60_000],
      ],
      [0, 1000],
    ],
  ])('%s', (_name, steps, waits) => {
    const limit = new ByteRateLimit(1000);
    expect(
      steps.map(([bytes, afterMs]) => {
        vi.advanceTimersByTime(afterMs);
        return Math.round(limit.take(bytes));
      }),
    ).toEqual(waits);
  });

  it('lets through no more than it says however it is asked, beyond the first tenth of a second', () => {
    const limit = new ByteRateLimit(1000);
    let passed = 0;
    for (let step = 0; step < 200; step += 1) {
      const bytes = 1 + ((step * 37) % 400);
      passed += bytes;
      vi.advanceTimersByTime(Math.ceil(limit.take(bytes)));
      expect(passed).toBeLessThanOrEqual(performance.now() + 100);
    }
  });
});

describe('downloads through a limit', () => {
  const megabyte = patterned(1_000_000);
  const blob = blobOf(megabyte);

  it('take as long together as all of their bytes at that rate, and keep below it all along', async () => {
    await using registry = await ScriptedRegistry.start([
      { on: `GET /v2/team/app/blobs/${blob.digest}`, body: megabyte, times: 2 },
    ]);
    const bytesPerSecond = 1_000_000;
    await using client = fastClient({ plainHttp: true, rateLimit: new ByteRateLimit(bytesPerSecond) });
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    let came = 0;
    const begun = performance.now();
    const earliest: { bytes: number; ms: number }[] = [];
    const bodies = await Promise.all([repository.fetch(blob), repository.fetch(blob)]);
    const read = bodies.map(async (body) => {
      body.on('data', (chunk: Buffer) => {
        came += chunk.length;
        earliest.push({ bytes: came, ms: performance.now() - begun });
      });
      return await buffer(body);
    });
    for (const body of await Promise.all(read)) expect(body.equals(megabyte)).toBe(true);
    // A burst of a tenth of a second, and of each connection what it had read when it was held back.
    const ahead = bytesPerSecond / 10 + 2 * 64 * 1024;
    for (const { bytes, ms } of earliest) {
      expect(bytes).toBeLessThanOrEqual((ms / 1000) * bytesPerSecond + ahead);
    }
    expect(performance.now() - begun).toBeGreaterThanOrEqual(((2_000_000 - ahead) / bytesPerSecond) * 1000);
  });

  it('are not taken for those of a host that is slow', async () => {
    const ns = '?ns=registry.example';
    const path = `/v2/team/app/blobs/${blob.digest}`;
    await using mirror = await ScriptedRegistry.start([{ on: `GET ${path}${ns}`, body: megabyte }]);
    await using upstream = await ScriptedRegistry.start([]);
    await using client = fastClient({
      hosts: hosts(mirrorAt(mirror.address), upstreamAt(upstream.address)),
      failover: { minBytesPerSecond: 2_000_000, windowMs: 200 },
      rateLimit: new ByteRateLimit(1_000_000),
    });
    const body = await client.repository(parseReference('registry.example/team/app')).fetch(blob);
    expect((await buffer(body)).equals(megabyte)).toBe(true);
  });

  it('by one client are not held back by those of another', async () => {
    await using registry = await ScriptedRegistry.start([
      { on: `GET /v2/team/app/blobs/${blob.digest}`, body: megabyte, times: 'any' },
    ]);
    const reference = parseReference(`${registry.address}/team/app`);
    await using slow = fastClient({ plainHttp: true, rateLimit: new ByteRateLimit(10_000) });
    await using fast = fastClient({ plainHttp: true });
    const held = await slow.repository(reference).fetch(blob);
    held.resume();
    expect((await buffer(await fast.repository(reference).fetch(blob))).equals(megabyte)).toBe(true);
    expect(held.readableEnded).toBe(false);
    held.destroy();
  });
});
