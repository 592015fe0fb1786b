import { expect, it } from 'vitest';

import { quoted } from '../../src/spec/index.js';

it.each([
  ['plain text', 'alpine:3', '"alpine:3"'],
  ['a quote', 'a"b', String.raw`"a\"b"`],
  ['a line break', 'a\nb', String.raw`"a\nb"`],
  ['a terminal escape', '\u001b[2J', String.raw`"\u001b[2J"`],
  ['a C1 control', '\u009b2J', String.raw`"\u{9b}2J"`],
  ['a right-to-left override', 'a\u202eb', String.raw`"a\u{202e}b"`],
  ['a line separator', 'a\u2028b', String.raw`"a\u{2028}b"`],
  ['a tag beyond the basic plane', '\u{e0041}', String.raw`"\u{e0041}"`],
  ['half of a pair', '\ud800', String.raw`"\ud800"`],
  ['other scripts', 'ålpin 🐧', '"ålpin 🐧"'],
])('%s', (_, text, expected) => {
  expect(quoted(text)).toBe(expected);
});

it('long text is cut', () => {
  expect(quoted('a'.repeat(1000))).toBe(`"${'a'.repeat(100)}…"`);
  expect(quoted('abcdef', 3)).toBe('"abc…"');
});
