import { describe, expect, test } from 'vitest';
import type { TarEntryType } from '../../src/unpack/tar/tar-header.js';
import { TarReader } from '../../src/unpack/tar/tar-reader.js';
import { archive, directory, file, pax } from '../support/tar-builder.js';
import { partsOf } from './archive-parts.js';
import { mutateArchive } from './mutate-archive.js';
import { randomCompressed } from './random-compressed.js';
import { randomArchive } from './random-input.js';
import { randomLayer } from './random-layer.js';
import { Random } from './random.js';
import { endOf } from './layer-stacks.js';
import { outcomeOfSync } from './violation.js';

const SEED = 7;
const INPUTS = 1500;
const inputs = Array.from({ length: INPUTS }, (_, index) => randomArchive(new Random(SEED, index), []));

describe('random archives', () => {
  const types = new Set<TarEntryType>();
  const ends = inputs.map((input) =>
    endOf(
      outcomeOfSync(() => {
        const entry = ({ type }: { type: TarEntryType }): void => void types.add(type);
        const reader = new TarReader({ entry, data: () => undefined, endEntry: () => undefined });
        reader.push(input);
        reader.end();
      }),
    ),
  );

  test('are taken and refused, each often enough', () => {
    const taken = ends.filter((end) => end === 'done').length;
    expect(taken).toBeGreaterThan(INPUTS / 4);
    expect(taken).toBeLessThan((INPUTS * 3) / 4);
  });

  test('meet every answer of the reader', () => {
    expect([...new Set(ends)].sort()).toEqual(['BAD_ARCHIVE', 'LIMIT_EXCEEDED', 'UNSUPPORTED_ENTRY', 'done']);
  });

  test('have entries of every type', () => {
    expect([...types].sort()).toEqual(['block', 'character', 'directory', 'fifo', 'file', 'link', 'symlink']);
  });

  test('come again from the same number, and from no other', () => {
    const again = Array.from({ length: 50 }, (_, index) => randomArchive(new Random(SEED, index), []));
    expect(again).toEqual(inputs.slice(0, 50));
    expect(new Set(inputs.map((input) => input.toString('latin1'))).size).toBeGreaterThan(INPUTS * 0.99);
  });
});

test('an archive is the sum of its parts', () => {
  const whole = archive(pax({ comment: 'c' }), file('a', 'content'), directory('d'));
  expect(partsOf(whole).map(({ length }) => length)).toEqual([1024, 1024, 512, 512, 512]);
  for (const input of inputs.slice(0, 200)) expect(Buffer.concat(partsOf(input)).equals(input)).toBe(true);
});

test('a mutation changes something, nearly always', () => {
  const random = new Random(SEED);
  const changed = Array.from({ length: 300 }, () => {
    const layer = randomLayer(random);
    return !mutateArchive(layer, random).equals(layer);
  });
  expect(changed.filter(Boolean).length).toBeGreaterThan(270);
});

test('of compressed files some are known to be whole, some to be damaged, and of some nothing is known', () => {
  const random = new Random(SEED);
  const kinds = Array.from({ length: 200 }, () => {
    const { expected } = randomCompressed(random);
    return expected === undefined ? 'unknown' : expected === 'refused' ? 'damaged' : 'whole';
  });
  for (const kind of ['unknown', 'damaged', 'whole'] as const) {
    expect(kinds.filter((found) => found === kind).length, kind).toBeGreaterThan(30);
  }
});
