import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type DiscardedBlob,
  ManifestGraph,
  ManifestStore,
  type ImageRecord,
  imagesListing,
  recordDiscarded,
} from '../../content/index.js';
import { integerOf, type MetadataDatabase } from '../../metadata/index.js';
import { type Descriptor, type Digest, parseReference, repositoryName } from '../../spec/index.js';
import type { ViewableLayer } from '../../unpack/index.js';
import type { Store, StoreParts } from '../store.js';
import type { ImageLayer } from './image.js';

export interface UnneededOptions {
  /**
   * Whether the image goes without layer blobs: then an unpacked layer needs none, also if it never was here.
   */
  readonly discard: boolean;
  /** `registry/repository` that the pull is from. */
  readonly source: string;
}

/**
 * The layers whose blobs a pull need not bring: they are snapshots, and their blobs were dropped or would
 * be. Lease snapshots and blobs before asking, so that it stays true.
 */
export async function unneededLayers(
  store: Pick<StoreParts, 'content' | 'discarded' | 'snapshotter'>,
  layers: readonly ImageLayer[],
  { discard, source }: UnneededOptions,
): Promise<ReadonlySet<Digest>> {
  const { discarded } = store;
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
 * Takes over from additional stores what they go without on purpose: the main store does so too then, and
 * knows where the blobs came from. What is here is passed over.
 *
 * @param source - `registry/repository`, for a blob of which that store does not know where it came from
 */
export async function noteDiscarded(
  store: Pick<StoreParts, 'content' | 'discarded' | 'additional'>,
  blobs: readonly Descriptor[],
  source?: string,
): Promise<void> {
  for (const { discarded } of store.additional) {
    for (const [digest, blob] of await discarded.among(blobs.map((blob) => blob.digest))) {
      if ((await store.content.info(digest)) !== undefined) continue;
      const from = blob.source ?? source;
      if (from !== undefined) await store.discarded.note([{ digest, size: blob.size }], from);
    }
  }
}

/**
 * Takes layers whose snapshot is here and whose blob is not for such as were dropped once they were
 * unpacked, since a store that lost its list of these would otherwise call each of them damaged. Returns
 * how many.
 */
export async function inferDiscarded(
  root: string,
  database: MetadataDatabase,
  images: readonly ImageRecord[],
): Promise<number> {
  const graph = new ManifestGraph(await new ManifestStore(database).all());
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

/**
 * Whether a chain has a snapshot whose files lie below this root. Those of an additional store have their
 * blobs there.
 */
async function isUnpackedHere(root: string, database: MetadataDatabase, chainId: Digest): Promise<boolean> {
  for (const row of await database.all('SELECT snapshot_id FROM chains WHERE chain_id = ?', [chainId])) {
    const content = join(root, 'snapshots', String(integerOf(row, 'snapshot_id')), 'fs');
    const found = await lstat(content).catch(() => undefined);
    if (found?.isDirectory() === true) return true;
  }
  return false;
}

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
  const discarded = await store.discarded.among(layers.map(({ descriptor }) => descriptor.digest));
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
 * The layers of an image, with the directories of those of which a store has no blob, but a snapshot. One
 * that holds what is below it as well, as native snapshots do, stands for all of these. Errors: those of
 * the database.
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
