import { describe, expect, it } from 'vitest';
import { deferred, KeyedLimiter, Limiter, mapLimited } from '../../src/concurrency/index.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a limiter', () => {
  it('begins so many, in their order, and none within the call', async () => {
    const limiter = new Limiter(2);
    const ends = [deferred<undefined>(), deferred<undefined>(), deferred<undefined>()];
    const begun: number[] = [];
    const all = ends.map(({ promise }, at) =>
      limiter.run(() => {
        begun.push(at);
        return promise;
      }),
    );
    expect(begun).toEqual([]);
    await turn();
    expect(begun).toEqual([0, 1]);
    expect(limiter).toMatchObject({ active: 2, waiting: 1 });
    ends[1]?.resolve(undefined);
    await turn();
    expect(begun).toEqual([0, 1, 2]);
    for (const { resolve } of ends) resolve(undefined);
    await Promise.all(all);
    expect(limiter).toMatchObject({ active: 0, waiting: 0 });
  });

  it('does not begin what is aborted between its turn and its beginning', async () => {
    const limiter = new Limiter(1);
    const abort = new AbortController();
    let begun = false;
    const running = limiter.run(() => (begun = true), abort);
    abort.abort();
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' });
    expect(begun).toBe(false);
    expect(await limiter.run(() => 'next')).toBe('next');
  });

  it('of keys bounds each by itself, and forgets those that nobody uses', async () => {
    const limiter = new KeyedLimiter<string>(1);
    const end = deferred<undefined>();
    const begun: string[] = [];
    const all = ['a', 'a', 'b'].map((key) =>
      limiter.run(key, () => {
        begun.push(key);
        return end.promise;
      }),
    );
    await turn();
    expect(begun).toEqual(['a', 'b']);
    expect(limiter).toMatchObject({ size: 2, waiting: 1 });
    end.resolve(undefined);
    await Promise.all(all);
    expect(limiter.size).toBe(0);
  });

  it('over a list gives what comes of each in its order', async () => {
    let most = 0;
    let running = 0;
    const doubled = await mapLimited([3, 1, 2], 2, async (turns) => {
      most = Math.max(most, (running += 1));
      for (let at = 0; at < turns; at += 1) await turn();
      running -= 1;
      return turns * 2;
    });
    expect(doubled).toEqual([6, 2, 4]);
    expect(most).toBe(2);
  });
});
