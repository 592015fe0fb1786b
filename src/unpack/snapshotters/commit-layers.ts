import { throwIfAborted, UnpackError, type Abortable } from '../../errors.js';
import type { MetadataDatabase, Statements } from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import type { CommitLayer, CommittedLayer } from '../layer-snapshotter.js';
import type { LayerChanges } from '../terms/layer-changes.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import {
  rewriteSnapshotFile,
  type SnapshotDirectories,
  type SnapshotFile,
  writeSnapshotFile,
} from './snapshot-directories.js';
import { infoOf, snapshotNotFound, type SnapshotRecord, type SnapshotRecords } from './snapshot-records.js';
import type { PrivateDirectories } from './private-directories.js';
import type { Writeback } from './writeback.js';

/** What a snapshotter is made of: rows, directories, and the threads that work on them. */
export interface SnapshotParts {
  readonly database: MetadataDatabase;
  readonly pool: WorkerPool;
  readonly directories: SnapshotDirectories;
  readonly records: SnapshotRecords;
  readonly private: PrivateDirectories;
  /** This boot, where layers are not to be synced before they are recorded; see src/metadata/unsynced.ts. */
  readonly unsynced: string | undefined;
  readonly writeback: Writeback;
}

/** Makes an extracted layer a snapshot's content, and returns warnings; `parents` are ids, nearest first. */
export type CompleteLayer = (
  number: number,
  parents: readonly number[],
  changes: LayerChanges,
  o: Abortable,
) => Promise<readonly string[]>;

/** A layer on its way through the commit. */
interface Pending {
  readonly layer: CommitLayer;
  readonly number: number;
  readonly warnings: readonly string[];
}

/** A layer that is to be recorded: the number of its directory, and the mark of one that is not synced. */
interface NewRecord extends Pick<Pending, 'layer' | 'number'> {
  readonly unsynced: string | undefined;
}

interface Recorded {
  /** By chain ID: the snapshots that stand for the layers now. */
  readonly records: ReadonlyMap<Digest, SnapshotRecord>;
  /** Whether one of them took the place of a lost one. */
  readonly replaced: boolean;
}

/**
 * The commit of extracted layers, bottom first, as `LayerCommitter.commitLayers` says: complete each on its parents, sync
 * once, record all at once. Until the last step nothing of it is visible, and the caller abandons what it began.
 */
export async function commitLayers(
  parts: SnapshotParts,
  complete: CompleteLayer,
  layers: readonly CommitLayer[],
  o: Abortable,
): Promise<readonly CommittedLayer[]> {
  const unsynced = await markOf(parts, layers);
  const pending: Pending[] = [];
  const lineages = new Map<Digest, readonly number[]>();
  for (const layer of layers) {
    const number = parts.private.numberOf(layer.directory.key);
    if (number === undefined) throw snapshotNotFound(layer.directory.key);
    const parents = await lineageOf(parts, layer.parentChainId, lineages);
    const warnings = await complete(number, parents, layer.changes, o);
    faultPoint('layer-commit:completed');
    lineages.set(layer.chainId, [number, ...parents]);
    await describe(parts, layer, number, unsynced);
    pending.push({ layer, number, warnings });
  }
  faultPoint('layer-commit:described');
  if (unsynced === undefined) await parts.writeback.sync();
  faultPoint('layer-commit:synced');
  throwIfAborted(o.signal);
  const { records, replaced } = await parts.database.transaction((tx) =>
    recordAll(parts, tx, pending, unsynced),
  );
  // What took the place of a lost one was renamed after the sync.
  if (replaced && unsynced === undefined) parts.directories.sync();
  faultPoint('layer-commit:recorded');
  for (const { layer, number } of pending) {
    // Where another process was faster; what cannot be removed now, the next collection finds.
    if (records.get(layer.chainId)?.number !== number)
      await parts.private.abandon(layer.directory.key).catch(() => undefined);
    parts.private.release(layer.directory.key);
  }
  return pending.map(({ layer, warnings }) => {
    const record = records.get(layer.chainId);
    if (record === undefined) throw snapshotNotFound(layer.chainId);
    return { snapshot: infoOf(record), warnings };
  });
}

/**
 * What the rows are to say of layers that are not synced; undefined where they are to be. A row of a lost snapshot that says
 * that its content is on the disk would go on saying so if the power failed during the commit, so what takes the lost
 * one's place has to be.
 */
async function markOf(
  { database, directories, records, unsynced }: SnapshotParts,
  layers: readonly CommitLayer[],
): Promise<string | undefined> {
  if (unsynced === undefined) return undefined;
  for (const { chainId } of layers) {
    const existing = await records.findChain(database, chainId);
    if (existing !== undefined && existing.unsynced === undefined && !directories.exists(existing.number))
      return undefined;
  }
  return unsynced;
}

