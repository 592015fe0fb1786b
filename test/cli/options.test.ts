import { describe, expect, test } from 'vitest';
import { parseRate } from '../../src/cli/options/options.js';

describe('--limit-rate', () => {
  test.each([
    ['1', 1],
    ['500K', 512_000],
    ['500k', 512_000],
    ['10M', 10_485_760],
    ['1.5m', 1_572_864],
    ['2G', 2_147_483_648],
  ])('%s', (text, bytes) => {
    expect(parseRate(text)).toBe(bytes);
  });

  test.each(['', '0', '-1', '10MB', 'M', '1e6', '10 M', '0.0001'])('%s is none', (text) => {
    expect(() => parseRate(text)).toThrow('It is not a number of bytes, such as 500K or 10M.');
  });
});
