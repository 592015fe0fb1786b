import { expect, test } from 'vitest';
import { ASCII_BAR, renderBar } from '../../../src/cli/format/text.js';

test.each([
  [0, 0, '..........'],
  [0.5, 0.2, '##===.....'],
  [1, 0, '=========='],
  [1, 1, '##########'],
  [0.999, 0.999, '#########.'],
  [0.3, 0.8, '########..'],
  [7, -1, '=========='],
])('downloaded %d, unpacked %d', (downloaded, unpacked, text) => {
  const bar = renderBar({ downloaded, unpacked }, 10, ASCII_BAR);
  expect(bar.unpacked + bar.downloaded + bar.missing).toBe(text);
});
