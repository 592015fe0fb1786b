import { expect, test } from 'vitest';
import { matchesGlob } from '../../src/spec/glob.js';

test.each([
  ['debian:*', 'debian:trixie', true],
  ['debian:*', 'debian', false],
  ['*', '', true],
  ['*/debian:*', 'docker.io/library/debian:trixie', true],
  ['a?c', 'abc', true],
  ['a?c', 'ac', false],
  ['*ab', 'aab', true],
  ['a*b*c', 'axxbyyc', true],
  ['a*b*c', 'axxcyyb', false],
  ['a.c', 'abc', false],
  ['', 'a', false],
  ['a', '', false],
  ['*a*a*a*a*a*a*a*a*b', 'a'.repeat(2000), false],
])('%s and %s', (pattern, text, fits) => {
  expect(matchesGlob(pattern, text)).toBe(fits);
});
