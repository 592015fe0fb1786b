import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { unpackLimits } from '../../../src/spec/index.js';
import { costOfTree, ImageDirectory, IndexBudget } from '../../../src/unpack/files/image-tree.js';
import { LayerIndexer } from '../../../src/unpack/files/layer-indexer.js';
import { mergeIndexedLayer } from '../../../src/unpack/files/read-image-tree.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { Warnings } from '../../../src/unpack/terms/layer-fault.js';
import { exported } from '../../support/exported.js';
import { runModel } from '../../support/layer-model.js';
import { archiveOf, layerSequence } from '../../support/layer-operations.js';
import { rounds } from '../../support/rounds.js';
import { archive, directory, file, hardLink, symlink } from '../../support/tar-builder.js';

const KiB = 1024;

test('what is counted is what there is, whatever layers put over what', () => {
  fc.assert(
    fc.property(layerSequence({ devices: true }), (sequence) => {
      const budget = new IndexBudget(Infinity);
      const warnings = new Warnings();
      const root = new ImageDirectory(undefined, '', { layer: 0, entry: 0 });
      budget.add(costOfTree('', root));
      for (const [layer, operations] of runModel(sequence).layers.entries()) {
        const indexer = new LayerIndexer({ layer, limits: unpackLimits(), budget, warnings });
        const reader = new TarReader(indexer);
        reader.push(archiveOf(operations, layer));
        mergeIndexedLayer(root, indexer.finish(), { budget, warnings });
      }
      expect(budget.bytes).toBe(costOfTree('', root));
    }),
    { numRuns: rounds({ short: 300, long: 10_000 }) },
  );
});

describe('the memory of the index is bounded', () => {
  const many = (entry: (i: number) => Buffer): Buffer[] => [
    archive(...Array.from({ length: 2000 }, (_, i) => entry(i))),
  ];
  test.each<[name: string, layers: Buffer[]]>([
    ['of many files', many((i) => file(`${i}`))],
    ['of many directories', many((i) => directory(`${i}/`))],
    ['of whiteouts', many((i) => file(`.wh.${i}`))],
    // prettier-ignore
    ['of directories that only whiteouts name', [archive(...Array.from({ length: 300 }, (_, i) => file(`${i}/${'d/'.repeat(20)}.wh.x`)))]],
    ['of links that wait', [archive(file('f')), ...many((i) => hardLink(`${i}`, 'f'))]],
    ['of long targets', many((i) => symlink(`${i}`, 'x'.repeat(1000)))],
    ['of attributes', many((i) => file(`${i % 10}-${i}`, '', { xattrs: { 'user.a': 'x'.repeat(1000) } }))],
    // prettier-ignore
    ['of many layers', Array.from({ length: 20 }, (_, layer) => archive(...Array.from({ length: 100 }, (_one, i) => file(`${layer}-${i}`))))],
  ])('%s', async (_, layers) => {
    const refused = exported(layers, { limits: { indexBytes: 500 * KiB } });
    await expect(refused).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    await exported(layers, { limits: { indexBytes: 10_000 * KiB } });
  });

  test('but not by what later entries and layers replace', async () => {
    const layer = archive(
      ...Array.from({ length: 1000 }, (_, i) => file(`f${i % 100}`, `${i}`)),
      directory('d'),
      ...Array.from({ length: 100 }, (_, i) => file(`d/f${i}`)),
      file('d'),
    );
    const layers = Array.from({ length: 30 }, () => layer);
    await expect(exported(layers, { limits: { indexBytes: 200 * KiB } })).resolves.toBeDefined();
  });
});
