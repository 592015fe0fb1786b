import { describe, expect, it } from 'vitest';

import {
  dateOf,
  integerOf,
  jsonOf,
  labelsOf,
  optionalIntegerOf,
  optionalTextOf,
  type Row,
  textOf,
} from '../../src/metadata/index.js';

const ROW: Row = { text: 'a', number: 5, nothing: null, labels: '{"a":"b"}', list: '[1]', broken: '{' };

describe('a row', () => {
  it.each<[string, unknown, unknown]>([
    ['text', textOf(ROW, 'text'), 'a'],
    ['an integer', integerOf(ROW, 'number'), 5],
    ['a time', dateOf(ROW, 'number'), new Date(5)],
    ['JSON', jsonOf(ROW, 'list'), [1]],
    ['labels', labelsOf(ROW, 'labels'), { a: 'b' }],
    ['text that is absent', optionalTextOf(ROW, 'nothing'), undefined],
    ['an integer that is absent', optionalIntegerOf(ROW, 'nothing'), undefined],
    ['text that may be absent', optionalTextOf(ROW, 'text'), 'a'],
    ['an integer that may be absent', optionalIntegerOf(ROW, 'number'), 5],
  ])('gives %s', (_, value, expected) => {
    expect(value).toEqual(expected);
  });

  it.each<[string, () => unknown]>([
    ['text for a number', () => integerOf(ROW, 'text')],
    ['a number for text', () => textOf(ROW, 'number')],
    ['NULL for text', () => textOf(ROW, 'nothing')],
    ['a column that is not there', () => optionalTextOf(ROW, 'missing')],
    ['a number for text that may be absent', () => optionalTextOf(ROW, 'number')],
    ['what is not JSON', () => jsonOf(ROW, 'broken')],
    ['labels that are not text', () => labelsOf(ROW, 'list')],
  ])('refuses %s', (_, read) => {
    expect(read).toThrow(expect.objectContaining({ code: 'STORE_CORRUPT' }) as Error);
  });
});
