import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { type Abortable, LandfallError, throwIfAborted, UnpackError } from '../../errors.js';
import { IN_DOUBT, integerOf, type MetadataDatabase, type Statements } from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import { faultPoint, O_DIRECTORY, O_RDONLY, syncfsInBackground } from '../../system/index.js';
import type { CommitLayer, CommittedLayer } from '../layer-snapshotter.js';
import type { LayerChanges, LayerDirectory } from '../terms/layer-changes.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import {
  rewriteSnapshotFile,
  SnapshotDirectories,
  type SnapshotFile,
  writeSnapshotFile,
} from './snapshot-directories.js';
import { infoOf, snapshotNotFound, type SnapshotRecord, type SnapshotRecords } from './snapshot-records.js';

/** How a kind of snapshotter makes a layer a snapshot's content. */
export interface LayerForm {
  /** Directories of a layer that is being unpacked, the one to unpack into first. */
  readonly layerNames: readonly [string, ...string[]];
  /** Returns warnings; `parents` are ids, nearest first. */
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

/** A layer that is to be recorded: the number of its directory, and the mark of one that is not synced. */
interface NewRecord extends Pick<Pending, 'layer' | 'number'> {
  readonly notDurable: string | undefined;
}

interface Recorded {
  /** By chain ID: the snapshots that stand for the layers now. */
  readonly records: ReadonlyMap<Digest, SnapshotRecord>;
  /** Whether one of them took the place of a lost one. */
  readonly replaced: boolean;
}

export interface LayerCommitOptions {
  readonly database: MetadataDatabase;
  readonly pool: WorkerPool;
  /**
   * This boot, where layers are not to be synced; see src/metadata/database.ts. What another program filled
   * always is, since it cannot be made again.
   */
  readonly notDurable?: string | undefined;
  /** How a file system is synced, for tests. */
  readonly syncfs?: WritebackOptions['syncfs'];
}

/** Begins layers and commits them. */
export class LayerCommits {
  readonly database: MetadataDatabase;
  readonly pool: WorkerPool;
  readonly directories: SnapshotDirectories;
  readonly records: SnapshotRecords;
  readonly private: PrivateDirectories;
  /** This boot, where layers are not to be synced before they are recorded; see src/metadata/database.ts. */
  readonly #notDurable: string | undefined;
  readonly #writeback: Writeback;
  readonly #form: LayerForm;

  constructor(
    form: LayerForm,
    records: SnapshotRecords,
    directories: SnapshotDirectories,
    o: LayerCommitOptions,
  ) {
    this.#form = form;
    this.database = o.database;
    this.pool = o.pool;
    this.records = records;
    this.directories = directories;
    this.#notDurable = o.notDurable;
    this.#writeback = new Writeback({ directory: directories.directory, syncfs: o.syncfs });
    const writeback = o.notDurable === undefined ? this.#writeback : undefined;
    this.private = new PrivateDirectories({ database: o.database, directories, records, writeback });
  }

  async begin(): Promise<LayerDirectory> {
    const { layerNames } = this.#form;
    const { key, number } = await this.private.begin(layerNames);
    return { key, path: `${this.directories.path(number)}/${layerNames[0]}` };
  }

  complete(...args: Parameters<LayerForm['complete']>): Promise<readonly string[]> {
    return this.#form.complete(...args);
  }

