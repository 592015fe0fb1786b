import { mountOverlay, unmount } from '../../../src/system/index.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { endOf, mergedOf, overlayOf } from '../layer-stacks.js';
import { randomArchive } from '../random-input.js';
import { treeState } from '../tree-state.js';
import { checkSame } from '../violation.js';

/**
 * Two or three layers over one another: completed against their parents as overlay snapshots are, and merged
 * into one directory. Both have to end in the same way; where this process may mount, the mount shows what
 * the directory holds.
 */
export const stackTarget: FuzzTarget = {
  name: 'stack',
  weight: 8,
  generate: (random, seeds) => ({
    layers: Array.from({ length: random.between(2, 3) }, () => randomArchive(random, seeds)),
  }),
  check: async ({ layers }, bench) => {
    const overlay = await overlayOf(layers, bench);
    const merged = await mergedOf(layers, bench);
    // Each way looks into other directories, and who is not root may be shut out of one of them.
    if ([overlay, merged].some((outcome) => endOf(outcome) === 'FILESYSTEM')) return;
    checkSame('overlay and merged', endOf(overlay), endOf(merged));
    if (!('done' in overlay) || !('done' in merged) || !bench.mounts) return;
    const target = bench.sandbox.bed('fourth');
    mountOverlay({ lower: overlay.done.lower, target, readOnly: true });
    try {
      const o = { withoutLinks: true };
      checkSame('the overlay mount and the merged tree', treeState(target, o), treeState(merged.done, o));
    } finally {
      unmount(target);
    }
  },
};
