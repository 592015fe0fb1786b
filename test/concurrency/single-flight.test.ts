import { describe, expect, it } from 'vitest';
import { deferred, ResultCache, SingleFlight } from '../../src/concurrency/index.js';

describe('a single flight', () => {
  it('is done once for all who come meanwhile, and anew for who comes after', async () => {
    const flights = new SingleFlight<string, number>();
    let count = 0;
    const work = (): Promise<number> => Promise.resolve((count += 1));
    expect(
      await Promise.all([flights.run('a', work), flights.run('a', work), flights.run('b', work)]),
    ).toEqual([1, 1, 2]);
    expect(await flights.run('a', work)).toBe(3);
  });

  it('goes on when one of its callers leaves, and is aborted when the last does', async () => {
    const flights = new SingleFlight<string, string>();
    let abort: AbortSignal | undefined;
    const work = (signal: AbortSignal): Promise<string> => {
      abort = signal;
      return deferred<string>().promise;
    };
    const callers = [new AbortController(), new AbortController()];
    const all = callers.map((caller) => flights.run('a', work, caller));
    callers[0]?.abort();
    await expect(all[0]).rejects.toMatchObject({ code: 'ABORTED' });
    expect(abort?.aborted).toBe(false);
    callers[1]?.abort();
    await expect(all[1]).rejects.toMatchObject({ code: 'ABORTED' });
    expect(abort?.aborted).toBe(true);
    expect(flights.size).toBe(0);
  });

  it('that failed is not joined by who asks again at once', async () => {
    const flights = new SingleFlight<string, string>();
    let tries = 0;
    const work = (): Promise<string> => {
      tries += 1;
      return tries === 1 ? Promise.reject(new Error('broken')) : Promise.resolve('well');
    };
    const again = flights.run('a', work).catch(() => flights.run('a', work));
    const other = flights.run('a', work).catch(() => 'failed with it');
    expect(await Promise.all([again, other])).toEqual(['well', 'failed with it']);
  });

  it('whose work throws at once has failed like any other', async () => {
    const flights = new SingleFlight<string, string>();
    const work = (): Promise<string> => {
      throw new Error('at once');
    };
    await expect(flights.run('a', work)).rejects.toThrow('at once');
    expect(flights.size).toBe(0);
  });

  it('that succeeded is not aborted afterwards', async () => {
    const flights = new SingleFlight<string, AbortSignal>();
    const signal = await flights.run('a', (all) => Promise.resolve(all));
    expect(signal.aborted).toBe(false);
  });
});

describe('a cache of results', () => {
  it('keeps a success, even one that is undefined, and no failure', async () => {
    const results = new ResultCache<string, undefined>();
    let tries = 0;
    const work = (): Promise<undefined> => {
      tries += 1;
      return tries === 1 ? Promise.reject(new Error('broken')) : Promise.resolve(undefined);
    };
    const get = (): Promise<undefined> => results.get('a', work);
    await expect(Promise.all([get(), get()])).rejects.toThrow('broken');
    expect(tries).toBe(1);
    await Promise.all([get(), get()]);
    await get();
    expect(tries).toBe(2);
    expect([...results.values()]).toEqual([undefined]);
  });
});
