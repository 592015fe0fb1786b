import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { listArchive } from '../../support/archive-listing.js';
import { describeListing, describeModel } from '../../support/describe-model.js';
import { exported } from '../../support/exported.js';
import { runModel } from '../../support/layer-model.js';
import { archiveOf, layerSequence } from '../../support/layer-operations.js';
import { rounds } from '../../support/rounds.js';

test('random layers are exported as the model of layer.md has them, with owners and devices, by anybody', async () => {
  const sequences = layerSequence({ devices: true });
  const exact = { privileged: true, links: true };
  await fc.assert(
    fc.asyncProperty(sequences, async (sequence) => {
      const { layers, tree } = runModel(sequence);
      const archive = await exported(layers.map((operations, i) => archiveOf(operations, i)));
      expect(describeListing(listArchive(archive), tree, exact)).toEqual(describeModel(tree, exact));
    }),
    { numRuns: rounds({ short: 1000, long: 20_000 }) },
  );
});
