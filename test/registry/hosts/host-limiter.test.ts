import { getEventListeners } from 'node:events';
import { describe, expect, it, vi } from 'vitest';

import { HostLimiter } from '../../../src/registry/hosts/host-health.js';
import { Random } from '../../fuzz/random.js';
import { useFakeClock } from '../../support/fake-clock.js';
import { failure } from '../../support/registry-fixture.js';

describe('the gate of a host', () => {
  it('lets so many in at once, the others in order', async () => {
    const limiter = new HostLimiter({ maxConnections: 2 });
    const entered: number[] = [];
    const leave: (() => void)[] = [];
    const all = [1, 2, 3, 4].map(async (n) => {
      const out = await limiter.enter();
      entered.push(n);
      leave.push(out);
    });
    await Promise.all(all.slice(0, 2));
    await attempt();
    expect(entered).toEqual([1, 2]);
    leave[0]?.();
    leave[0]?.();
    await all[2];
    await attempt();
    expect(entered).toEqual([1, 2, 3]);
    leave[1]?.();
    await all[3];
    expect(entered).toEqual([1, 2, 3, 4]);
  });

  it('forgets who no longer waits', async () => {
    const limiter = new HostLimiter({ maxConnections: 1 });
    const leave = await limiter.enter();
    const gone = new AbortController();
    const first = limiter.enter({ signal: gone.signal });
    const second = limiter.enter();
    gone.abort();
    expect(await failure(first)).toMatchObject({ code: 'ABORTED' });
    leave();
    await second;
  });

  describe('that was asked to wait a minute', () => {
    useFakeClock();

    it('keeps no timer for whoever no longer waits', async () => {
      const limiter = new HostLimiter();
      limiter.slowDown(60_000, 0);
      const abort = new AbortController();
      const waiting = [limiter.enter({ signal: abort.signal }), limiter.enter({ signal: abort.signal })];
      const failed = Promise.all(waiting.map((each) => failure(each)));
      expect(vi.getTimerCount()).toBe(1);
      abort.abort();
      expect((await failed).map(({ code }) => code)).toEqual(['ABORTED', 'ABORTED']);
      expect(vi.getTimerCount()).toBe(0);
    });
  });

  describe('that was asked to wait for longer than is waited for', () => {
    useFakeClock();
    const DAY_MS = 86_400_000;
    const maxRetryAfterMs = 120_000;
    const refused = { code: 'RATE_LIMITED', retryable: true };

    it('refuses at once what waits and what comes, and says for how long', async () => {
      const limiter = new HostLimiter({ name: 'registry.example', maxConnections: 1, maxRetryAfterMs });
      const { signal } = new AbortController();
      const leave = await limiter.enter();
      const waiting = failure(limiter.enter({ signal }));
      limiter.slowDown(DAY_MS, 0);
      leave();
      expect(await waiting).toMatchObject({ ...refused, details: { retryAfterMs: DAY_MS } });
      vi.advanceTimersByTime(60_000);
      const error = await failure(limiter.enter({ signal }));
      expect(error).toMatchObject({ ...refused, details: { retryAfterMs: DAY_MS - 60_000 } });
      expect(error.message).toContain('registry.example');
      expect(getEventListeners(signal, 'abort')).toEqual([]);
      expect(vi.getTimerCount()).toBe(0);
    });

    it('lets one find out after the longest wait, and refuses again where it is still meant', async () => {
      const limiter = new HostLimiter({ maxRetryAfterMs });
      limiter.slowDown(DAY_MS, 0);
      vi.advanceTimersByTime(maxRetryAfterMs);
      const leave = await limiter.enter();
      const next = failure(limiter.enter());
      limiter.slowDown(DAY_MS, performance.now());
      leave();
      expect(await next).toMatchObject(refused);
      vi.advanceTimersByTime(maxRetryAfterMs);
      (await limiter.enter())();
    });

    it('waits for what is allowed, however long a timer that needs', async () => {
      const limiter = new HostLimiter({ maxRetryAfterMs: 60 * DAY_MS });
      limiter.slowDown(60 * DAY_MS, 0);
      let entered = false;
      const waiting = limiter.enter().then(() => (entered = true));
      await vi.advanceTimersByTimeAsync(59 * DAY_MS);
      expect(entered).toBe(false);
      await vi.advanceTimersByTimeAsync(DAY_MS);
      await waiting;
    });
  });

  it('has nobody waiting and no slot taken after whatever became of those that entered', async () => {
    const random = new Random(20);
    const limiter = new HostLimiter({ maxConnections: 3, maxRetryAfterMs: 5 });
    const signals: AbortSignal[] = [];
    const visit = async (): Promise<void> => {
      const abort = new AbortController();
      signals.push(abort.signal);
      if (random.chance(0.4)) setTimeout(() => abort.abort(), random.below(4));
      const leave = await limiter.enter({ signal: abort.signal });
      await new Promise((resolve) => setTimeout(resolve, random.below(3)));
      if (random.chance(0.1)) limiter.slowDown(random.pick([2, 60_000]), performance.now());
      else limiter.speedUp();
      leave();
      if (random.chance(0.5)) leave();
    };
    for (let round = 0; round < 10; round += 1)
      await Promise.allSettled(Array.from({ length: 20 }, () => visit()));
    await new Promise((resolve) => setTimeout(resolve, 10));
    // As many as ever enter at once, so that none of those before kept its place.
    for (let answers = 0; answers < 20; answers += 1) limiter.speedUp();
    const all = await Promise.all(Array.from({ length: 3 }, () => limiter.enter()));
    for (const leave of all) leave();
    expect(limiter.bound).toBe(3);
    expect(signals.flatMap((signal) => getEventListeners(signal, 'abort'))).toEqual([]);
  });

  it('starts no more than so many per second', async () => {
    const limiter = new HostLimiter({ requestsPerSecond: 50 });
    const begun = performance.now();
    for (let n = 0; n < 6; n += 1) (await limiter.enter())();
    expect(performance.now() - begun).toBeGreaterThanOrEqual(5 * 20 - 1);
  });

  it('halves its bound at a 429, keeps the pause, and recovers by and by', async () => {
    const limiter = new HostLimiter();
    const leave = await Promise.all(Array.from({ length: 8 }, () => limiter.enter()));
    const asked = performance.now();
    limiter.slowDown(60, asked);
    expect(limiter.bound).toBe(4);
    // Refused together with the first: that is no further sign.
    limiter.slowDown(60, asked);
    expect(limiter.bound).toBe(4);
    limiter.slowDown(undefined, performance.now());
    expect(limiter.bound).toBe(2);
    for (const out of leave) out();
    (await limiter.enter())();
    expect(performance.now() - asked).toBeGreaterThanOrEqual(60);
    for (let answers = 0; answers < 8; answers += 1) limiter.speedUp();
    expect(limiter.bound).toBe(4);
  });

  it('never closes altogether, and never opens wider than it was made', () => {
    const limiter = new HostLimiter({ maxConnections: 3 });
    limiter.slowDown(undefined, performance.now());
    limiter.slowDown(undefined, performance.now());
    expect(limiter.bound).toBe(1);
    for (let answers = 0; answers < 100; answers += 1) limiter.speedUp();
    expect(limiter.bound).toBe(3);
  });
});

async function attempt(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
