import { expect, it } from 'vitest';
import { RecentMap } from '../../src/concurrency/index.js';

it('keeps so many entries, and forgets what was set longest ago', () => {
  const map = new RecentMap<string, number>(2);
  map.set('a', 1).set('b', 2).set('a', 3).set('c', 4);
  expect([...map]).toEqual([
    ['a', 3],
    ['c', 4],
  ]);
  map.set('c', 5);
  expect(map.size).toBe(2);
  expect(map.get('b')).toBeUndefined();
});
