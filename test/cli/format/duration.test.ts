import { expect, test } from 'vitest';
import { formatAge, formatDuration } from '../../../src/cli/format/text.js';

test.each([
  [0, '0 ms'],
  [84.6, '85 ms'],
  [999.6, '1.0 s'],
  [3200, '3.2 s'],
  [59_960, '1 min 0 s'],
  [125_000, '2 min 5 s'],
  [3_599_600, '1 h 0 min'],
  [3_720_000, '1 h 2 min'],
])('%d ms', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});

test.each([
  [0, 'just now'],
  [-5, 'just now'],
  [1, '1 second ago'],
  [59, '59 seconds ago'],
  [60, '1 minute ago'],
  [7200, '2 hours ago'],
  [86_400 * 3, '3 days ago'],
  [86_400 * 20, '2 weeks ago'],
  [86_400 * 45, '1 month ago'],
  [86_400 * 800, '2 years ago'],
])('%d s before', (seconds, text) => {
  const now = new Date('2025-01-01T00:00:00Z');
  expect(formatAge(new Date(now.getTime() - seconds * 1000), now)).toBe(text);
});
