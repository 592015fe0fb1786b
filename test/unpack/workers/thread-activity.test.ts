import { describe, expect, it } from 'vitest';
import { activityWords, forgetActivity, ThreadActivity } from '../../../src/unpack/jobs/shared-memory.js';

describe('ThreadActivity', () => {
  const words = activityWords(2);
  const [one, other] = [new ThreadActivity(words, 0), new ThreadActivity(words, 1)];

  /** Work that goes on until it is told to end. */
  function begun(activity: ThreadActivity): () => Promise<void> {
    let end: () => void = () => undefined;
    const done = activity.during(() => new Promise<void>((resolve) => (end = resolve)));
    return async () => {
      end();
      await done;
    };
  }

  it('tells every thread whether one has nothing to do', async () => {
    expect([one.coresIdle, other.coresIdle]).toEqual([true, true]);
    const endOne = begun(one);
    expect([one.coresIdle, other.coresIdle]).toEqual([true, true]);
    const endOther = begun(other);
    expect([one.coresIdle, other.coresIdle]).toEqual([false, false]);
    await endOne();
    expect([one.coresIdle, other.coresIdle]).toEqual([true, true]);
    await endOther();
  });

  it('counts a thread as long as any of its jobs is at work', async () => {
    const endOther = begun(other);
    const [first, second] = [begun(one), begun(one)];
    await first();
    expect(one.coresIdle).toBe(false);
    await second();
    expect(one.coresIdle).toBe(true);
    await endOther();
  });

  it('does not count one that waits, also where that fails', async () => {
    const endOther = begun(other);
    let arrive: () => void = () => undefined;
    let fail: (error: Error) => void = () => undefined;
    const working = one.during(async () => {
      await one.pausedFor(new Promise<void>((resolve) => (arrive = resolve)));
      expect(one.coresIdle).toBe(false);
      await one.pausedFor(new Promise<void>((_, reject) => (fail = reject))).catch(() => undefined);
      expect(one.coresIdle).toBe(false);
    });
    expect(one.coresIdle).toBe(true);
    arrive();
    await new Promise((resolve) => setImmediate(resolve));
    expect(one.coresIdle).toBe(true);
    fail(new Error('cut'));
    await working;
    await endOther();
  });

  it('does not count one that has ended in the middle of its work', async () => {
    const endOther = begun(other);
    const lost = new ThreadActivity(words, 0);
    void lost.during(() => new Promise(() => undefined));
    expect(other.coresIdle).toBe(false);
    forgetActivity(words, 0);
    expect(other.coresIdle).toBe(true);
    await endOther();
  });
});
