import { performance } from 'node:perf_hooks';

import { afterEach, beforeEach, vi } from 'vitest';

/**
 * In each test of the block that calls it, time stands still but for `vi.advanceTimersByTime`, from 0 on: for
 * timers, and for `performance.now` as node:perf_hooks has it, which vitest alone leaves as it is.
 */
export function useFakeClock(): void {
  beforeEach(() => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'],
      now: 0,
    });
    vi.spyOn(performance, 'now').mockImplementation(() => Date.now());
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });
}
