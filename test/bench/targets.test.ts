import { describe, expect, test } from 'vitest';
import type { Target } from '../../bench/contract.js';
import { judge } from '../../bench/targets.js';

const MEDIANS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  own: { wall: 4, peak: 150e6, headRequests: 1 },
  quick: { wall: 10 },
  slow: { wall: 12 },
};
const medianOf = (contestant: string, figure: string): number | undefined => MEDIANS[contestant]?.[figure];
const wall = { figure: 'wall', of: 'own' } as const;

describe('judge', () => {
  test.each<[string, Target, { promise: string; text: string; value: number; met: boolean }]>([
    [
      'a ratio to the best of several',
      { ...wall, compare: 'ratio', against: ['slow', 'quick'], atMost: 0.38 },
      { promise: 'wall of own: at most 0.38 × slow or quick', text: '0.4 ×', value: 0.4, met: false },
    ],
    [
      'a ratio that just holds',
      { ...wall, compare: 'ratio', against: ['quick'], atMost: 0.4 },
      { promise: 'wall of own: at most 0.4 × quick', text: '0.4 ×', value: 0.4, met: true },
    ],
    [
      'a ratio of at least',
      { figure: 'wall', of: 'slow', compare: 'ratio', against: ['own'], atLeast: 3 },
      { promise: 'wall of slow: at least 3 × own', text: '3 ×', value: 3, met: true },
    ],
    [
      'a ratio that is too small',
      { figure: 'wall', of: 'quick', compare: 'ratio', against: ['own'], atLeast: 3 },
      { promise: 'wall of quick: at least 3 × own', text: '2.5 ×', value: 2.5, met: false },
    ],
    [
      'a difference, in the unit of the figure',
      { figure: 'wall', of: 'slow', compare: 'difference', against: ['quick'], atMost: 2.5 },
      { promise: 'wall of slow: at most 2.50 s more than quick', text: '2.00 s', value: 2, met: true },
    ],
    [
      'a value of bytes',
      { figure: 'peak', of: 'own', compare: 'value', atMost: 100e6 },
      { promise: 'peak of own: at most 100 MB', text: '150 MB', value: 150e6, met: false },
    ],
    [
      'a value that is only of this case',
      { figure: 'headRequests', of: 'own', compare: 'value', atMost: 1 },
      { promise: 'headRequests of own: at most 1', text: '1', value: 1, met: true },
    ],
  ])('%s', (_name, target, { promise, ...found }) => {
    expect(judge(target, medianOf)).toEqual({ promise, found });
  });

  test.each<[string, Target]>([
    ['is missing', { figure: 'wall', of: 'nobody', compare: 'value', atMost: 1 }],
    ['it is held against is missing', { ...wall, compare: 'ratio', against: ['nobody'], atMost: 1 }],
    ['may be the best is missing', { ...wall, compare: 'ratio', against: ['quick', 'nobody'], atMost: 1 }],
    ['does not tell the figure', { figure: 'peak', of: 'slow', compare: 'value', atMost: 1 }],
  ])('nothing where one who %s', (_name, target) => {
    expect(judge(target, medianOf)).not.toHaveProperty('found');
  });
});