  /**
   * The commit of extracted layers, bottom first, as `LayerCommitter.commitLayers` says: complete each on its
   * parents, sync once, record all at once. Until the last step nothing of it is visible, and the caller
   * abandons what it began.
   *
   * @param complete another step than the form's own, for layers that are complete where they lie
   */
  async commit(
    layers: readonly CommitLayer[],
    o: Abortable,
    complete: LayerForm['complete'] = (...args) => this.complete(...args),
  ): Promise<readonly CommittedLayer[]> {
    const notDurable = await this.#markOf(layers);
    const pending: Pending[] = [];
    const lineages = new Map<Digest, readonly number[]>();
    for (const layer of layers) {
      const number = this.private.idOf(layer.directory.key);
      if (number === undefined) throw snapshotNotFound(layer.directory.key);
      const parents = await this.#lineageOf(layer.parentChainId, lineages);
      const warnings = await complete(number, parents, layer.changes, o);
      faultPoint('layer-commit:completed');
      lineages.set(layer.chainId, [number, ...parents]);
      await this.#describe(layer, number, notDurable);
      pending.push({ layer, number, warnings });
    }
    faultPoint('layer-commit:described');
    if (notDurable === undefined) await this.#writeback.sync();
    faultPoint('layer-commit:synced');
    throwIfAborted(o.signal);
    const { records, replaced } = await this.database.transaction((tx) =>
      this.#recordAll(tx, pending, notDurable),
    );
    // What took the place of a lost one was renamed after the sync.
    if (replaced && notDurable === undefined) this.directories.sync();
    faultPoint('layer-commit:recorded');
    for (const { layer, number } of pending) {
      // Where another process was faster; what cannot be removed now, the next collection finds.
      if (records.get(layer.chainId)?.number !== number)
        await this.private.abandon(layer.directory.key).catch(() => undefined);
      this.private.release(layer.directory.key);
    }
    return pending.map(({ layer, warnings }) => {
      const record = records.get(layer.chainId);
      if (record === undefined) throw snapshotNotFound(layer.chainId);
      return { snapshot: infoOf(record), warnings };
    });
  }

  /**
   * What the rows are to say of layers that are not synced; undefined where they are to be. A row of a lost
   * snapshot that says that its content is on the disk would go on saying so if the power failed during the
   * commit, so what takes the lost one's place has to be.
   */
  async #markOf(layers: readonly CommitLayer[]): Promise<string | undefined> {
    const { database, directories, records } = this;
    const notDurable = this.#notDurable;
    if (notDurable === undefined) return undefined;
    for (const { chainId } of layers) {
      const existing = await records.findChain(database, chainId);
      if (existing !== undefined && existing.notDurable === undefined && !directories.exists(existing.number))
        return undefined;
    }
    return notDurable;
  }

  /** Numbers of the parent and its ancestors, nearest first. */
  async #lineageOf(
    chainId: Digest | undefined,
    batch: ReadonlyMap<Digest, readonly number[]>,
  ): Promise<readonly number[]> {
    if (chainId === undefined) return [];
    const known = batch.get(chainId);
    if (known !== undefined) return known;
    const record = await this.records.findChain(this.database, chainId);
    if (record === undefined || !this.directories.exists(record.number)) throw missingParent(chainId);
    return this.records.lineage(this.database, record.number);
  }

  async #describe(layer: CommitLayer, number: number, notDurable: string | undefined): Promise<void> {
    const { chainId, diffId, parentChainId } = layer;
    await writeSnapshotFile(this.directories.path(number), {
      name: chainId,
      parent: parentChainId,
      snapshotter: this.records.snapshotter,
      chainId,
      diffId,
      notDurable,
    });
  }

  /** What a layer was described by before its name was known, where that turns out to be another. */
  async #describeAnew(
    { chainId, diffId, parentChainId }: CommitLayer,
    number: number,
    { name, parent, notDurable }: Pick<SnapshotFile, 'name' | 'parent' | 'notDurable'>,
  ): Promise<void> {
    if (name === chainId && parent === parentChainId) return;
    const { snapshotter } = this.records;
    const file = { name, parent, snapshotter, chainId, diffId, notDurable };
    await rewriteSnapshotFile(this.directories.path(number), file);
  }

  async #recordAll(
    tx: Statements,
    pending: readonly Pending[],
    notDurable: string | undefined,
  ): Promise<Recorded> {
    const records = new Map<Digest, SnapshotRecord>();
    let replaced = false;
    for (const { layer, number } of pending) {
      const existing = await this.records.findChain(tx, layer.chainId);
      const isLost = existing !== undefined && !this.directories.exists(existing.number);
      if (isLost) await this.#replaceLost(tx, { layer, number, existing, notDurable });
      if (existing === undefined) await this.#recordNew(tx, { layer, number, notDurable }, records);
      replaced ||= isLost;
      const record = await this.records.byId(tx, existing?.number ?? number);
      if (record !== undefined) records.set(layer.chainId, record);
    }
    return { records, replaced };
  }

  /**
   * Its content was lost. The new one takes its place, so that the snapshots above it are whole again too.
   */
  async #replaceLost(
    tx: Statements,
    { layer, number, existing, notDurable }: NewRecord & { readonly existing: SnapshotRecord },
  ): Promise<void> {
    const { directories, records } = this;
    await this.#describeAnew(layer, number, { name: existing.name, parent: existing.parent, notDurable });
    // It was there when this commit began, so the new content is not synced yet.
    if (notDurable !== undefined && existing.notDurable === undefined) directories.syncContent();
    directories.discard(existing.number);
    directories.replace(existing.number, number);
    // What was lost may have been a link into another store, which takes nothing here.
    await records.setUsage(tx, existing.number, { inodes: 0, size: 0 });
    await records.markNotDurable(tx, existing.number, notDurable);
  }

  /** Records one layer under its chain ID, above what was recorded with it. */
  async #recordNew(
    tx: Statements,
    { layer, number, notDurable }: NewRecord,
    recorded: Recorded['records'],
  ): Promise<void> {
    const { records } = this;
    const { chainId, diffId, parentChainId } = layer;
    const parent =
      parentChainId === undefined
        ? undefined
        : (recorded.get(parentChainId) ?? (await records.findChain(tx, parentChainId)));
    if (parentChainId !== undefined && parent === undefined) throw missingParent(parentChainId);
    // Another program may have given the name to a snapshot that is not verified; the chain is found under
    // its ID all the same.
    const taken = (await records.find(tx, chainId)) !== undefined;
    const name = taken ? `${chainId}+${number}` : chainId;
    await this.#describeAnew(layer, number, { name, parent: parent?.name, notDurable });
    await records.commit(tx, number, { name, parentId: parent?.number, labels: {} });
    await records.recordChain(tx, chainId, diffId, number);
    if (notDurable !== undefined) await records.markNotDurable(tx, number, notDurable);
  }
}

