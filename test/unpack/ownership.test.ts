import { describe, expect, test } from 'vitest';
import {
  CALLERS,
  changesOwner,
  checkIdRanges,
  type IdRange,
  ownerOf,
  type Ownership,
  PRESERVED,
} from '../../src/unpack/terms/ownership.js';

const UNCHANGED = 2 ** 32 - 1;

describe('the owner that an entry gets', () => {
  const ranges: readonly IdRange[] = [
    { container: 0, host: 1000, size: 1 },
    { container: 1, host: 100_000, size: 65_535 },
    { container: 4_000_000_000, host: 7, size: 2 },
  ];
  test.each<[string, Ownership, number, number, readonly [number, number]]>([
    ['preserved', PRESERVED, 5, 6, [5, 6]],
    ["the caller's", CALLERS, 5, 6, [UNCHANGED, UNCHANGED]],
    ['one of each', { uid: 'caller', gid: 'preserve' }, 5, 6, [UNCHANGED, 6]],
    ['the first of a range', { uid: ranges, gid: 'preserve' }, 0, 0, [1000, 0]],
    ['the first of the next', { uid: ranges, gid: ranges }, 1, 2, [100_000, 100_001]],
    ['the last of a range', { uid: ranges, gid: ranges }, 65_535, 0, [165_534, 1000]],
    ['far up', { uid: ranges, gid: ranges }, 4_000_000_001, 4_000_000_000, [8, 7]],
  ])('%s', (_, ownership, uid, gid, expected) => {
    const owner = ownerOf(ownership, { uid, gid });
    expect([owner.uid, owner.gid]).toEqual(expected);
  });

  test.each([
    ['a user', { uid: 65_536, gid: 0 }, /^user 65536 is in no range/],
    ['a group', { uid: 0, gid: 4_000_000_002 }, /^group 4000000002 is in no range/],
  ])('%s that no range has is refused', (_, owner, message) => {
    expect(() => ownerOf({ uid: ranges, gid: ranges }, owner)).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringMatching(message) as string }),
    );
  });

  test('only where everything is the caller’s is nothing to be done', () => {
    expect(changesOwner(CALLERS)).toBe(false);
    expect(changesOwner(PRESERVED)).toBe(true);
    expect(changesOwner({ uid: 'caller', gid: [] })).toBe(true);
  });
});

describe('ranges of IDs', () => {
  test.each<[string, readonly (readonly [number, number, number])[]]>([
    ['none', []],
    ['one', [[0, 100_000, 65_536]]],
    ['all', [[0, 0, 2 ** 32 - 1]]],
    [
      'next to each other, in any order',
      [
        [1, 100_000, 10],
        [0, 1000, 1],
        [11, 100_010, 1],
      ],
    ],
  ])('%s', (_, ranges) => {
    expect(() => checkIdRanges(ranges.map(toRange))).not.toThrow();
  });

  test.each<[string, readonly (readonly [number, number, number])[], RegExp]>([
    ['empty', [[0, 0, 0]], /0:0:0 is no range/],
    ['negative', [[-1, 0, 1]], /-1:0:1 is no range/],
    ['a fraction', [[0, 0.5, 1]], /is no range/],
    ['with the ID that is none', [[0, 1, 2 ** 32 - 1]], /is no range/],
    ['beyond 32 bits in the container', [[2 ** 32 - 1, 0, 1]], /is no range/],
    [
      'that overlap in the container',
      [
        [0, 0, 2],
        [1, 10, 1],
      ],
      /overlap at the container's ID 1/,
    ],
    [
      'that overlap on the host',
      [
        [0, 10, 5],
        [100, 8, 3],
      ],
      /overlap at the host's ID 10/,
    ],
  ])('%s are refused', (_, ranges, message) => {
    expect(() => checkIdRanges(ranges.map(toRange))).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringMatching(message) as string }),
    );
  });
});

function toRange([container, host, size]: readonly [number, number, number]): IdRange {
  return { container, host, size };
}
