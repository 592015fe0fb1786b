import { describe, expect, test } from 'vitest';
import { median, ratioOf, spread, summarize } from '../../bench/statistics.js';

describe('summarize', () => {
  test.each<[string, number[], { median: number; minimum: number; maximum: number }]>([
    ['one value', [3], { median: 3, minimum: 3, maximum: 3 }],
    ['an odd number, in no order', [9, 1, 4], { median: 4, minimum: 1, maximum: 9 }],
    ['an even number: between the middle two', [8, 1, 2, 4], { median: 3, minimum: 1, maximum: 8 }],
    ['by value, not by their digits', [10, 9, 100], { median: 10, minimum: 9, maximum: 100 }],
  ])('%s', (_name, values, summary) => {
    const before = [...values];
    expect(summarize(values)).toEqual(summary);
    expect(values).toEqual(before);
  });

  test('of nothing is an error', () => {
    expect(() => median([])).toThrow('nothing was measured');
  });
});

test('the spread is a part of the median', () => {
  expect(spread({ median: 4, minimum: 3, maximum: 5 })).toBe(0.5);
});

describe('ratioOf', () => {
  test('by round is not moved by a machine that was slow for a while, the medians are', () => {
    const ratio = ratioOf([1, 1, 5, 5, 1], [2, 10, 10, 10, 2]);
    expect(ratio).toEqual({ ofMedians: 0.1, byRound: { median: 0.5, minimum: 0.1, maximum: 0.5 } });
  });

  test('needs the same rounds', () => {
    expect(() => ratioOf([1, 2], [1])).toThrow('same rounds');
  });
});