function missingParent(chainId: Digest): UnpackError {
  return new UnpackError('SNAPSHOT_NOT_FOUND', `the parent ${chainId} is not there any more`, {
    retryable: true,
    hint: 'Pull the image again.',
  });
}

/** A directory that this process fills, and the lock that says so to others. */
interface PrivateDirectory {
  readonly number: number;
  readonly lock: number;
}

/** A power cut takes the process along, and what it was filling is garbage then, with a row or without. */
const VOLATILE = { durable: false } as const;

interface PrivateDirectoriesOptions {
  readonly database: MetadataDatabase;
  readonly directories: SnapshotDirectories;
  readonly records: SnapshotRecords;
  /** Counts them, where their content is to be synced. */
  readonly writeback: Writeback | undefined;
}

/**
 * The directories that this process fills, and that are not visible yet. The process locks each of them, and
 * the kernel drops the lock with the process, so a collection knows at once which were abandoned.
 */
export class PrivateDirectories {
  readonly #options: PrivateDirectoriesOptions;
  readonly #byKey = new Map<string, PrivateDirectory>();

  constructor(options: PrivateDirectoriesOptions) {
    this.#options = options;
  }

  /** Made and locked in the transaction of its row, so that no collection finds it unlocked. */
  async begin(
    names: readonly string[],
    parentId?: number,
  ): Promise<{ readonly key: string; readonly number: number }> {
    const { database, directories, records } = this.#options;
    const key = `unpacking-${randomUUID()}`;
    const make = async (tx: Statements): Promise<number> => {
      const number = await records.insert(tx, { name: key, kind: 'active', parentId, unpacking: true });
      directories.create(number, names);
      const lock = directories.tryLock(number);
      if (lock === undefined)
        throw new LandfallError('IN_USE', `${directories.path(number)} is locked already`);
      try {
        this.#options.writeback?.begin();
      } catch (error) {
        closeSync(lock);
        throw error;
      }
      this.#byKey.set(key, { number, lock });
      return number;
    };
    try {
      return { key, number: await database.transaction(make, VOLATILE) };
    } catch (error) {
      this.release(key);
      throw error;
    }
  }

  idOf(key: string): number | undefined {
    return this.#byKey.get(key)?.number;
  }

  /** Gives up the lock of a directory that is private no more. */
  release(key: string): void {
    const directory = this.#byKey.get(key);
    if (directory === undefined) return;
    this.#byKey.delete(key);
    this.#options.writeback?.end();
    closeSync(directory.lock);
  }

