import { describe, expect, it } from 'vitest';

import { parseChallenges } from '../../../src/registry/auth/authenticate.js';

const rows: [name: string, lines: string[], expected: [string, Record<string, string>][]][] = [
  ['none', [], []],
  ['basic', ['Basic realm="harbour"'], [['basic', { realm: 'harbour' }]]],
  ['a scheme alone', ['Negotiate'], [['negotiate', {}]]],
  [
    'bearer with a comma in a quoted string',
    ['Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"'],
    [['bearer', { realm: 'https://auth.example/token', service: 'reg', scope: 'repository:a/b:pull,push' }]],
  ],
  [
    'several in one line',
    ['Basic realm="x", Bearer realm="https://t", service="s"'],
    [
      ['basic', { realm: 'x' }],
      ['bearer', { realm: 'https://t', service: 's' }],
    ],
  ],
  [
    'several lines',
    ['Bearer realm="https://t"', 'Basic realm=x'],
    [
      ['bearer', { realm: 'https://t' }],
      ['basic', { realm: 'x' }],
    ],
  ],
  [
    'credentials of a scheme between',
    ['Negotiate oYG2/+aa==, Basic realm="x"'],
    [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
    ],
  ],
  [
    'escapes in a quoted string',
    [String.raw`Basic realm="a \"b\" \\c"`],
    [['basic', { realm: String.raw`a "b" \c` }]],
  ],
  [
    'blanks around the equals sign',
    ['Bearer realm = "https://t" , service = s'],
    [['bearer', { realm: 'https://t', service: 's' }]],
  ],
  ['case', ['BEARER Realm="https://t"'], [['bearer', { realm: 'https://t' }]]],
  [
    'a scheme named in a value',
    ['Bearer realm="Basic realm=y", service="s"'],
    [['bearer', { realm: 'Basic realm=y', service: 's' }]],
  ],
  [
    'the first of two values',
    ['Bearer realm="https://a", realm="https://b"'],
    [['bearer', { realm: 'https://a' }]],
  ],
  ['stray commas', [', ,Basic realm="x",,'], [['basic', { realm: 'x' }]]],
  [
    'an open quote: what stands before it',
    ['Basic realm="x", Bearer realm="https'],
    [
      ['basic', { realm: 'x' }],
      ['bearer', {}],
    ],
  ],
  ['rubbish', ['"==,('], []],
];

describe('parseChallenges', () => {
  it.each(rows)('reads %s', (_name, lines, expected) => {
    const found = parseChallenges(lines).map(({ scheme, parameters }) => [
      scheme,
      Object.fromEntries(parameters),
    ]);
    expect(found).toEqual(expected);
  });
});
