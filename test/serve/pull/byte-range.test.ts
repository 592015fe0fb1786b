import { describe, expect, test } from 'vitest';

import { type RangeAnswer, readRange } from '../../../src/serve/pull/answer-pull.js';

const rows: [name: string, header: string | undefined, size: number, answer: RangeAnswer][] = [
  ['no header', undefined, 10, 'whole'],
  ['from and to', 'bytes=2-4', 10, { offset: 2, length: 3 }],
  ['one byte', 'bytes=0-0', 10, { offset: 0, length: 1 }],
  ['to the end', 'bytes=7-', 10, { offset: 7, length: 3 }],
  ['everything', 'bytes=0-', 10, { offset: 0, length: 10 }],
  ['an end beyond the blob', 'bytes=8-99', 10, { offset: 8, length: 2 }],
  ['the last bytes', 'bytes=-3', 10, { offset: 7, length: 3 }],
  ['more last bytes than there are', 'bytes=-99', 10, { offset: 0, length: 10 }],
  ['the last no bytes', 'bytes=-0', 10, 'unsatisfiable'],
  ['from the end on', 'bytes=10-', 10, 'unsatisfiable'],
  ['far beyond the end', 'bytes=99-100', 10, 'unsatisfiable'],
  ['anything of an empty blob', 'bytes=0-', 0, 'unsatisfiable'],
  ['the last bytes of an empty blob', 'bytes=-1', 0, 'unsatisfiable'],
  ['several ranges', 'bytes=0-1,4-5', 10, 'whole'],
  ['backwards', 'bytes=4-2', 10, 'unsatisfiable'],
  ['backwards and beyond the end', 'bytes=40-20', 10, 'unsatisfiable'],
  ['another unit', 'lines=0-1', 10, 'whole'],
  ['no numbers', 'bytes=-', 10, 'whole'],
  ['not a number', 'bytes=a-b', 10, 'whole'],
  ['a sign', 'bytes=+1-2', 10, 'whole'],
  ['a number that no blob reaches', `bytes=${'9'.repeat(15)}-`, 10, 'unsatisfiable'],
  ['a number too long to be exact', `bytes=${'9'.repeat(30)}-`, 10, 'whole'],
  ['the unit in capitals', 'Bytes=1-1', 10, { offset: 1, length: 1 }],
];

describe('a Range header', () => {
  test.each(rows)('%s', (_name, header, size, answer) => {
    expect(readRange(header, size)).toEqual(answer);
  });
});
