import { describe, expect, test } from 'vitest';
import { collectIdRange } from '../../src/cli/options/options.js';
import { ownershipOf } from '../../src/cli/commands/unpack.js';
import { defaultOwnership } from '../../src/unpack/terms/ownership.js';

describe('--uid-map', () => {
  test('is CONTAINER:HOST:SIZE, several times', () => {
    const first = collectIdRange('0:1000:1');
    expect(collectIdRange('1:100000:65535', first)).toEqual([
      { container: 0, host: 1000, size: 1 },
      { container: 1, host: 100_000, size: 65_535 },
    ]);
  });

  test.each(['', '0', '0:1', '0:1:2:3', 'a:b:c', '-1:0:1', '0:0:1.5', ' 0:0:1', '0:0:99999999999'])(
    '%s is none',
    (text) => {
      expect(() => collectIdRange(text)).toThrow('Write CONTAINER:HOST:SIZE, for example 0:100000:65536.');
    },
  );
});

describe('the ownership that is asked for', () => {
  const range = [{ container: 0, host: 5, size: 1 }];
  test.each([
    ['neither', {}, defaultOwnership()],
    ['users only', { uidMap: range }, { ...defaultOwnership(), uid: range }],
    ['groups only', { gidMap: range }, { ...defaultOwnership(), gid: range }],
    ['both', { uidMap: range, gidMap: range }, { uid: range, gid: range }],
  ])('%s', (_, flags, expected) => {
    expect(ownershipOf(flags)).toEqual(expected);
  });

  test.each([
    ['users', 'uidMap'],
    ['groups', 'gidMap'],
  ])('refuses ranges of %s that overlap', (_, flag) => {
    const overlapping = collectIdRange('5:0:1', collectIdRange('0:100:10'));
    expect(() => ownershipOf({ [flag]: overlapping })).toThrow("two ranges overlap at the container's ID 5");
  });
});
