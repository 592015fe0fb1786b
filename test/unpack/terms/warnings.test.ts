import { expect, test } from 'vitest';
import { Warnings } from '../../../src/unpack/terms/layer-fault.js';

test('each kind is said once, about the first that had it', () => {
  const warnings = new Warnings();
  warnings.once('kind', 'the first');
  warnings.once('kind', 'the second');
  warnings.add('the same');
  warnings.add('the same');
  expect(warnings.list()).toEqual(['the first', 'the same']);
});

test('of more kinds than anybody reads only the first are told, and that there are more', () => {
  const warnings = new Warnings();
  for (let i = 0; i < 100; i++) warnings.add(`kind ${i}`);
  expect(warnings.list()).toHaveLength(100);
  for (let i = 0; i < 1000; i++) warnings.add(`kind ${i}`);
  expect(warnings.list()).toHaveLength(101);
  expect(warnings.list().at(-1)).toBe('there are more warnings for this layer than are shown');
});
