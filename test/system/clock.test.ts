import { expect, test } from 'vitest';
import { microsecondsNow } from '../../src/system/index.js';

test('the clock is that of Date, and finer', () => {
  const readings = Array.from({ length: 100 }, () => {
    const before = Date.now();
    const now = microsecondsNow();
    return { before, now, after: Date.now() };
  });
  for (const { before, now, after } of readings) {
    expect(Number.isSafeInteger(now)).toBe(true);
    expect(now).toBeGreaterThanOrEqual(before * 1000);
    expect(Math.floor(now / 1000)).toBeLessThanOrEqual(after);
  }
  expect(readings.some(({ now }) => now % 1000 !== 0)).toBe(true);
});
