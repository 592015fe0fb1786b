import { describe, expect, test } from 'vitest';
import { renderTable, type TableColumn } from '../../../src/cli/format/text.js';

const COLUMNS: readonly TableColumn[] = [
  { title: 'NAME', shrinks: true },
  { title: 'SIZE', align: 'right' },
];

test('columns are as wide as their widest cell', () => {
  const rows = [
    ['a-long-name', '1 B'],
    ['b', '12.3 MB'],
  ];
  expect(renderTable(COLUMNS, rows)).toBe(
    ['NAME            SIZE', 'a-long-name      1 B', 'b            12.3 MB', ''].join('\n'),
  );
});

test('what shrinks gives way on a narrow terminal, and only there', () => {
  const rows = [['a-very-long-name-of-an-image', '12.3 MB']];
  const narrow = renderTable(COLUMNS, rows, { width: 22 });
  expect(narrow).toBe(['NAME              SIZE', 'a-very-long-…  12.3 MB', ''].join('\n'));
  expect(renderTable(COLUMNS, rows)).toContain('a-very-long-name-of-an-image');
});

test('without rows the titles stand alone', () => {
  expect(renderTable(COLUMNS, [])).toBe('NAME  SIZE\n');
});

test('cells of foreign origin cannot move the cursor', () => {
  expect(renderTable([{ title: 'X' }], [['a\u001b[1A\nb']])).toBe('X\na\\u001b[1A b\n');
});

describe('optional columns', () => {
  const columns: readonly TableColumn[] = [
    { title: 'NAME', shrinks: true },
    { title: 'UNIQUE', optional: true },
    { title: 'PINNED' },
    { title: 'USED', optional: true },
  ];
  const rows = [['n'.repeat(30), '1.0 MB', 'yes', 'now']];
  const titles = (width?: number): string[] =>
    renderTable(columns, rows, { width }).split('\n')[0]?.split(/ +/) ?? [];

  test.each([
    [undefined, ['NAME', 'UNIQUE', 'PINNED', 'USED']],
    // The name needs 20 to be read, the others 16 and three gaps.
    [42, ['NAME', 'UNIQUE', 'PINNED', 'USED']],
    [41, ['NAME', 'UNIQUE', 'PINNED']],
    [36, ['NAME', 'UNIQUE', 'PINNED']],
    [35, ['NAME', 'PINNED']],
    [1, ['NAME', 'PINNED']],
  ])('within %s columns there are %j', (width, wanted) => {
    expect(titles(width)).toEqual(wanted);
  });

  test('what is left fits', () => {
    for (let width = 16; width < 60; width++) {
      for (const line of renderTable(columns, rows, { width }).split('\n')) {
        expect(line.length).toBeLessThanOrEqual(width);
      }
    }
  });

  test('cells stay below their own titles', () => {
    expect(renderTable(columns, [['a', 'b', 'c', 'd']], { width: 12 })).toBe('NAME  PINNED\na     c\n');
  });
});
