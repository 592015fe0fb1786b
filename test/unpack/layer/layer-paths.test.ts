import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { unpackLimits } from '../../../src/spec/index.js';
import { IndexBudget } from '../../../src/unpack/files/image-tree.js';
import { LayerIndexer } from '../../../src/unpack/files/layer-indexer.js';
import { LayerWriter } from '../../../src/unpack/layer/layer-writer.js';
import { CALLERS } from '../../../src/unpack/terms/ownership.js';
import { type TarHandler, TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { Warnings } from '../../../src/unpack/terms/layer-fault.js';
import { archive, directory, file, symlink } from '../../support/tar-builder.js';
import { removeTree } from '../../support/unpack-fixture.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'landfall-paths-'));
});
afterEach(() => removeTree(root));

function read(layer: Buffer, handler: TarHandler & { finish(): unknown }): void {
  const reader = new TarReader(handler);
  reader.push(layer);
  reader.end();
  handler.finish();
}

/** Layers go to the disk and into memory by the same paths. */
const PLACES: readonly (readonly [place: string, put: (layer: Buffer) => void])[] = [
  [
    'on the disk',
    (layer) => {
      const writer = new LayerWriter(mkdtempSync(join(root, 'layer-')), {
        ownership: CALLERS,
        devices: true,
      });
      try {
        read(layer, writer);
      } finally {
        writer.close();
      }
    },
  ],
  [
    'in memory',
    (layer) => {
      const limits = unpackLimits();
      const budget = new IndexBudget(limits.indexBytes);
      read(layer, new LayerIndexer({ layer: 0, limits, budget, warnings: new Warnings() }));
    },
  ],
];

describe.each(PLACES)('%s', (_, put) => {
  test.each([
    ['a whiteout', '.wh.a/b'],
    ['an opaque whiteout', 'd/.wh..wh..opq'],
    ['what aufs left', '.wh..wh.aufs'],
    ["aufs' links, elsewhere than at the root", 'd/.wh..wh.plnk'],
  ])('no symlink makes a directory with the name of %s', (_name, target) => {
    expect(() => put(archive(symlink('s', target), file('s/f')))).toThrow(
      expect.objectContaining({
        code: 'BAD_ARCHIVE',
        message: expect.stringMatching(/"s\/f".*whiteout/) as string,
      }),
    );
  });

  const DEEP = 'd/'.repeat(1023);
  const LONG = `${'l'.repeat(200)}/`.repeat(20);
  test.each([
    ['components', archive(symlink('s', DEEP), file('s/f')), archive(symlink('s', DEEP), file('s/d/f'))],
    [
      'bytes',
      archive(symlink('s', LONG), file(`s/${'f'.repeat(4096 - LONG.length)}`)),
      archive(symlink('s', LONG), file(`s/${'f'.repeat(4097 - LONG.length)}`)),
    ],
  ])('no symlink leads to a path of more %s than an entry may name itself', (_name, taken, refused) => {
    put(taken);
    expect(() => put(refused)).toThrow(
      expect.objectContaining({
        code: 'LIMIT_EXCEEDED',
        message: expect.stringContaining('resolves to') as string,
      }),
    );
  });

  test('a slash behind a path, or what leads to the root before it, is no part of its length', () => {
    const path = `${LONG}${'f'.repeat(4096 - LONG.length)}`;
    for (const lead of ['./', '/', '']) put(archive(file(`${lead}${path}`)));
    put(archive(directory(`./${path.slice(0, -1)}/`)));
    expect(() => put(archive(file(`./${path}f`)))).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
  });

  test('a path leads elsewhere when the entry before has replaced what it leads through', () => {
    const parts = [directory('d'), symlink('d/up', '..'), file('d/up/d'), file('d/up/f')];
    put(archive(...parts.slice(0, -1)));
    expect(() => put(archive(...parts))).toThrow(
      expect.objectContaining({
        code: 'BAD_ARCHIVE',
        message: expect.stringContaining('not a directory') as string,
      }),
    );
  });

  test('a symlink to a name that only begins like one leads there', () => {
    put(archive(symlink('s', '.wha/.whb'), file('s/f')));
  });
});

test("aufs' links go at the end, also where a symlink leads to them", () => {
  const [onDisk] = PLACES;
  onDisk?.[1](archive(symlink('s', '.wh..wh.plnk'), file('s/f'), file('a')));
  const [layer = ''] = readdirSync(root);
  expect(readdirSync(join(root, layer)).sort()).toEqual(['a', 's']);
});
