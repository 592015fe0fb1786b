import { describe, expect, test } from 'vitest';
import { rateOf, type Samples, withSample } from '../../../src/cli/progress/rate.js';

function samplesOf(...points: (readonly [at: number, bytes: number])[]): Samples {
  return points.reduce<Samples>((samples, [at, bytes]) => withSample(samples, { at, bytes }), []);
}

describe('a rate', () => {
  test.each([
    ['is unknown at first', samplesOf([0, 0]), 0, undefined],
    ['is unknown within a moment', samplesOf([0, 0], [50, 1000]), 50, undefined],
    ['is bytes per second', samplesOf([0, 0], [500, 1000]), 500, 2000],
    ['does not count what was here before', samplesOf([0, 5000], [1000, 6000]), 1000, 1000],
    ['falls while nothing comes', samplesOf([0, 0], [1000, 1000]), 2000, 500],
    ['comes to nothing', samplesOf([0, 0], [1000, 1000]), 9000, 0],
    [
      'forgets what is long ago',
      samplesOf([0, 0], [1000, 90_000], [3500, 90_000], [4500, 91_000]),
      4500,
      1000,
    ],
  ])('%s', (_, samples, now, rate) => {
    expect(rateOf(samples, now)).toBe(rate);
  });
});

test('a flood of samples takes little room', () => {
  let samples: Samples = [];
  for (let at = 0; at < 10_000; at += 1) samples = withSample(samples, { at, bytes: at * 10 });
  expect(samples.length).toBeLessThan(40);
  expect(rateOf(samples, 9999)).toBeCloseTo(10_000, -1);
});
