import { describe, expect, it, vi } from 'vitest';

import { HostHealth, HostHealths } from '../../../src/registry/hosts/host-health.js';
import { RegistryHost } from '../../../src/registry/hosts/registry-host.js';
import { useFakeClock } from '../../support/fake-clock.js';
import { mirrorAt } from '../../support/host-configs.js';
import { failure } from '../../support/registry-fixture.js';

const MEBIBYTE = 1024 * 1024;

describe('a host that fails is left alone', () => {
  useFakeClock();

  it.each<[name: string, options: { pauseMs?: number; maxPauseMs?: number }, pauses: number[]]>([
    ['twice as long each time, up to 5 min', {}, [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]],
    [
      'for as long as was asked, up to as long as was asked',
      { pauseMs: 100, maxPauseMs: 250 },
      [100, 200, 250, 250],
    ],
    ['not at all, where that was asked', { pauseMs: 0 }, [0, 0]],
  ])('%s', (_name, options, pauses) => {
    const health = new HostHealth(options);
    const seen = pauses.map(() => {
      health.failed();
      const { pause } = health;
      vi.advanceTimersByTime(pause);
      expect(health.pause).toBe(0);
      return pause;
    });
    expect(seen).toEqual(pauses);
  });

  it('for less as time goes by', () => {
    const health = new HostHealth();
    expect(health.pause).toBe(0);
    health.failed();
    vi.advanceTimersByTime(9_999);
    expect(health.pause).toBe(1);
    vi.advanceTimersByTime(60_000);
    expect(health.pause).toBe(0);
  });

  it('no longer once it has succeeded, and next time for as long as the first', () => {
    const health = new HostHealth();
    for (let n = 0; n < 4; n += 1) health.failed();
    health.succeeded();
    expect(health.pause).toBe(0);
    health.failed();
    expect(health.pause).toBe(10_000);
  });

  it.each<[name: string, before: number, retryAfterMs: number, pause: number]>([
    ['at least as long as it asked for', 0, 60_000, 60_000],
    ['longer than it asked for where it has failed before', 3, 60_000, 80_000],
    ['as long as it asked for, beyond the longest pause', 0, 900_000, 900_000],
  ])('%s', (_name, before, retryAfterMs, pause) => {
    const health = new HostHealth();
    for (let n = 0; n < before; n += 1) health.failed();
    health.failed(retryAfterMs);
    expect(health.pause).toBe(pause);
  });

  it('for a pause that never overflows', () => {
    const health = new HostHealth({ maxPauseMs: 1e9 });
    for (let n = 0; n < 5000; n += 1) health.failed();
    expect(health.pause).toBe(1e9);
  });
});

/** Enters as often as said, and tells in order who is in; each may leave. */
function enter(
  health: HostHealth,
  count: number,
  options: { stillWanted?: () => boolean; signal?: AbortSignal } = {},
): { outcomes: (boolean | undefined)[]; leave: (() => void)[]; all: Promise<unknown>[] } {
  const { stillWanted = () => true, signal } = options;
  const outcomes = Array.from({ length: count }, (): boolean | undefined => undefined);
  const leave: (() => void)[] = [];
  const all = outcomes.map(async (_unknown, at) => {
    const out = await health.enter(stillWanted, { signal });
    outcomes[at] = out !== undefined;
    if (out !== undefined) leave.push(out);
  });
  return { outcomes, leave, all };
}

