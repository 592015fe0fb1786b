import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { unpackTree, type UnpackedLayer } from '../../src/unpack/index.js';
import { listArchive } from '../support/archive-listing.js';
import { type Described, describeListing, describeModel } from '../support/describe-model.js';
import { exported } from '../support/exported.js';
import { type ModelTree, runModel } from '../support/layer-model.js';
import { archiveOf, layerSequence } from '../support/layer-operations.js';
import { isRoot } from '../support/needs-root.js';
import { rounds } from '../support/rounds.js';
import { TreeLister, type TreeListing } from '../support/tree-lister.js';
import { createSnapshots, removeTree, type SnapshotFixture } from '../support/unpack-fixture.js';

/** `LANDFALL_LAYER_SEQUENCES` is an exact number of them. */
const SEQUENCES =
  Number(process.env['LANDFALL_LAYER_SEQUENCES'] ?? '') || rounds({ short: 150, long: 10_000 });
const MS_PER_SEQUENCE = 1000;

test(
  'an overlay mount, a native snapshot, a merged tree, an archive and the model of layer.md agree on random layers',
  async () => {
    await using overlay = await createSnapshots('overlay');
    await using native = await createSnapshots('native');
    await using lister = new TreeLister();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(layerSequence(), async (sequence) => {
        const { layers, tree } = runModel(sequence);
        const tars = layers.map((operations, i) => archiveOf(operations, i));
        run += 1;
        const [mounted, copied, merged, archive] = await Promise.all([
          viewed(overlay, lister, tars, run),
          viewed(native, lister, tars, run),
          unpacked(native, lister, tars),
          exported(tars),
        ]);
        const seen = { privileged: isRoot, links: true };
        expectSame('overlay', mounted, tree, { ...seen, links: false });
        expectNoStrangers(mounted, tree);
        expectSame('native', copied, tree, seen);
        expectSame('merged', merged, tree, seen);
        expectSame('exported', listArchive(archive), tree, { privileged: true, links: true });
      }),
      { numRuns: SEQUENCES },
    );
  },
  SEQUENCES * MS_PER_SEQUENCE,
);

function expectSame(
  form: string,
  listing: TreeListing,
  tree: ModelTree,
  o: { readonly privileged: boolean; readonly links: boolean },
): void {
  const expected: Described = describeModel(tree, o);
  expect(describeListing(listing, tree, o), form).toEqual(expected);
}

/** In an overlay mount a file may be several copies, but never one with what is another file. */
function expectNoStrangers(listing: TreeListing, tree: ModelTree): void {
  for (const [path, { file, type }] of Object.entries(listing)) {
    if (type !== 'directory') expect(tree.get(path), `${path} and ${file}`).toBe(tree.get(file));
  }
}

async function viewed(
  snapshots: SnapshotFixture,
  lister: TreeLister,
  tars: readonly Buffer[],
  run: number,
): Promise<TreeListing> {
  const layers = await Promise.all(tars.map((tar) => snapshots.layer(tar)));
  const chain = await snapshots.unpacker.unpack(layers);
  const key = `view-${run}`;
  const mounts = await snapshots.snapshotter.view(key, chain.at(-1)?.chainId);
  try {
    return await lister.mounted(mounts);
  } finally {
    await snapshots.snapshotter.remove(key);
    await removeChain(snapshots, chain);
  }
}

/** So that the next run, which may have the same layers, starts from nothing. */
async function removeChain(snapshots: SnapshotFixture, chain: readonly UnpackedLayer[]): Promise<void> {
  for (const { chainId } of [...chain].reverse()) await snapshots.snapshotter.remove(chainId);
}

async function unpacked(
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
