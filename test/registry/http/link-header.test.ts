import { describe, expect, test } from 'vitest';

import { nextTarget, parseLinks } from '../../../src/registry/lists/paged-list.js';

describe('the next page is at', () => {
  const rows: [name: string, lines: string[], target: string | undefined][] = [
    ['no line', [], undefined],
    ['a path', ['</v2/a/tags/list?last=1&n=2>; rel="next"'], '/v2/a/tags/list?last=1&n=2'],
    ['a URL', ['<https://r.example/v2/_catalog?n=1>; rel="next"'], 'https://r.example/v2/_catalog?n=1'],
    ['a relation without quotes', ['</x>; rel=next'], '/x'],
    ['a relation in capitals', ['</x>; REL="Next"'], '/x'],
    ['one of several relations', ['</x>; rel="last next"'], '/x'],
    ['a link without blanks', ['</x>;rel="next"'], '/x'],
    ['a link with many blanks', ['  <  /x  >  ;  rel  =  "next"  '], '/x'],
    ['a link that ends in a semicolon', ['</x>; rel="next";'], '/x'],
    ['the second link of a line', ['</first>; rel="first", </x>; rel="next"'], '/x'],
    ['the second line', ['</first>; rel="first"', '</x>; rel="next"'], '/x'],
    ['the first of two', ['</x>; rel="next", </y>; rel="next"'], '/x'],
    ['a target with commas and semicolons', ['</x?a=1,2;b=3>; rel="next"'], '/x?a=1,2;b=3'],
    [
      'after a title that looks like a link',
      ['</y>; title="a, </z>; rel=\\"next\\"", </x>; rel="next"'],
      '/x',
    ],
    ['after a parameter without a value', ['</x>; crossorigin; rel="next"'], '/x'],
    ['after a media type', ['</x>; type=text/html; rel="next"'], '/x'],
    ['after empty items', [', ,</x>; rel="next"'], '/x'],
    ['nowhere: another relation', ['</x>; rel="prev"'], undefined],
    ['nowhere: a relation that only contains it', ['</x>; rel="nextish"'], undefined],
    ['nowhere: no relation', ['</x>'], undefined],
    ['nowhere: only the first relation counts', ['</x>; rel="prev"; rel="next"'], undefined],
    ['nowhere: the context is another one', ['</x>; anchor="/other"; rel="next"'], undefined],
    ['nowhere: no brackets', ['/x; rel="next"'], undefined],
    ['nowhere: an open bracket', ['</x; rel="next"'], undefined],
    ['nowhere: an open quote', ['</x>; rel="next'], undefined],
    ['nowhere: words after the value', ['</x>; rel="next" next'], undefined],
  ];
  test.each(rows)('%s', (_name, lines, target) => {
    expect(nextTarget(lines)).toBe(target);
  });
});

test('all links are told, up to a fault in their line', () => {
  expect(parseLinks(['</a>; rel="x Y", </b>, c, </d>', '<>; rel=z'])).toEqual([
    { target: '/a', rel: ['x', 'y'] },
    { target: '/b', rel: [] },
    { target: '', rel: ['z'] },
  ]);
});
