import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareStacks, LayerReader, type TreeChange } from '../../../src/unpack/index.js';
import { describeListing, describeModel } from '../../support/describe-model.js';
import { type ModelNode, type ModelTree, runModel } from '../../support/layer-model.js';
import { archiveOf, layerSequence } from '../../support/layer-operations.js';
import { rounds } from '../../support/rounds.js';
import { listView, viewLayers } from '../../support/viewed-tree.js';

const SEQUENCES = rounds({ short: 300, long: 5000 });
const MS_PER_SEQUENCE = 1000;

test(
  'what is seen of random layers from the top is what the model of layer.md makes of them',
  async () => {
    await fc.assert(
      fc.asyncProperty(layerSequence(), async (sequence) => {
        const { layers, tree } = runModel(sequence);
        const { stack } = viewLayers(layers.map((operations, i) => archiveOf(operations, i)));
        const o = { privileged: true, links: true };
        expect(describeListing(await listView(stack), tree, o)).toEqual(describeModel(tree, o));
      }),
      { numRuns: SEQUENCES },
    );
  },
  SEQUENCES * MS_PER_SEQUENCE,
);

test(
  'what differs between random layers, with some in common, is what differs between what the model makes of them',
  async () => {
    await fc.assert(
      fc.asyncProperty(layerSequence(), layerSequence(), layerSequence(), async (common, one, other) => {
        const before = runModel([...common, ...one]);
        const after = runModel([...common, ...other]);
        const tars = [before, after].map(({ layers }) =>
          layers.map((operations, i) => archiveOf(operations, i)),
        );
        const reader = new LayerReader({ layers: tars.flat().length, contents: true });
        const [a, b] = tars.map((layers) => viewLayers(layers, { reader }).stack);
        if (a === undefined || b === undefined) throw new Error('no stacks');
        const found: TreeChange[] = [];
        for await (const change of compareStacks(a, b)) found.push(change);
        expect(Object.fromEntries(found.map((change) => [change.path, described(change)]))).toEqual(
          differences(before.tree, after.tree),
        );
        expect(new Set(found.map(({ path }) => path)).size).toBe(found.length);
      }),
      { numRuns: SEQUENCES },
    );
  },
  SEQUENCES * MS_PER_SEQUENCE,
);

function described(change: TreeChange): string {
  return change.kind === 'changed' ? `changed ${[...change.aspects].sort().join(' ')}` : change.kind;
}

function differences(before: ModelTree, after: ModelTree): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of new Set([...before.keys(), ...after.keys()])) {
    const [a, b] = [before.get(path), after.get(path)];
    if (a === undefined) found[path] = 'added';
    else if (b === undefined) found[path] = 'removed';
    else {
      const aspects = aspectsOf(a, b);
      if (aspects.length > 0) found[path] = `changed ${aspects.sort().join(' ')}`;
    }
  }
  return found;
}

function aspectsOf(a: ModelNode, b: ModelNode): string[] {
  return [
    ...contentAspect(a, b),
    ...(a.mode === b.mode ? [] : ['mode']),
    ...(a.owner === b.owner ? [] : ['owner']),
    ...(JSON.stringify(sorted(a.xattrs)) === JSON.stringify(sorted(b.xattrs)) ? [] : ['xattrs']),
  ];
}

/** Of what is no file, directory or symlink the content begins with what it is. */
function contentAspect(a: ModelNode, b: ModelNode): string[] {
  const types = [a, b].map(({ type, content }) => (type === 'other' ? content.split(':')[0] : type));
  if (types[0] !== types[1]) return ['type'];
  if (a.content === b.content) return [];
  if (a.type === 'file') return ['content'];
  return a.type === 'symlink' ? ['target'] : ['device'];
}

function sorted(xattrs: Readonly<Record<string, string>>): (readonly [string, string])[] {
  return Object.entries(xattrs).sort();
}
