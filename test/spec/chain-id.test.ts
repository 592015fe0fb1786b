import { expect, it } from 'vitest';

import { chainIds, parseDigest } from '../../src/spec/index.js';

const [A, B, C] = ['a', 'b', 'c'].map((digit) => parseDigest(`sha256:${digit.repeat(64)}`)) as [
  ReturnType<typeof parseDigest>,
  ReturnType<typeof parseDigest>,
  ReturnType<typeof parseDigest>,
];
// printf 'sha256:aaa… sha256:bbb…' | sha256sum, and the next in the same way.
const AB = 'sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c';
const ABC = 'sha256:c1377126441fb2f5ec2c21ae2a60255331d639e830f0ee1b40a36e52d4c40588';

it.each([
  ['no layers', [], []],
  ['one layer: its diffId', [A], [A]],
  ['two layers', [A, B], [A, AB]],
  ['three layers', [A, B, C], [A, AB, ABC]],
])('the chain of %s', (_, diffIds, expected) => {
  expect(chainIds(diffIds)).toEqual(expected);
});

it('the order of the layers matters', () => {
  expect(chainIds([A, B]).at(-1)).not.toBe(chainIds([B, A]).at(-1));
});
