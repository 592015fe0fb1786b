import { DISCARD_LAYERS_LABEL, DiscardedBlobs, type Labels, type Lease } from '../content/index.js';
import type { Digest } from '../spec/index.js';
import type { ImageLayer } from './fetch-graph.js';
import type { StoreParts } from './store.js';

/** What of a store is asked for discarded blobs. */
export type DiscardingStore = Pick<StoreParts, 'root' | 'database' | 'documents'>;

export function discardedBlobs({ root, database, documents }: DiscardingStore): DiscardedBlobs {
  return new DiscardedBlobs({ root, database, documents });
}

/** Whether a name with these labels stands for an image that was pulled lean. */
export function isLean(labels: Labels | undefined): boolean {
  return labels?.[DISCARD_LAYERS_LABEL] !== undefined;
}

/** The labels of a name that is to be lean or not; undefined where they are so already. */
export function leanLabels(labels: Labels | undefined, lean: boolean): Labels | undefined {
  if (lean === isLean(labels)) return undefined;
  const others = Object.entries(labels ?? {}).filter(([label]) => label !== DISCARD_LAYERS_LABEL);
  return Object.fromEntries(lean ? [...others, [DISCARD_LAYERS_LABEL, 'true']] : others);
}

export interface UnneededOptions {
  /** Whether the pull is to be lean: then a layer that is unpacked needs no blob, also if it never was here. */
  readonly discard: boolean;
  /** `registry/repository` that the pull is from. */
  readonly source: string;
}

/**
 * The layers whose blobs a pull need not bring: they are snapshots, and their blobs were dropped or would be. Lease
 * snapshots and blobs before asking, so that it stays true.
 */
export async function unneededLayers(
  store: DiscardingStore & Pick<StoreParts, 'content' | 'snapshotter'>,
  layers: readonly ImageLayer[],
  { discard, source }: UnneededOptions,
): Promise<ReadonlySet<Digest>> {
  const discarded = discardedBlobs(store);
  const known = await discarded.among(layers.map(({ descriptor }) => descriptor.digest));
  const unneeded = new Map<Digest, number>();
  const needed = new Set<Digest>();
  for (const { descriptor, chainId } of layers) {
    const { digest, size } = descriptor;
    const mayBeAbsent = known.has(digest) || (discard && (await store.content.info(digest)) === undefined);
    // One blob may be several layers of an image, of which not all may be unpacked.
    if (mayBeAbsent && (await store.snapshotter.findChain(chainId)) !== undefined) unneeded.set(digest, size);
    else needed.add(digest);
  }
  for (const digest of needed) unneeded.delete(digest);
  const absent = [...unneeded].filter(([digest]) => !known.has(digest));
  await discarded.note(
    absent.map(([digest, size]) => ({ digest, size })),
    source,
  );
  return new Set(unneeded.keys());
}

/**
 * Drops the blobs of an image's layers, as far as nobody else needs them. The image must be recorded and unpacked.
 *
 * @returns bytes that were given back
 */
export async function discardLayers(
  store: DiscardingStore,
  layers: readonly ImageLayer[],
  lease: Lease,
): Promise<number> {
  const digests = layers.map(({ descriptor }) => descriptor.digest);
  return await discardedBlobs(store).discard([...new Set(digests)], { leaseId: lease.id });
}
