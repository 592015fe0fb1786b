import { throwIfAborted, UnpackError, type Abortable } from '../../errors.js';
import type { MetadataDatabase, Statements } from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import type { CommitLayer, CommittedLayer, LayerChanges, LayerDirectory } from '../layer-snapshotter.js';
import type { WorkerPool } from '../worker/worker-pool.js';
import type { SnapshotDirectories } from './snapshot-directories.js';
import { snapshotNotFound } from './snapshot-error.js';
import { rewriteSnapshotFile, type SnapshotFile, writeSnapshotFile } from './snapshot-file.js';
import { infoOf, type SnapshotRecord, type SnapshotRecords } from './snapshot-records.js';

/** What the commit needs of its snapshotter. */
export interface CommitContext {
  readonly database: MetadataDatabase;
  readonly pool: WorkerPool;
  readonly directories: SnapshotDirectories;
  readonly records: SnapshotRecords;
  /** The number of a layer that this process fills. */
  numberOf(key: string): number | undefined;
  /** Gives up the lock on a layer's directory. */
  release(key: string): void;
  abandon(directory: LayerDirectory): Promise<void>;
  /** Makes an extracted layer a snapshot's content, and returns warnings; `parents` are numbers, nearest first. */
  complete(
    number: number,
    parents: readonly number[],
    changes: LayerChanges,
    o: Abortable,
  ): Promise<readonly string[]>;
}

/** A layer on its way through the commit. */
interface Pending {
  readonly layer: CommitLayer;
  readonly number: number;
  readonly warnings: readonly string[];
}

/**
 * The commit of extracted layers, bottom first, as `LayerSnapshotter.commitLayers` says: complete each on its parents, sync
 * once, record all at once. Until the last step nothing of it is visible, and the caller abandons what it began.
 */
export async function commitLayers(
  context: CommitContext,
  layers: readonly CommitLayer[],
  o: Abortable,
): Promise<readonly CommittedLayer[]> {
  const pending: Pending[] = [];
  const lineages = new Map<Digest, readonly number[]>();
  for (const layer of layers) {
    const number = context.numberOf(layer.directory.key);
    if (number === undefined) throw snapshotNotFound(layer.directory.key);
    const parents = await lineageOf(context, layer.parentChainId, lineages);
    const warnings = await context.complete(number, parents, layer.changes, o);
    faultPoint('layer-commit:completed');
    lineages.set(layer.chainId, [number, ...parents]);
    await describe(context, layer, number);
    pending.push({ layer, number, warnings });
  }
  faultPoint('layer-commit:described');
  await context.pool.run({ kind: 'sync', directory: context.directories.directory });
  faultPoint('layer-commit:synced');
  throwIfAborted(o.signal);
  const records = await context.database.transaction((tx) => recordAll(context, tx, pending));
  // What took the place of a lost one was renamed after the sync.
  context.directories.sync();
  faultPoint('layer-commit:recorded');
  for (const { layer, number } of pending) {
    // Where another process was faster; what cannot be removed now, the next collection finds.
    if (records.get(layer.chainId)?.number !== number)
      await context.abandon(layer.directory).catch(() => undefined);
    context.release(layer.directory.key);
  }
  return pending.map(({ layer, warnings }) => {
    const record = records.get(layer.chainId);
    if (record === undefined) throw snapshotNotFound(layer.chainId);
    return { snapshot: infoOf(record), warnings };
  });
}

/** Numbers of the parent and its ancestors, nearest first. */
async function lineageOf(
  context: CommitContext,
  chainId: Digest | undefined,
  batch: ReadonlyMap<Digest, readonly number[]>,
): Promise<readonly number[]> {
  if (chainId === undefined) return [];
  const known = batch.get(chainId);
  if (known !== undefined) return known;
  const record = await context.records.findChain(context.database, chainId);
  if (record === undefined || !context.directories.exists(record.number)) throw missingParent(chainId);
  return context.records.lineage(context.database, record.number);
}

function missingParent(chainId: Digest): UnpackError {
  return new UnpackError('SNAPSHOT_NOT_FOUND', `the parent ${chainId} is not there any more`, {
    retryable: true,
    hint: 'Pull the image again.',
  });
}

async function describe(context: CommitContext, layer: CommitLayer, number: number): Promise<void> {
  const { chainId, diffId, parentChainId } = layer;
  await writeSnapshotFile(context.directories.path(number), {
    name: chainId,
    ...(parentChainId === undefined ? {} : { parent: parentChainId }),
    snapshotter: context.records.snapshotter,
    chainId,
    diffId,
  });
}

/** What a layer was described by before its name was known, where that turns out to be another. */
async function describeAnew(
  context: CommitContext,
  { chainId, diffId, parentChainId }: CommitLayer,
  number: number,
  { name, parent }: Pick<SnapshotFile, 'name' | 'parent'>,
): Promise<void> {
  if (name === chainId && parent === parentChainId) return;
  const { snapshotter } = context.records;
  await rewriteSnapshotFile(context.directories.path(number), { name, parent, snapshotter, chainId, diffId });
}

async function recordAll(
  context: CommitContext,
  tx: Statements,
  pending: readonly Pending[],
): Promise<ReadonlyMap<Digest, SnapshotRecord>> {
  const records = new Map<Digest, SnapshotRecord>();
  for (const { layer, number } of pending) {
    const record = await context.records.byNumber(tx, await recordOne(context, tx, layer, number));
    if (record !== undefined) records.set(layer.chainId, record);
  }
  return records;
}

/** Records one layer under its chain ID, and returns the number of the snapshot that stands for it now. */
async function recordOne(
  context: CommitContext,
  tx: Statements,
  layer: CommitLayer,
  number: number,
): Promise<number> {
  const { directories, records } = context;
  const { chainId, diffId, parentChainId } = layer;
  const existing = await records.findChain(tx, chainId);
  if (existing !== undefined) {
    if (directories.exists(existing.number)) return existing.number;
    // Its content was lost. The new one takes its place, so that the snapshots above it are whole again too.
    await describeAnew(context, layer, number, existing);
    directories.discard(existing.number);
    directories.replace(existing.number, number);
    // What was lost may have been a link into another store, which takes nothing here.
    await records.setUsage(tx, existing.number, { inodes: 0, size: 0 });
    return existing.number;
  }
  const parent = parentChainId === undefined ? undefined : await records.findChain(tx, parentChainId);
  if (parentChainId !== undefined && parent === undefined) throw missingParent(parentChainId);
  // Somebody else may have given the name to a snapshot that nobody verified; the chain is found under its ID all the same.
  const taken = (await records.find(tx, chainId)) !== undefined;
  const name = taken ? `${chainId}+${number}` : chainId;
  await describeAnew(context, layer, number, { name, parent: parent?.name });
  await records.commit(tx, number, { name, parentNumber: parent?.number, labels: {} });
  await records.recordChain(tx, chainId, diffId, number);
  return number;
}