/** Long enough for all promises that can settle. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('a host that has not delivered is entrusted', () => {
  const IN = true;
  const WAITS = undefined;

  it('with two blobs at once, and with the next when one is over', async () => {
    const { outcomes, leave } = enter(new HostHealth(), 4);
    await settled();
    expect(outcomes).toEqual([IN, IN, WAITS, WAITS]);
    leave[0]?.();
    // Only the first time counts.
    leave[0]?.();
    await settled();
    expect(outcomes).toEqual([IN, IN, IN, WAITS]);
    leave[1]?.();
    await settled();
    expect(outcomes).toEqual([IN, IN, IN, IN]);
  });

  it.each<[name: string, deliver: (health: HostHealth) => void, proven: boolean]>([
    ['2 MiB of one blob have come', (health) => health.delivered(2 * MEBIBYTE, false), true],
    [
      'less than 2 MiB of each have come',
      (health) => {
        for (let n = 0; n < 20; n += 1) health.delivered(2 * MEBIBYTE - 1, false);
      },
      false,
    ],
    [
      'eight whole ones have come, however small',
      (health) => {
        for (let n = 0; n < 8; n += 1) health.delivered(1, true);
      },
      true,
    ],
    [
      'seven whole ones have come',
      (health) => {
        for (let n = 0; n < 7; n += 1) health.delivered(1, true);
      },
      false,
    ],
  ])('with all or not, once %s', async (_name, deliver, proven) => {
    const health = new HostHealth();
    const { outcomes } = enter(health, 10);
    await settled();
    deliver(health);
    await settled();
    expect(outcomes.filter((outcome) => outcome === IN)).toHaveLength(proven ? 10 : 2);
  });

  it('with few again after it has failed', async () => {
    const health = new HostHealth();
    health.delivered(2 * MEBIBYTE, false);
    health.failed();
    health.succeeded();
    const { outcomes } = enter(health, 4);
    await settled();
    expect(outcomes).toEqual([IN, IN, WAITS, WAITS]);
  });

  it('and has to deliver anew after it has failed', async () => {
    const health = new HostHealth();
    for (let n = 0; n < 7; n += 1) health.delivered(1, true);
    health.failed();
    health.delivered(1, true);
    const { outcomes } = enter(health, 3);
    await settled();
    expect(outcomes).toEqual([IN, IN, WAITS]);
  });

  it('with none of those that wait once it fails: they go elsewhere', async () => {
    const health = new HostHealth();
    const { outcomes, all } = enter(health, 5, { stillWanted: () => health.pause === 0 });
    await settled();
    expect(outcomes).toEqual([IN, IN, WAITS, WAITS, WAITS]);
    health.failed();
    await Promise.all(all);
    expect(outcomes).toEqual([IN, IN, false, false, false]);
  });

  it('with none at all where it is not wanted', async () => {
    const { outcomes, all } = enter(new HostHealth(), 1, { stillWanted: () => false });
    await Promise.all(all);
    expect(outcomes).toEqual([false]);
  });

  it('with nothing for those who no longer wait, whose place others get', async () => {
    const health = new HostHealth();
    const gone = new AbortController();
    const first = enter(health, 2);
    await Promise.all(first.all);
    const aborted = enter(health, 1, { signal: gone.signal });
    const waiting = enter(health, 1);
    await settled();
    gone.abort();
    expect(await failure(Promise.all(aborted.all))).toMatchObject({ code: 'ABORTED' });
    expect(await failure(Promise.all(enter(health, 1, { signal: gone.signal }).all))).toMatchObject({
      code: 'ABORTED',
    });
    first.leave[0]?.();
    await Promise.all(waiting.all);
    expect(waiting.outcomes).toEqual([IN]);
  });
});

function hostAt(address: string): RegistryHost {
  return new RegistryHost({
    registry: 'registry.example',
    config: mirrorAt(address),
    transport: { send: () => Promise.reject(new Error('not to be asked')) },
    credentials: undefined,
    userAgent: 'test',
    onWarning: undefined,
  });
}

it('the health of a host is one for all, and that of another its own', () => {
  const healths = new HostHealths({ pauseMs: 50 });
  const [one, two] = ['one.example', 'two.example'].map(hostAt);
  if (one === undefined || two === undefined) throw new Error('two hosts were made');
  healths.of(one).failed();
  expect(healths.of(one).pause).toBeGreaterThan(0);
  expect(healths.of(two).pause).toBe(0);
  expect(healths.of(one)).toBe(healths.of(one));
});
