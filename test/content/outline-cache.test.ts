import { expect, test } from 'vitest';

import { type Outline, OutlineCache } from '../../src/content/images/referrer-finder.js';
import type { Digest } from '../../src/spec/index.js';

const named = (name: string): Digest => `sha256:${name}` as Digest;

function outline(children: number): Outline {
  const child = { digest: named('child'), mediaType: 'x' };
  return { mediaType: 'x', subject: undefined, children: Array.from({ length: children }, () => child) };
}

function kept(cache: OutlineCache): string {
  return ['a', 'b', 'c', 'd', 'e', 'f'].filter((name) => cache.get(named(name)) !== undefined).join('');
}

test('the oldest are forgotten, as many as the new one needs', () => {
  const cache = new OutlineCache(5);
  for (const name of 'abcde') cache.add(named(name), outline(0));
  expect(kept(cache)).toBe('abcde');
  cache.add(named('f'), outline(2));
  expect(kept(cache)).toBe('def');
});

test('one that comes again counts once, as the newest', () => {
  const cache = new OutlineCache(3);
  for (const name of 'abaa') cache.add(named(name), outline(0));
  cache.add(named('c'), outline(0));
  expect(kept(cache)).toBe('abc');
  cache.add(named('d'), outline(0));
  expect(kept(cache)).toBe('acd');
});

test('one that is too large is not kept', () => {
  const cache = new OutlineCache(3);
  cache.add(named('a'), outline(0));
  cache.add(named('b'), outline(3));
  expect(kept(cache)).toBe('');
  cache.add(named('c'), outline(2));
  expect(kept(cache)).toBe('c');
});
