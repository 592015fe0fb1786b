import { describe, expect, it, vi } from 'vitest';

import { RateWatch } from '../../src/registry/blob-body.js';
import { useFakeClock } from '../support/fake-clock.js';

const WINDOW_MS = 1_000;
const MIN = 1_000;
/** A watch looks four times in a window. */
const LOOK_MS = WINDOW_MS / 4;

useFakeClock();

function watch(): { watch: RateWatch; slow: number[] } {
  const slow: number[] = [];
  const made = new RateWatch({
    minBytesPerSecond: MIN,
    windowMs: WINDOW_MS,
    onSlow: (rate) => slow.push(Math.round(rate)),
  });
  return { watch: made, slow };
}

describe('bytes that come', () => {
  /** How many come before each look. */
  it.each<[name: string, bytes: number[], slow: number[]]>([
    ['just fast enough are not slow', [250, 250, 250, 250, 250, 250, 250, 250], []],
    ['a little too slowly are slow, and told of once', [249, 250, 250, 250, 0, 0, 0, 0], [999]],
    ['not at all are slow after one window', [0, 0, 0, 0], [0]],
    ['not at all are not slow before the window is over', [0, 0, 0], []],
    ['all at once are fast enough for their window', [1000, 0, 0, 0], []],
    ['all at once are not fast enough for ever', [1000, 0, 0, 0, 0], [0]],
    ['fast at first and then seldom are slow', [100_000, 250, 250, 100, 100], [700]],
    ['slowly between fast ones are not slow', [0, 0, 0, 1000, 0, 0, 0, 1000], []],
  ])('%s', (_name, bytes, slow) => {
    const watched = watch();
    for (const count of bytes) {
      watched.watch.came(count);
      vi.advanceTimersByTime(LOOK_MS);
    }
    expect(watched.slow).toEqual(slow);
  });

  it('after the end are nobody’s concern', () => {
    const watched = watch();
    watched.watch.stop();
    vi.advanceTimersByTime(10 * WINDOW_MS);
    expect(watched.slow).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('too slowly are told of once', () => {
    const watched = watch();
    vi.advanceTimersByTime(10 * WINDOW_MS);
    expect(watched.slow).toEqual([0]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('time in which the reader wants none', () => {
  it('does not count', () => {
    const { watch: paused, slow } = watch();
    paused.pause('reader');
    paused.pause('reader');
    vi.advanceTimersByTime(10 * WINDOW_MS);
    expect(slow).toEqual([]);
  });

  it('is over when it wants some again', () => {
    const { watch: paused, slow } = watch();
    paused.pause('reader');
    vi.advanceTimersByTime(10 * WINDOW_MS);
    paused.resume('reader');
    paused.resume('reader');
    vi.advanceTimersByTime(2 * LOOK_MS);
    expect(slow).toEqual([]);
    vi.advanceTimersByTime(2 * LOOK_MS);
    expect(slow).toEqual([0]);
  });

  it('lasts until nobody holds them back any longer', () => {
    const { watch: paused, slow } = watch();
    paused.pause('reader');
    paused.pause('limit');
    paused.resume('reader');
    vi.advanceTimersByTime(10 * WINDOW_MS);
    expect(slow).toEqual([]);
    paused.resume('limit');
    vi.advanceTimersByTime(WINDOW_MS);
    expect(slow).toEqual([0]);
  });

  it('leaves too little to judge by where it is more than a quarter of each window', () => {
    const { watch: paused, slow } = watch();
    for (let look = 0; look < 20; look += 1) {
      paused.pause('reader');
      vi.advanceTimersByTime(0.3 * LOOK_MS);
      paused.resume('reader');
      vi.advanceTimersByTime(0.7 * LOOK_MS);
    }
    expect(slow).toEqual([]);
  });

  it('makes a rate of the rest: bytes of three quarters of the time are divided by three quarters', () => {
    const reported = (bytes: number): number[] => {
      const { watch: paused, slow } = watch();
      for (let look = 0; look < 4; look += 1) {
        paused.pause('reader');
        vi.advanceTimersByTime(0.2 * LOOK_MS);
        paused.resume('reader');
        paused.came(bytes);
        vi.advanceTimersByTime(0.8 * LOOK_MS);
      }
      paused.stop();
      return slow;
    };
    // 800 ms in which 800 bytes must come.
    expect(reported(200)).toEqual([]);
    expect(reported(199)).toEqual([995]);
  });
});
