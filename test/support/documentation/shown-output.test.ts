import { expect, it } from 'vitest';
import { differenceFrom } from './shown-output.js';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

it.each([
  ['the same', 'a\nb', 'a\nb\n'],
  ['another digest', `pulled sha256:${'cd'.repeat(32)}`, `pulled ${DIGEST}`],
  ['a digest left out', 'pulled sha256:…', `pulled ${DIGEST}`],
  ['another size', '3.6 MB', '491 B'],
  ['another time', 'in 1.2 s, 2 days ago', 'in 90 ms, just now'],
  ['wider columns', 'NAME  TAG', 'NAME        TAG'],
  ['text left out', 'a … c', 'a b c'],
  ['lines left out', 'a\n…\nd', 'a\nb\nc\nd'],
  ['no lines where some may be', 'a\n…\nd', 'a\nd'],
])('takes %s', (_, shown, printed) => {
  expect(differenceFrom(shown, printed)).toBeUndefined();
});

it.each([
  ['another word', 'pulled a', 'pulled b'],
  ['a line more at the end', 'a', 'a\nb'],
  ['a line more at the beginning', 'b', 'a\nb'],
  ['a line less', 'a\nb', 'a'],
  ['what looks like a pattern', 'a.c', 'abc'],
  ['text of another line in place of what is left out', 'a … c', 'a b\nc'],
  ['nothing', 'a', ''],
])('does not take %s', (_, shown, printed) => {
  expect(differenceFrom(shown, printed)).toContain('printed:');
});
