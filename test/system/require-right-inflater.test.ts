import { describe, expect, it } from 'vitest';
import { createInflater, type Inflater, type InflateStep } from '../../src/system/index.js';
import { requireKnownState } from '../../src/system/inflate/inflater.js';
import { requireRightInflater } from '../../src/system/inflate/inflaters.js';

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
    /accepts truncated data/,
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

describe('the state of ISA-L', () => {
  type Ranges = readonly (readonly [from: number, to: number])[];
  const INIT: Ranges = [
    [0, 40],
    [21_160, 21_216],
  ];
  /** As from 2.30 on. */
  const RESET: Ranges = [
    [12, 16],
    [24, 32],
    [36, 40],
    [21_160, 21_172],
    [21_176, 21_180],
    [21_184, 21_216],
  ];
  const clearing = (ranges: Ranges) => (state: Buffer) => {
    for (const [from, to] of ranges) state.fill(0, from, to);
  };

  it.each<[version: string, init: Ranges, reset: Ranges]>([
    ['2.30 to 2.32', INIT, RESET],
    ['2.24 to 2.29', INIT, [...RESET.slice(0, -1), [21_184, 21_204], [21_206, 21_216]]],
  ])('is known of %s', (_, init, reset) => {
    expect(() => requireKnownState(clearing(init), clearing(reset))).not.toThrow();
  });

  it.each<[version: string, init: Ranges, reset: Ranges]>([
    [
      'a version without hist_bits, as 2.23',
      [
        [0, 40],
        [21_160, 21_212],
      ],
      RESET,
    ],
    [
      'a version with a field more',
      [
        [0, 40],
        [21_160, 21_220],
      ],
      RESET,
    ],
    [
      'a version with larger tables',
      [
        [0, 40],
        [23_208, 23_264],
      ],
      RESET,
    ],
    [
      'a version that has crc_flag elsewhere',
      INIT,
      [...RESET.slice(0, 3), [21_164, 21_180], [21_184, 21_216]],
    ],
    ['a version that clears nothing', [], []],
  ])('is refused of %s', (_, init, reset) => {
    expect(() => requireKnownState(clearing(init), clearing(reset))).toThrow(/laid out in another way/);
  });
});
