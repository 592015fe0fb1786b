import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ByteRanges } from '../../src/content/store/arriving-bytes.js';

const offsets = (start: number, end: number): number[] =>
  Array.from({ length: end - start }, (_, i) => start + i);

describe('ByteRanges', () => {
  it('says what is missing and how far it reaches from 0', () => {
    const ranges = new ByteRanges();
    expect([ranges.prefix, ranges.gaps(0, 10)]).toEqual([0, [{ start: 0, end: 10 }]]);
    ranges.add(5, 7);
    expect(ranges.gaps(0, 10)).toEqual([{ start: 0, end: 5 }, { start: 7, end: 10 }]); // prettier-ignore
    ranges.add(0, 5);
    expect(ranges.prefix).toBe(7);
    ranges.remove(2, 3);
    // prettier-ignore
    expect([ranges.prefix, ranges.gaps(0, 10)]).toEqual([2, [{ start: 2, end: 3 }, { start: 7, end: 10 }]]);
  });

  it('agrees with a plain set of offsets', () => {
    const LENGTH = 40;
    const step = fc.record({
      add: fc.boolean(),
      start: fc.nat(LENGTH),
      end: fc.nat(LENGTH),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.nat(LENGTH), fc.nat(LENGTH), (steps, from, to) => {
        const ranges = new ByteRanges();
        const model = new Set<number>();
        for (const { add, start, end } of steps) {
          if (add) ranges.add(start, end);
          else ranges.remove(start, end);
          for (let at = start; at < end; at += 1) {
            if (add) model.add(at);
            else model.delete(at);
          }
        }
        let prefix = 0;
        while (model.has(prefix)) prefix += 1;
        expect(ranges.prefix).toBe(prefix);
        const missing = new Set<number>();
        for (const { start, end } of ranges.gaps(from, to)) {
          for (let at = start; at < end; at += 1) missing.add(at);
        }
        for (let at = from; at < to; at += 1) expect(missing.has(at)).toBe(!model.has(at));
        expect([...missing].every((at) => at >= from && at < to)).toBe(true);
        expect(ranges.bytes).toBe(model.size);
        const { spans } = ranges;
        expect(spans.flatMap(({ start, end }) => offsets(start, end))).toEqual(
          [...model].sort((a, b) => a - b),
        );
        expect(spans.every(({ start }, i) => i === 0 || start > (spans[i - 1]?.end ?? Infinity))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
