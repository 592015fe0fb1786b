import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { unpackLimits } from '../../../src/spec/index.js';
import { LayerWriter } from '../../../src/unpack/layer/layer-writer.js';
import { CALLERS } from '../../../src/unpack/terms/ownership.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { archive, directory, file, hardLink } from '../../support/tar-builder.js';
import { removeTree } from '../../support/unpack-fixture.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'landfall-noted-'));
});
afterEach(() => removeTree(root));

const NOTED_BYTES = 100_000;

function extract(layer: Buffer): void {
  const limits = unpackLimits({ notedBytes: NOTED_BYTES });
  const writer = new LayerWriter(root, { ownership: CALLERS, devices: true, limits });
  try {
    const reader = new TarReader(writer);
    reader.push(layer);
    reader.end();
    writer.finish();
  } finally {
    writer.close();
  }
}

function many(count: number, make: (i: number) => Buffer): Buffer {
  return archive(...Array.from({ length: count }, (_, i) => make(i)));
}

/** Each takes 600 bytes and some, and twice the length of the paths. */
const KINDS: readonly (readonly [
  kind: string,
  make: (i: number) => Buffer,
  taken: number,
  refused: number,
])[] = [
  ['directories', (i) => directory(`d${i}`), 150, 170],
  ['directories that are only implied', (i) => file(`d${i}/f`), 150, 170],
  ['directories below one another', (i) => file(`${i}/${'d/'.repeat(60)}f`), 2, 3],
  ['whiteouts', (i) => file(`.wh.${i}`), 150, 170],
  ['directories that only whiteouts name', (i) => file(`d${i}/.wh.x`), 75, 85],
  ['links that wait for a lower layer', (i) => hardLink(`l${i}`, `target${i}`), 75, 85],
  ['links to a long path', (i) => hardLink(`l${i}`, `${'t'.repeat(200)}${i}`), 60, 65],
];

describe('what has to be kept in memory is bounded by what it takes', () => {
  test.each(KINDS)('%s', (_, make, taken, refused) => {
    extract(many(taken, make));
    expect(() => extract(many(refused, (i) => make(i + taken)))).toThrow(
      expect.objectContaining({
        code: 'LIMIT_EXCEEDED',
        message: expect.stringContaining('memory') as string,
      }),
    );
  });

  test('files do not count', () => {
    extract(many(500, (i) => file(`f${i}`)));
  });
});
