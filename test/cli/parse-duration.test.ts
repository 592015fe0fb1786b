import { describe, expect, test } from 'vitest';
import { parseDuration } from '../../src/cli/options/parse-duration.js';

const HOUR = 3_600_000;

describe('a duration', () => {
  test.each([
    ['720h', 720 * HOUR],
    ['1h30m', 1.5 * HOUR],
    ['90s', 90_000],
    ['30d', 720 * HOUR],
    ['1d12h', 36 * HOUR],
    ['1.5d', 36 * HOUR],
    ['.5d', 12 * HOUR],
    ['0', 0],
    ['0s', 0],
    ['250ms', 250],
  ])('%s', (text, milliseconds) => {
    expect(parseDuration('--unused-for', text)).toBe(milliseconds);
  });

  test.each(['', 'd', '1d2d', '5', '1y', '-1h', '-1d', 'h', '1h x', '1 h', '1D'])('%j is none', (text) => {
    expect(() => parseDuration('--unused-for', text)).toThrow(
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: `--unused-for: ${JSON.stringify(text)} is not a duration`,
      }) as Error,
    );
  });
});
