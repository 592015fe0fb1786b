import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type DiscardedBlob,
  DiscardedBlobs,
  DocumentGraph,
  DocumentStore,
  type ImageRecord,
  type Lease,
  recordDiscarded,
} from '../../content/index.js';
import { integerOf, type MetadataDatabase } from '../../metadata/index.js';
import { type Descriptor, type Digest, parseReference, repositoryName } from '../../spec/index.js';
import type { ImageLayer } from './image.js';
import type { StoreParts } from '../store.js';

/** What of a store is asked for discarded blobs. */
type DiscardingStore = Pick<StoreParts, 'root' | 'database' | 'documents'>;

export function discardedBlobs({ root, database, documents }: DiscardingStore): DiscardedBlobs {
  return new DiscardedBlobs({ root, database, documents });
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

/**
 * Takes over from additional stores what they go without on purpose: the main store does so too then, and knows where the
 * blobs came from. What is here is passed over.
 *
 * @param source - `registry/repository`, for a blob of which that store does not know where it came from
 */
export async function noteDiscarded(
  store: DiscardingStore & Pick<StoreParts, 'content' | 'additional'>,
  blobs: readonly Descriptor[],
  source?: string,
): Promise<void> {
  for (const { discarded } of store.additional) {
    for (const [digest, blob] of await discarded.among(blobs.map((blob) => blob.digest))) {
      if ((await store.content.info(digest)) !== undefined) continue;
      const from = blob.source ?? source;
      if (from !== undefined) await discardedBlobs(store).note([{ digest, size: blob.size }], from);
    }
  }
}

/**
 * Takes layers whose snapshot is here and whose blob is not for such as were dropped once they were unpacked, since a store
 * that lost its list of these would otherwise call each of them damaged. Returns how many.
 */
export async function inferDiscarded(
  root: string,
  database: MetadataDatabase,
  images: readonly ImageRecord[],
): Promise<number> {
  const graph = new DocumentGraph(await new DocumentStore(database).all());
  const found = new Map<Digest, DiscardedBlob>();
  for (const { name, target } of images) {
    const source = repositoryName(parseReference(name));
    for (const { children, chainIds } of graph.manifests(target.digest)) {
      // A manifest's config comes before its layers.
      for (const [i, { digest, size }] of children.slice(1).entries()) {
        const chainId = chainIds[i];
        if (chainId === undefined || found.has(digest) || (await isBlobHere(database, digest))) continue;
        if (!(await isUnpackedHere(root, database, chainId))) continue;
        found.set(digest, { digest, size, source, discardedAt: new Date() });
      }
    }
  }
  await recordDiscarded(database, [...found.values()]);
  return found.size;
}

async function isBlobHere(database: MetadataDatabase, digest: Digest): Promise<boolean> {
  return (await database.get('SELECT 1 FROM blobs WHERE digest = ?', [digest])) !== undefined;
}

/** Whether a chain has a snapshot whose files lie below this root. Those of an additional store have their blobs there. */
async function isUnpackedHere(root: string, database: MetadataDatabase, chainId: Digest): Promise<boolean> {
  for (const row of await database.all('SELECT snapshot_id FROM chains WHERE chain_id = ?', [chainId])) {
    const content = join(root, 'snapshots', String(integerOf(row, 'snapshot_id')), 'fs');
    const found = await lstat(content).catch(() => undefined);
    if (found?.isDirectory() === true) return true;
  }
  return false;
}
