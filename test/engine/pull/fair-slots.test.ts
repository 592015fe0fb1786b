import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deferred } from '../../../src/concurrency/index.js';
import { FairSlots, type SlotRequest } from '../../../src/engine/pull/pull-budget.js';
import { failure } from '../../support/registry-fixture.js';

const alice = {};
const bob = {};

/** Slots, and in which order what asked for one had its turn. */
class Asked {
  readonly slots: FairSlots;
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  constructor(size: number) {
    this.slots = new FairSlots(size);
  }

  ask(name: string, request: Partial<SlotRequest> = {}): Promise<void> {
    return this.slots.run({ owner: alice, bytes: 1, ...request }, async () => {
      const over = deferred<undefined>();
      this.begun.push(name);
      this.#ends.set(name, () => over.resolve(undefined));
      await over.promise;
    });
  }

  async end(name: string): Promise<void> {
    await settled();
    this.#ends.get(name)?.();
    await settled();
  }
}

/** After all that can go on without anybody else has done so. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('slots', () => {
  it('are as many as there are, and go to whoever waits', async () => {
    const asked = new Asked(2);
    const all = ['a', 'b', 'c'].map((name) => asked.ask(name));
    await settled();
    expect(asked.begun).toEqual(['a', 'b']);
    expect(asked.slots).toMatchObject({ free: 0, wanted: true });
    await asked.end('b');
    expect(asked.begun).toEqual(['a', 'b', 'c']);
    expect(asked.slots.wanted).toBe(false);
    await asked.end('a');
    await asked.end('c');
    await Promise.all(all);
    expect(asked.slots.free).toBe(2);
  });

  it.each<[name: string, bytes: number[], order: string[]]>([
    ['to the largest first', [1, 30, 20, 40], ['d', 'b', 'c', 'a']],
    ['in the order of the asking where all are as large', [7, 7, 7, 7], ['a', 'b', 'c', 'd']],
  ])('of one owner go %s', async (_name, bytes, order) => {
    const asked = new Asked(1);
    const names = ['a', 'b', 'c', 'd'];
    const all = names.map((name, index) => asked.ask(name, { bytes: bytes[index] ?? 0 }));
    for (const name of order) await asked.end(name);
    await Promise.all(all);
    expect(asked.begun).toEqual(order);
  });

  it('go to whose owner has fewest, however large what the others want', async () => {
    const asked = new Asked(2);
    const first = ['a1', 'a2', 'a3'].map((name) => asked.ask(name, { bytes: 100 }));
    await settled();
    const second = ['b1', 'b2'].map((name) => asked.ask(name, { owner: bob }));
    for (const name of ['a1', 'b1', 'a2', 'b2', 'a3']) await asked.end(name);
    await Promise.all([...first, ...second]);
    expect(asked.begun).toEqual(['a1', 'a2', 'b1', 'b2', 'a3']);
  });

  it('come back when what had one fails', async () => {
    const asked = new Asked(1);
    const broken = asked.slots.run({ owner: alice, bytes: 1 }, () => Promise.reject(new Error('broken')));
    await expect(broken).rejects.toThrow('broken');
    expect(asked.slots.free).toBe(1);
    const throws = asked.slots.run({ owner: alice, bytes: 1 }, () => {
      throw new Error('at once');
    });
    await expect(throws).rejects.toThrow('at once');
    expect(asked.slots.free).toBe(1);
  });

  it('are waited for no longer than until the abort', async () => {
    const asked = new Asked(1);
    const abort = new AbortController();
    const first = asked.ask('first', { signal: abort.signal });
    const waiting = failure(asked.ask('waiting', { signal: abort.signal }));
    const other = asked.ask('other');
    await settled();
    abort.abort();
    expect((await waiting).code).toBe('ABORTED');
    expect((await failure(asked.ask('too late', { signal: abort.signal }))).code).toBe('ABORTED');
    // What has its slot goes on, and sees to the signal itself.
    expect(asked.begun).toEqual(['first']);
    await asked.end('first');
    expect(asked.begun).toEqual(['first', 'other']);
    await asked.end('other');
    await Promise.all([first, other]);
    expect(asked.slots.free).toBe(1);
    expect(getEventListeners(abort.signal, 'abort')).toEqual([]);
  });

  it('beyond one for each are given only while nobody waits', async () => {
    const asked = new Asked(2);
    const first = asked.ask('first');
    const back = asked.slots.tryTake();
    // The first waits to be let in, and counts.
    expect(back).toBeTypeOf('function');
    expect(asked.slots.tryTake()).toBeUndefined();
    const second = asked.ask('second');
    await settled();
    expect(asked.begun).toEqual(['first']);
    back?.();
    back?.();
    await settled();
    expect(asked.begun).toEqual(['first', 'second']);
    expect(asked.slots.tryTake()).toBeUndefined();
    await asked.end('first');
    await asked.end('second');
    await Promise.all([first, second]);
    expect(asked.slots.free).toBe(2);
  });

  it('are never more than there are, and all that wait have their turn', async () => {
    const wish = fc.record({ owner: fc.nat({ max: 3 }), bytes: fc.nat(9), turns: fc.nat(5) });
    const owners = [{}, {}, {}, {}];
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(wish), async (size, wishes) => {
        const slots = new FairSlots(size);
        let now = 0;
        let most = 0;
        let ended = 0;
        const all = wishes.map(({ owner, bytes, turns }) =>
          slots.run({ owner: owners[owner] ?? {}, bytes }, async () => {
            now += 1;
            most = Math.max(most, now);
            for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
            now -= 1;
            ended += 1;
          }),
        );
        await Promise.all(all);
        expect(most).toBeLessThanOrEqual(size);
        expect(ended).toBe(wishes.length);
        expect(slots.free).toBe(size);
      }),
    );
  });
});
