import { expect, test } from 'vitest';
import { suggest } from '../../src/cli/config/suggest.js';

test.each<[string, string, readonly string[], readonly string[]]>([
  ['a letter is missing', 'pul', ['pull', 'push', 'rmi'], ['pull']],
  ['a letter too many', 'pulll', ['pull', 'pulls', 'rmi'], ['pull', 'pulls']],
  ['two letters are exchanged', 'platfrom', ['platform', 'plain-http'], ['platform']],
  ['a letter is wrong', 'jsan', ['json', 'text'], ['json']],
  ['upper case', 'JSON', ['json', 'text'], ['json']],
  ['only the nearest', 'tagz', ['tags', 'tag', 'save'], ['tag', 'tags']],
  ['the beginning of several', 'log', ['login', 'logout', 'copy'], ['login', 'logout']],
  ['nothing is near', 'zzzzzzzz', ['pull', 'push'], []],
  ['a short word is near to nothing', 'x', ['ls', 'df'], []],
  ['nothing is known', 'pull', [], []],
])('%s', (_, word, known, wanted) => {
  expect(suggest(word, known)).toEqual(wanted);
});
