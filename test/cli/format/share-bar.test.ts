import { describe, expect, test } from 'vitest';
import { renderShares, shareCells } from '../../../src/cli/format/text.js';

describe('the cells of a bar', () => {
  test.each<[amounts: number[], width: number, cells: number[]]>([
    [[1, 1], 10, [5, 5]],
    [[1, 3], 8, [2, 6]],
    // What rounding leaves goes to the largest.
    [[1, 1, 4], 10, [1, 1, 8]],
    [[3, 1, 1], 10, [6, 2, 2]],
    // A small part is seen, and the largest pays for it.
    [[1, 1e9], 10, [1, 9]],
    [[1, 1, 1e9], 10, [1, 1, 8]],
    [[0, 1], 10, [0, 10]],
    [[0, 0], 10, [0, 0]],
    [[], 10, []],
    // More parts than cells.
    [[5, 4, 3], 2, [0, 1, 1]],
    [[7], 1, [1]],
  ])('%j in %d: %j', (amounts, width, cells) => {
    expect(shareCells(amounts, width)).toEqual(cells);
  });

  test('are as many as the bar is wide', () => {
    for (let width = 1; width < 60; width++) {
      const amounts = [width * 7, 13, 1, 1000 / width, 0, 400];
      expect(shareCells(amounts, width).reduce((sum, cells) => sum + cells, 0)).toBe(width);
      expect(Math.min(...shareCells(amounts, width))).toBeGreaterThanOrEqual(0);
    }
  });
});

test('parts are drawn in their order, each painted for itself', () => {
  const parts = [
    { amount: 1, mark: '#' },
    { amount: 3, mark: '.' },
  ];
  expect(renderShares(parts, 8)).toBe('##......');
  expect(renderShares(parts, 8, (text, at) => `<${at}${text}>`)).toBe('<0##><1......>');
});
