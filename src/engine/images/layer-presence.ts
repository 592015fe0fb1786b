import { imagesListing } from '../../content/index.js';
import type { Digest } from '../../spec/index.js';
import type { ViewableLayer } from '../../unpack/index.js';
import { discardedBlobs } from './discard-layers.js';
import type { ImageLayer } from './image.js';
import type { Store } from '../store.js';

/** What a store has of a layer. */
export interface LayerPresence {
  /** Of the blob; `discarded` was dropped on purpose, once it was unpacked. */
  readonly blob: 'here' | 'discarded' | 'missing';
  /** Whether it is a snapshot, on those below it. */
  readonly isUnpacked: boolean;
  /** What the snapshot takes on the disk, in bytes. */
  readonly unpackedSize: number | undefined;
  /** Canonical names of the images of the store that list the blob, in order. */
  readonly images: readonly string[];
}

/** What a store has of each layer of an image, in their order. Errors: those of the database. */
export async function layerPresence(
  store: Store,
  layers: readonly ImageLayer[],
): Promise<readonly LayerPresence[]> {
  const discarded = await discardedBlobs(store).among(layers.map(({ descriptor }) => descriptor.digest));
  const found: LayerPresence[] = [];
  for (const { descriptor, chainId } of layers) {
    const { digest } = descriptor;
    const isHere = (await store.content.info(digest)) !== undefined;
    const snapshot = await store.snapshotter.findChain(chainId);
    found.push({
      blob: isHere ? 'here' : discarded.has(digest) ? 'discarded' : 'missing',
      isUnpacked: snapshot !== undefined,
      unpackedSize: snapshot === undefined ? undefined : (await store.snapshotter.usage(snapshot.name)).size,
      images: await imagesWith(store, digest),
    });
  }
  return found;
}

async function imagesWith({ database, additional }: Store, digest: Digest): Promise<readonly string[]> {
  const names = new Set(await imagesListing(database, digest));
  for (const other of additional)
    for (const name of await imagesListing(other.database, digest)) names.add(name);
  return [...names].sort();
}

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