/** Numbers of the parent and its ancestors, nearest first. */
async function lineageOf(
  parts: SnapshotParts,
  chainId: Digest | undefined,
  batch: ReadonlyMap<Digest, readonly number[]>,
): Promise<readonly number[]> {
  if (chainId === undefined) return [];
  const known = batch.get(chainId);
  if (known !== undefined) return known;
  const record = await parts.records.findChain(parts.database, chainId);
  if (record === undefined || !parts.directories.exists(record.number)) throw missingParent(chainId);
  return parts.records.lineage(parts.database, record.number);
}

function missingParent(chainId: Digest): UnpackError {
  return new UnpackError('SNAPSHOT_NOT_FOUND', `the parent ${chainId} is not there any more`, {
    retryable: true,
    hint: 'Pull the image again.',
  });
}

async function describe(
  parts: SnapshotParts,
  layer: CommitLayer,
  number: number,
  unsynced: string | undefined,
): Promise<void> {
  const { chainId, diffId, parentChainId } = layer;
  await writeSnapshotFile(parts.directories.path(number), {
    name: chainId,
    parent: parentChainId,
    snapshotter: parts.records.snapshotter,
    chainId,
    diffId,
    unsynced,
  });
}

/** What a layer was described by before its name was known, where that turns out to be another. */
async function describeAnew(
  parts: SnapshotParts,
  { chainId, diffId, parentChainId }: CommitLayer,
  number: number,
  { name, parent, unsynced }: Pick<SnapshotFile, 'name' | 'parent' | 'unsynced'>,
): Promise<void> {
  if (name === chainId && parent === parentChainId) return;
  const { snapshotter } = parts.records;
  const file = { name, parent, snapshotter, chainId, diffId, unsynced };
  await rewriteSnapshotFile(parts.directories.path(number), file);
}

async function recordAll(
  parts: SnapshotParts,
  tx: Statements,
  pending: readonly Pending[],
  unsynced: string | undefined,
): Promise<Recorded> {
  const records = new Map<Digest, SnapshotRecord>();
  let replaced = false;
  for (const { layer, number } of pending) {
    const existing = await parts.records.findChain(tx, layer.chainId);
    const isLost = existing !== undefined && !parts.directories.exists(existing.number);
    if (isLost) await replaceLost(parts, tx, { layer, number, existing, unsynced });
    if (existing === undefined) await recordNew(parts, tx, { layer, number, unsynced }, records);
    replaced ||= isLost;
    const record = await parts.records.byNumber(tx, existing?.number ?? number);
    if (record !== undefined) records.set(layer.chainId, record);
  }
  return { records, replaced };
}

/** Its content was lost. The new one takes its place, so that the snapshots above it are whole again too. */
async function replaceLost(
  parts: SnapshotParts,
  tx: Statements,
  { layer, number, existing, unsynced }: NewRecord & { readonly existing: SnapshotRecord },
): Promise<void> {
  const { directories, records } = parts;
  await describeAnew(parts, layer, number, { name: existing.name, parent: existing.parent, unsynced });
  // It was there when this commit began, and nobody synced.
  if (unsynced !== undefined && existing.unsynced === undefined) directories.syncContent();
  directories.discard(existing.number);
  directories.replace(existing.number, number);
  // What was lost may have been a link into another store, which takes nothing here.
  await records.setUsage(tx, existing.number, { inodes: 0, size: 0 });
  await records.setUnsynced(tx, existing.number, unsynced);
}

/** Records one layer under its chain ID, above what was recorded with it. */
async function recordNew(
  parts: SnapshotParts,
  tx: Statements,
  { layer, number, unsynced }: NewRecord,
  recorded: Recorded['records'],
): Promise<void> {
  const { records } = parts;
  const { chainId, diffId, parentChainId } = layer;
  const parent =
    parentChainId === undefined
      ? undefined
      : (recorded.get(parentChainId) ?? (await records.findChain(tx, parentChainId)));
  if (parentChainId !== undefined && parent === undefined) throw missingParent(parentChainId);
  // Somebody else may have given the name to a snapshot that nobody verified; the chain is found under its ID all the same.
  const taken = (await records.find(tx, chainId)) !== undefined;
  const name = taken ? `${chainId}+${number}` : chainId;
  await describeAnew(parts, layer, number, { name, parent: parent?.name, unsynced });
  await records.commit(tx, number, { name, parentNumber: parent?.number, labels: {} });
  await records.recordChain(tx, chainId, diffId, number);
  if (unsynced !== undefined) await records.setUnsynced(tx, number, unsynced);
}
