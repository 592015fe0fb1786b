import type { ViewableLayer } from '../unpack/index.js';
import type { ImageLayer } from './fetch-graph.js';
import type { Store } from './store.js';

export interface UnpackedLayersOptions {
  /** Whether these are not all layers of an image, from the bottom. Default false. */
  readonly isPart?: boolean | undefined;
}

/**
 * The layers of an image, with the directories of those of which a store has no blob, but a snapshot. One that holds what is below it as well,
 * as native snapshots do, stands for all of these. Errors: those of the database.
 */
export async function unpackedLayers(
  store: Store,
  layers: readonly ImageLayer[],
  { isPart = false }: UnpackedLayersOptions = {},
): Promise<readonly Omit<ViewableLayer, 'open'>[]> {
  const found: Omit<ViewableLayer, 'open'>[] = [];
  for (const { descriptor, diffId, chainId } of layers) {
    const paths = await pathsUnlessHere(store, { descriptor, diffId, chainId });
    const [directory] = paths;
    const isOneOfSeveral = isPart ? store.snapshotter.kind === 'overlay' : paths.length === found.length + 1;
    if (directory === undefined) {
      found.push({ descriptor, diffId });
    } else if (isOneOfSeveral) {
      found.push({ descriptor, diffId, directory });
    } else if (!isPart && paths.length === 1) {
      found.splice(0, Infinity, { descriptor, diffId: chainId, directory, isWhole: true });
    } else {
      found.push({ descriptor, diffId });
    }
  }
  return found;
}

async function pathsUnlessHere(
  { content, snapshotter }: Store,
  { descriptor, chainId }: ImageLayer,
): Promise<readonly string[]> {
  if ((await content.info(descriptor.digest)) !== undefined) return [];
  const snapshot = await snapshotter.findChain(chainId);
  return snapshot === undefined ? [] : await snapshotter.layerPaths(snapshot.name);
}
