import { expect, test } from 'vitest';
import { ImageBudget, LayerBytes } from '../../src/unpack/jobs/shared-memory.js';

const EXCEEDED = expect.objectContaining({ code: 'LIMIT_EXCEEDED' }) as Error;

test('the layers of an image share its bytes', () => {
  const budget = new ImageBudget(3);
  const first = new LayerBytes(100, budget.layer(0));
  const last = new LayerBytes(100, budget.layer(2));
  first.add(40);
  last.add(59);
  first.add(1);
  expect(() => last.add(1)).toThrow(EXCEEDED);
});

test('a layer that is begun anew does not count twice', () => {
  const budget = new ImageBudget(2);
  new LayerBytes(100, budget.layer(1)).add(30);
  new LayerBytes(100, budget.layer(0)).add(70);
  const again = new LayerBytes(100, budget.layer(0));
  again.add(70);
  expect(() => again.add(1)).toThrow(EXCEEDED);
});

test('two images have nothing to do with each other, nor has a layer that stands for itself', () => {
  for (const budget of [new ImageBudget(1).layer(0), new ImageBudget(1).layer(0), undefined, undefined]) {
    const layer = new LayerBytes(100, budget);
    layer.add(100);
    expect(() => layer.add(1)).toThrow(EXCEEDED);
  }
});