  /** Whatever becomes of it, the directory is locked no more: what is left of it is a later collection's. */
  async abandon(key: string): Promise<void> {
    const { database, directories, records } = this.#options;
    const directory = this.#byKey.get(key);
    if (directory === undefined) return;
    try {
      // First what takes space: on a full disk, the database has none to write to before.
      const away = directories.discard(directory.number);
      if (away !== undefined) await directories.sweep(away);
      await database.transaction((tx) => records.delete(tx, directory.number), VOLATILE);
    } finally {
      this.release(key);
    }
  }
}

export interface WritebackOptions {
  /** Of whose file system all is written; made where it is missing. */
  readonly directory: string;
  /** How a file system is synced, for tests. */
  readonly syncfs?: ((fd: number) => Promise<void>) | undefined;
}

/**
 * The pause between two rounds, in ms. By itself the kernel begins with what is half a minute old, when a
 * pull is over. With this pause two layers of 330 MB on an ext4 that is as fast as memory left 0.05 s to be
 * synced at the end, and without any writeback 0.58 s; the processor time is the same.
 */
const PAUSE_MS = 300;

/**
 * Writes what layers leave in the page cache to the disk while they still are unpacked, so that the sync
 * before their commit finds little to do. It runs while there are {@link begin layers in the making}, on a
 * thread of libuv's pool, a round after another; {@link sync} joins the next one. Like that sync
 * it cannot tell these files from all others of the file system: thousands of small ones are not worth a call
 * each.
 */
export class Writeback {
  readonly #directory: string;
  readonly #syncfs: (fd: number) => Promise<void>;
  #layers = 0;
  /**
   * Open from the first layer to the last, so that it reports each write that failed in between, also one
   * that another descriptor has reported (syncfs(2), since Linux 5.8).
   */
  #fd: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last: Promise<void> = Promise.resolve();
  /** Waits for the last one to end. */
  #next: Promise<void> | undefined;
  /** Reported to one round, and so to no later one: all layers in the making may lack something. */
  #failure: { readonly error: unknown } | undefined;

  constructor({ directory, syncfs = syncfsInBackground }: WritebackOptions) {
    this.#directory = directory;
    this.#syncfs = syncfs;
  }

  /** A layer is about to be written. {@link end} belongs to each call. */
  begin(): void {
    if (this.#fd === undefined) {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      this.#fd = openSync(this.#directory, O_RDONLY | O_DIRECTORY);
      this.#schedule();
    }
    // What could not be opened is not begun, and has no end.
    this.#layers += 1;
  }

  /** A layer is committed, or given up. */
  end(): void {
    this.#layers -= 1;
    if (this.#layers > 0) return;
    clearTimeout(this.#timer);
    const fd = this.#fd;
    this.#fd = undefined;
    this.#failure = undefined;
    if (fd === undefined) return;
    // Not while a call has it.
    void Promise.allSettled([this.#last, this.#next]).then(() => closeSync(fd));
  }

  /**
   * Makes all durable that was written before the call.
   *
   * @throws SystemError, also of what a round before could not write that ran since the first of the layers
   *   began
   */
  async sync(): Promise<void> {
    this.begin();
    try {
      await this.#round();
      if (this.#failure !== undefined) throw this.#failure.error;
    } finally {
      this.end();
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.#round().then(() => {
        if (this.#layers > 0) this.#schedule();
      });
    }, PAUSE_MS);
    this.#timer.unref();
  }

  /** One that begins after the call: what runs already may have passed by what was written last. */
  #round(): Promise<void> {
    this.#next ??= this.#last.then(async () => {
      if (this.#next !== undefined) this.#last = this.#next;
      this.#next = undefined;
      const fd = this.#fd;
      if (fd === undefined) return;
      try {
        await this.#syncfs(fd);
      } catch (error) {
        this.#failure ??= { error };
      }
    });
    return this.#next;
  }
}

/**
 * Puts the directories of snapshots away that are in doubt (src/metadata/database.ts): each then counts as
 * lost, is unpacked anew in its place by the next pull, and what was put away goes with the next collection.
 * Their rows stay as they are; the caller has the store's root locked.
 *
 * @param boot this one
 * @returns how many there are
 */
export async function trashNotDurableSnapshots(
  root: string,
  database: MetadataDatabase,
  boot: string,
): Promise<number> {
  const directories = new SnapshotDirectories(root);
  const rows = await database.all(`SELECT id FROM snapshots WHERE ${IN_DOUBT}`, [boot]);
  for (const row of rows) directories.discard(integerOf(row, 'id'));
  return rows.length;
}
