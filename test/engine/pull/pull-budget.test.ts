import { describe, expect, it } from 'vitest';
import { defaultConcurrency, PullBudget } from '../../../src/engine/pull/pull-budget.js';
import { deferred } from '../../../src/concurrency/index.js';
import type { LandfallError } from '../../../src/errors.js';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a budget', () => {
  it.each([
    [1, 8],
    [2, 8],
    [5, 10],
    [8, 16],
    [128, 16],
  ])('on %i cores lets so many begin: %i', (cores, concurrency) => {
    expect(defaultConcurrency(cores)).toBe(concurrency);
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('of %d is refused', (concurrency) => {
    expect(() => new PullBudget({ concurrency })).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG' }) as LandfallError,
    );
  });

  it.each(['download', 'unpack'] as const)(
    'bounds each %s of all its shares together, in turn',
    async (kind) => {
      const budget = new PullBudget({ concurrency: 2 });
      const ends = deferred<undefined>();
      const begun: string[] = [];
      const ask = (share: ReturnType<PullBudget['share']>, name: string): Promise<void> =>
        share[kind]({ bytes: 1 }, async () => {
          begun.push(name);
          await ends.promise;
        });
      const [first, second] = [budget.share(), budget.share()];
      const all = [ask(first, 'a1'), ask(first, 'a2'), ask(second, 'b1'), ask(second, 'b2')];
      await settled();
      expect(begun).toEqual(['a1', 'b1']);
      ends.resolve(undefined);
      await Promise.all(all);
      expect(begun).toHaveLength(4);
    },
  );

  it('lets layers be unpacked while as many as it allows are on their way', async () => {
    const share = new PullBudget({ concurrency: 1 }).share();
    const ends = deferred<undefined>();
    const download = share.download({ bytes: 1 }, () => ends.promise);
    await share.unpack({ bytes: 1 }, () => Promise.resolve());
    ends.resolve(undefined);
    await download;
  });
});
