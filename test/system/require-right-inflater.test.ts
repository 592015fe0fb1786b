import { expect, it } from 'vitest';
import { createInflater, type Inflater, type InflateStep } from '../../src/system/index.js';
import { requireRightInflater } from '../../src/system/inflaters.js';

type Step = (input: Buffer, output: Buffer) => InflateStep;

/** zlib, with its steps changed. */
function inflaterWith(change: (step: Step) => Step, isContained = true): Inflater & { isContained: boolean } {
  const inflater = createInflater('zlib');
  return {
    isContained,
    begin: () => inflater.begin(),
    step: change((input, output) => inflater.step(input, output)),
    stepAsync: (input, output) => inflater.stepAsync(input, output),
    close: () => inflater.close(),
  };
}

it.each<[string, RegExp, (step: Step) => Step]>([
  [
    'inflates to something else',
    /something else/,
    (step) => (input, output) => {
      const done = step(input, output);
      if (done.produced > 0) output[0] = 0;
      return done;
    },
  ],
  [
    'does not tell the end',
    /something else/,
    (step) => (input, output) => ({ ...step(input, output), ended: false }),
  ],
  [
    'takes what is cut short for whole',
    /cut short/,
    (step) => (input, output) => {
      const done = step(input, output);
      return { ...done, ended: done.ended || done.consumed === 0 };
    },
  ],
  [
    'does not verify the trailer',
    /does not verify/,
    (step) => (input, output) => {
      try {
        return step(input, output);
      } catch {
        return { consumed: 0, produced: 0, ended: true };
      }
    },
  ],
  [
    'breaks',
    /broken/,
    () => () => {
      throw new Error('broken');
    },
  ],
])('a library that %s is not used', (_, message, change) => {
  expect(() => requireRightInflater(inflaterWith(change))).toThrow(message);
});

it('a library whose state is larger than is known is not used', () => {
  expect(() => requireRightInflater(inflaterWith((step) => step, false))).toThrow(/larger/);
});

it('closes what it was given', () => {
  const inflater = inflaterWith((step) => step);
  requireRightInflater(inflater);
  expect(() => inflater.begin()).toThrow(/closed/);
});
