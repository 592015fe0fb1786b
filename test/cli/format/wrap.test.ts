import { describe, expect, test } from 'vitest';
import { wrapShell, wrapWords } from '../../../src/cli/format/text.js';

describe('words in lines', () => {
  test.each<[string, string, number, string[]]>([
    ['that fit', 'one two', 7, ['one two']],
    ['that do not', 'one two three', 8, ['one two', 'three']],
    ['a word that is too long', 'a 123456789 b', 4, ['a', '123456789', 'b']],
    ['blanks of all kinds', ' one\n two\t', 20, ['one two']],
    ['none', '', 20, []],
  ])('%s', (_, text, width, lines) => {
    expect(wrapWords(text, width)).toEqual(lines);
  });
});

describe('a command for a shell', () => {
  test.each<[string, string, number, string[]]>([
    ['that fits', 'landfall pull a', 15, ['landfall pull a']],
    ['that does not', 'landfall pull a b', 16, ['landfall pull \\', 'a b']],
    [
      'is not torn within quotes',
      "landfall images --filter 'a b'",
      20,
      ['landfall images \\', "--filter 'a b'"],
    ],
  ])('%s', (_, command, width, lines) => {
    expect(wrapShell(command, width)).toEqual(lines);
    // The shell sees the same words.
    expect(lines.join('\n').replaceAll('\\\n', '')).toBe(command);
  });
});
