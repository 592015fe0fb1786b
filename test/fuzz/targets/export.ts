import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { exportTree } from '../../../src/unpack/files/export-tree.js';
import type { StoredLayer } from '../../../src/unpack/files/stored-layer.js';
import { extractLayer, PLAINLY } from '../extract-layer.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { endOf, mergedOf } from '../layer-stacks.js';
import { randomArchive } from '../random-input.js';
import { treeState } from '../tree-state.js';
import { checkPrintable, checkSame, outcomeOf } from '../violation.js';

/**
 * Layers merged without a file system, as `landfall export` does it: the archive holds what merging them in a
 * directory leaves.
 */
export const exportTarget: FuzzTarget = {
  name: 'export',
  weight: 6,
  generate: (random, seeds) => ({
    layers: Array.from({ length: random.between(1, 3) }, () => randomArchive(random, seeds)),
  }),
  check: async ({ layers }, bench) => {
    const { sandbox, random } = bench;
    const exported = await outcomeOf(() => exportOf(layers));
    const merged = await mergedOf(layers, bench);
    // An archive is what root would unpack, whoever writes it.
    if (process.geteuid?.() !== 0) return;
    checkSame('exported and merged', endOf(exported), endOf(merged));
    if (!('done' in exported) || !('done' in merged)) return;
    const again = sandbox.bed('first');
    extractLayer(exported.done, again, PLAINLY, random);
    checkSame('what the archive holds, and the merged tree', treeState(again), treeState(merged.done));
  },
};

async function exportOf(layers: readonly Buffer[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const archive = await exportTree(layers.map(storedLayer), {
    onEvent: (event) => {
      if (event.type === 'warning') checkPrintable(event.message);
    },
  });
  for await (const chunk of archive) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function storedLayer(tar: Buffer): StoredLayer {
  const blob = gzipSync(tar, { level: 1 });
  return {
    descriptor: { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(blob), size: blob.length },
    diffId: digestOf(tar),
    open: () => Promise.resolve(Readable.from([blob])),
  };
}
