import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { avoidedIn, MOST_WORDS, REFERENCES, wordsIn } from '../../scripts/plain-words.js';
import { PAGES } from '../support/documentation/pages.js';

describe('a page', () => {
  it.each(PAGES.filter((page) => !REFERENCES.includes(page)))('is not too long: %s', (page) => {
    expect(wordsIn(readFileSync(page, 'utf8'))).toBeLessThanOrEqual(MOST_WORDS);
  });

  it.each(PAGES)('has none of the avoided words: %s', (page) => {
    expect(avoidedIn(readFileSync(page, 'utf8'))).toEqual([]);
  });
});

describe('words', () => {
  it('are counted where they have a letter or a digit, in code too', () => {
    expect(wordsIn('# One two\n\n| a | b |\n| - | - |\n\n```sh\nls -l 3\n```\n')).toBe(7);
  });

  it.each([
    ['Whoever reads it', 'Whoever'],
    ['it was told', 'told'],
    ['see what the\nstore has is whole', 'what the store has is'],
    ['the disk is to be\nfull', 'is to be'],
  ])('are avoided: %s', (text, word) => {
    expect(avoidedIn(`# T\n\n${text}\n`)).toEqual([expect.objectContaining({ line: 3, word })]);
  });

  it.each(['`whoever`', '```text\nnobody\n```', '[a](nobody.md)', '<!-- nobody -->', 'what a store has'])(
    'are not avoided in %s',
    (text) => {
      expect(avoidedIn(`${text}\n`)).toEqual([]);
    },
  );
});
