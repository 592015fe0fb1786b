import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { unpackTree, type UnpackedLayer } from '../../src/unpack/index.js';
import { archiveOf, layerSequence, runModel, type ModelTree } from '../support/layer-model.js';
import { TreeLister, type TreeListing } from '../support/tree-lister.js';
import { createSnapshots, removeTree, type SnapshotFixture } from '../support/unpack-fixture.js';

/** `LANDFALL_LONG` is a number of runs, or anything else for 10,000. */
function numberOfRuns(): number {
  const long = process.env['LANDFALL_LONG'];
  if (long === undefined || long === '') return 60;
  return Number(long) > 1 ? Number(long) : 10_000;
}

const RUNS = numberOfRuns();

test(
  'an overlay mount, a native snapshot, a merged tree and the model of layer.md agree on random layers',
  async () => {
    await using overlay = await createSnapshots('overlay');
    await using native = await createSnapshots('native');
    await using lister = new TreeLister();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(layerSequence, async (sequence) => {
        const model = runModel(sequence);
        const tars = model.layers.map((operations, i) => archiveOf(operations, i));
        run += 1;
        const expected = describeModel(model.tree);
        const [mounted, copied, tree] = await Promise.all([
          viewed(overlay, lister, tars, run),
          viewed(native, lister, tars, run),
          merged(native, lister, tars),
        ]);
        expect(describe(mounted, model.tree), 'overlay').toEqual(expected);
        expect(describe(copied, model.tree), 'native').toEqual(expected);
        expect(describe(tree, model.tree), 'merged').toEqual(expected);
      }),
      {
        numRuns: RUNS,
        interruptAfterTimeLimit: 50_000 * Math.ceil(RUNS / 60),
        markInterruptAsFailure: false,
      },
    );
  },
  90_000 * Math.ceil(RUNS / 60),
);

async function viewed(
  snapshots: SnapshotFixture,
  lister: TreeLister,
  tars: readonly Buffer[],
  run: number,
): Promise<TreeListing> {
  const layers = await Promise.all(tars.map((tar) => snapshots.layer(tar)));
  const unpacked = await snapshots.unpacker.unpack(layers);
  const key = `view-${run}`;
  const mounts = await snapshots.snapshotter.view(key, unpacked.at(-1)?.chainId);
  try {
    return await lister.mounted(mounts);
  } finally {
    await snapshots.snapshotter.remove(key);
    await removeChain(snapshots, unpacked);
  }
}

/** So that the next run, which may have the same layers, starts from nothing. */
async function removeChain(snapshots: SnapshotFixture, unpacked: readonly UnpackedLayer[]): Promise<void> {
  for (const { chainId } of [...unpacked].reverse()) await snapshots.snapshotter.remove(chainId);
}

async function merged(
  snapshots: SnapshotFixture,
  lister: TreeLister,
  tars: readonly Buffer[],
): Promise<TreeListing> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-merged-'));
  try {
    const layers = await Promise.all(tars.map((tar) => snapshots.layer(tar)));
    await unpackTree(layers, directory, { pool: snapshots.pool });
    return await lister.directory(directory);
  } finally {
    await removeTree(directory);
  }
}

type Described = Record<string, string>;

function describeModel(tree: ModelTree): Described {
  return sorted(
    [...tree].map(([path, { type, mode, content, time }]) => [
      path,
      [type, mode.toString(8), content, time ?? 'any time'].join(' '),
    ]),
  );
}

/** Where the model knows no time, it is that of unpacking. */
function describe(listing: TreeListing, model: ModelTree): Described {
  return sorted(
    Object.entries(listing).map(([path, { type, mode, content, mtime }]) => [
      path,
      [type, mode.toString(8), content, model.get(path)?.time === undefined ? 'any time' : mtime].join(' '),
    ]),
  );
}

function sorted(entries: [string, string][]): Described {
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
