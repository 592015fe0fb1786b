import { describe, expect, it, vi } from 'vitest';

import { HostGate } from '../../../src/registry/hosts/host-gate.js';
import { useFakeClock } from '../../support/fake-clock.js';
import { failure } from '../../support/registry-fixture.js';

describe('the gate of a host', () => {
  it('lets so many in at once, the others in order', async () => {
    const gate = new HostGate({ maxConnections: 2 });
    const entered: number[] = [];
    const leave: (() => void)[] = [];
    const all = [1, 2, 3, 4].map(async (n) => {
      const out = await gate.enter();
      entered.push(n);
      leave.push(out);
    });
    await Promise.all(all.slice(0, 2));
    await turn();
    expect(entered).toEqual([1, 2]);
    leave[0]?.();
    leave[0]?.();
    await all[2];
    await turn();
    expect(entered).toEqual([1, 2, 3]);
    leave[1]?.();
    await all[3];
    expect(entered).toEqual([1, 2, 3, 4]);
  });

  it('forgets who no longer waits', async () => {
    const gate = new HostGate({ maxConnections: 1 });
    const leave = await gate.enter();
    const gone = new AbortController();
    const first = gate.enter({ signal: gone.signal });
    const second = gate.enter();
    gone.abort();
    expect(await failure(first)).toMatchObject({ code: 'ABORTED' });
    leave();
    await second;
  });

  describe('that was asked to wait a minute', () => {
    useFakeClock();

    it('keeps no timer for whoever no longer waits', async () => {
      const gate = new HostGate();
      gate.slowDown(60_000, 0);
      const abort = new AbortController();
      const waiting = [gate.enter({ signal: abort.signal }), gate.enter({ signal: abort.signal })];
      const failed = Promise.all(waiting.map((each) => failure(each)));
      expect(vi.getTimerCount()).toBe(1);
      abort.abort();
      expect((await failed).map(({ code }) => code)).toEqual(['ABORTED', 'ABORTED']);
      expect(vi.getTimerCount()).toBe(0);
    });
  });

  it('starts no more than so many per second', async () => {
    const gate = new HostGate({ requestsPerSecond: 50 });
    const begun = performance.now();
    for (let n = 0; n < 6; n += 1) (await gate.enter())();
    expect(performance.now() - begun).toBeGreaterThanOrEqual(5 * 20 - 1);
  });

  it('halves its bound at a 429, keeps the pause, and recovers by and by', async () => {
    const gate = new HostGate();
    const leave = await Promise.all(Array.from({ length: 8 }, () => gate.enter()));
    const asked = performance.now();
    gate.slowDown(60, asked);
    expect(gate.bound).toBe(4);
    // Refused together with the first: that is no further sign.
    gate.slowDown(60, asked);
    expect(gate.bound).toBe(4);
    gate.slowDown(undefined, performance.now());
    expect(gate.bound).toBe(2);
    for (const out of leave) out();
    (await gate.enter())();
    expect(performance.now() - asked).toBeGreaterThanOrEqual(60);
    for (let answers = 0; answers < 8; answers += 1) gate.speedUp();
    expect(gate.bound).toBe(4);
  });

  it('never closes altogether, and never opens wider than it was made', () => {
    const gate = new HostGate({ maxConnections: 3 });
    gate.slowDown(undefined, performance.now());
    gate.slowDown(undefined, performance.now());
    expect(gate.bound).toBe(1);
    for (let answers = 0; answers < 100; answers += 1) gate.speedUp();
    expect(gate.bound).toBe(3);
  });
});

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
