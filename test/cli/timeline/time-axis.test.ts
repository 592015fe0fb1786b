import { describe, expect, it } from 'vitest';
import { timeAxis } from '../../../src/cli/timeline/svg.js';

const PLACE = { left: 100, width: 600 };

describe('the axis of a picture', () => {
  it.each<[string, number, string[]]>([
    ['nothing', 0, ['0']],
    ['a fraction of a millisecond', 0.05, ['0', '10 µs', '20 µs', '30 µs', '40 µs', '50 µs']],
    ['milliseconds', 36, ['0', '5 ms', '10 ms', '15 ms', '20 ms', '25 ms', '30 ms', '35 ms']],
    ['a second', 1000, ['0', '0.2 s', '0.4 s', '0.6 s', '0.8 s', '1 s']],
    ['seconds', 2300, ['0', '0.5 s', '1 s', '1.5 s', '2 s']],
    ['a minute and a half', 90_000, ['0', '15 s', '30 s', '45 s', '1 min', '1:15 min', '1:30 min']],
    ['an hour', 3_600_000, ['0', '10 min', '20 min', '30 min', '40 min', '50 min', '1 h']],
    ['a night', 38_000_000, ['0', '2 h', '4 h', '6 h', '8 h', '10 h']],
    ['weeks', 20 * 86_400_000, ['0', '5 d', '10 d', '15 d', '20 d']],
  ])('of %s', (_, end, labels) => {
    expect(timeAxis(end, PLACE).ticks.map(({ label }) => label)).toEqual(labels);
  });

  it.each([0.001, 0.7, 3, 99, 1001, 59_999, 61_000, 7_300_000, 1e9])(
    'has room for its labels with %d ms',
    (end) => {
      const { ticks, at } = timeAxis(end, PLACE);
      const places = ticks.map((tick) => at(tick.at));
      expect(Math.max(...places)).toBeLessThanOrEqual(PLACE.left + PLACE.width);
      for (const [n, place] of places.entries()) {
        if (n > 0) expect(place - (places[n - 1] ?? 0)).toBeGreaterThan(70);
      }
    },
  );

  it('puts nothing outside', () => {
    const { at } = timeAxis(100, PLACE);
    expect([at(-5), at(0), at(50), at(100), at(105)]).toEqual([100, 100, 400, 700, 700]);
  });
});
