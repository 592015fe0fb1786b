import { expect, test } from 'vitest';
import { renderTable, type TableColumn } from '../../../src/cli/format/table.js';

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
