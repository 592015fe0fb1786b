import { describe, expect, test } from 'vitest';

import { parseWarnings } from '../../../src/registry/http/http.js';

describe('the warnings of', () => {
  const rows: [name: string, lines: string[], texts: string[]][] = [
    ['no header', [], []],
    ['one', ['299 - "Your token expires soon."'], ['Your token expires soon.']],
    ['two lines', ['299 - "one"', '299 - "two"'], ['one', 'two']],
    ['two in a line', ['299 - "one, or so", 299 - "two"'], ['one, or so', 'two']],
    ['the same twice', ['299 - "one", 299 - "one"', '299 - "one"'], ['one']],
    ['one with quotes', [String.raw`299 - "use \"new\" \\ not old"`], [String.raw`use "new" \ not old`]],
    ['one without text', ['299 - ""', '299 - "  "'], []],
    ['a cache', ['110 - "Response is Stale"', '214 proxy:80 "Transformation Applied"'], []],
    ['another agent', ['299 proxy.example "look out"'], []],
    ['one with a date', ['299 - "old" "Wed, 21 Oct 2015 07:28:00 GMT"', '299 - "new"'], ['new']],
    ['a cache and the registry', ['110 - "stale", 299 - "one"'], ['one']],
    ['no code', ['- "one"'], []],
    ['no quotes', ['299 - one'], []],
    ['an open quote', ['299 - "one'], []],
    ['words after it', ['299 - "one" two, 299 - "three"'], []],
    ['a fault, and another line', ['299', '299 - "one"'], ['one']],
    ['escape sequences', ['299 - "\u001b[31mred\u001b[0m\u202e\u0007 \r\n alert"'], ['[31mred [0m alert']],
    [
      'a signed URL',
      ['299 - "see https://x.example/a?sig=secret and HTTPS://y.example/?t=1"'],
      ['see https://x.example/a and HTTPS://y.example/'],
    ],
    ['a long one', [`299 - "${'x'.repeat(501)}"`], [`${'x'.repeat(500)}…`]],
    ['characters beyond 16 bits', [`299 - "${'⚓🛳'.repeat(251)}"`], [`${'⚓🛳'.repeat(166)}⚓…`]],
  ];
  test.each(rows)('%s', (_name, lines, texts) => {
    expect(parseWarnings(lines)).toEqual(texts);
  });

  test('a registry that sends too much, up to the limit', () => {
    const lines = Array.from({ length: 100 }, (_, at) => `299 - "${String(at).padStart(90, '0')}"`);
    expect(parseWarnings(lines)).toHaveLength(Math.floor(4096 / 98));
  });
});
