import { unpackLimits } from '../../spec/index.js';
import { ImageBudget } from '../image-budget.js';
import type { ImageDirectory } from '../image-tree/image-tree.js';
import { LayerEvents } from '../layer-events.js';
import { readImageTree, type ReadImageTreeOptions } from '../image-tree/read-image-tree.js';
import { readLayer, type StoredLayer } from '../image-tree/stored-layer.js';
import { planExport } from './export-plan.js';
import { LayerExport } from './layer-export.js';
import { TreeArchive } from './tree-archive.js';

/** Headers and contents of small files go out together, in pieces of about so many bytes. */
const PIECE_BYTES = 256 * 1024;

/**
 * The merged root file system of an image's layers, bottom first, as one tar archive in the pax format: what unpacking them as root
 * would leave, whoever runs this, without touching any file system. The same image is always the same bytes.
 *
 * When it resolves, all layers are verified; the archive then reads each once more, and verifies it again, as it may
 * have changed in between. Each chunk is the reader's own. Memory is that of {@link readImageTree}, half as much again for
 * the order of the members, and some chunks.
 * Errors, of the archive's iteration too: those of readImageTree.
 */
export async function exportTree(
  layers: readonly StoredLayer[],
  o: ReadImageTreeOptions = {},
): Promise<AsyncGenerator<Buffer, void, undefined>> {
  return writeTree(await readImageTree(layers, o), layers, o);
}

async function* writeTree(
  root: ImageDirectory,
  layers: readonly StoredLayer[],
  o: ReadImageTreeOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const limits = unpackLimits(o.limits);
  const budget = new ImageBudget(layers.length);
  const events = new LayerEvents(layers, o.onEvent);
  const plan = planExport(root, layers.length);
  const archive = new TreeArchive(plan.end);
  yield* joined([archive.directory(root)]);
  for (const [index, layer] of layers.entries()) {
    const members = new LayerExport(plan.layers[index] ?? [], archive);
    const { signal, inflate } = o;
    const reading = readLayer(layer, members, { limits, budget: budget.layer(index), inflate, signal });
    try {
      while ((await reading.next()).done !== true) yield* joined(members.take());
    } finally {
      await reading.return();
    }
    events.tell(index, 'committed', layer.descriptor.size);
  }
  yield* joined([archive.end()]);
}

/** Copies small pieces into larger ones. */
function* joined(pieces: Iterable<Iterable<Buffer>>): Generator<Buffer, void, undefined> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for (const group of pieces) {
    for (const piece of group) {
      waiting.push(piece);
      bytes += piece.length;
      if (bytes < PIECE_BYTES) continue;
      yield Buffer.concat(waiting);
      waiting = [];
      bytes = 0;
    }
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}
