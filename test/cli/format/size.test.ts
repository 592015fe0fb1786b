import { describe, expect, test } from 'vitest';
import { formatPart, formatRate, formatSize } from '../../../src/spec/index.js';

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [12_345, '12.3 kB'],
  [99_940, '99.9 kB'],
  [99_950, '100 kB'],
  [999_499, '999 kB'],
  [999_500, '1.0 MB'],
  [3_400_000, '3.4 MB'],
  [123_456_789, '123 MB'],
  [1e9, '1.0 GB'],
  [5e17, '500 PB'],
  [5e18, '5000 PB'],
])('%d bytes', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});

describe('a part of a whole has the unit of the whole', () => {
  test.each([
    [0, 0, '0/0 B'],
    [1, 45_000_000, '0.0/45.0 MB'],
    [12_300_000, 45_000_000, '12.3/45.0 MB'],
    [12_300_000, 123_000_000, '12/123 MB'],
    [99_900_000, 99_900_000, '99.9/99.9 MB'],
    [512, 999, '512/999 B'],
  ])('%d of %d', (part, whole, text) => {
    expect(formatPart(part, whole)).toBe(text);
    expect(formatPart(part, whole).length).toBeLessThanOrEqual(12);
  });
});

test('a rate', () => {
  expect(formatRate(8_123_456.7)).toBe('8.1 MB/s');
});
