import { basename } from 'node:path';
import { type Abortable, LandfallError } from '../../errors.js';
import type { MetadataDatabase, Statements } from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import type { IdMappings } from '../bundle/runtime-config.js';
import type {
  CommitLayer,
  CommittedLayer,
  RetainChainOptions,
  LayerSnapshotter,
  OrphanOptions,
  RemovedOrphans,
  SnapshotCheckRun,
  SweepOptions,
  SweptSnapshots,
} from '../layer-snapshotter.js';
import type { Labelled, Labels, Mount, SnapshotInfo, SnapshotKind, Usage } from '../snapshotter.js';
import type { LayerDirectory } from '../terms/layer-changes.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import { type AdditionalSnapshots, ChainAdoption } from './adopt-chain.js';
import { DirectorySnapshotCheck } from './check-snapshots.js';
import { type LayerCommitOptions, LayerCommits, type LayerForm } from './commit-layers.js';
import { idMappingsOn } from './id-mappings.js';
import { measureCommitted, measureUsage, snapshotsUsage } from './measure-usage.js';
import { SnapshotDirectories, writeSnapshotFile } from './snapshot-directories.js';
import {
  checkLabels,
  infoOf,
  nameTaken,
  snapshotNotFound,
  type SnapshotRecord,
  SnapshotRecords,
  wrongKind,
} from './snapshot-records.js';
import { removeOrphans, removeTrash, sweepSnapshots } from './sweep-snapshots.js';

export interface SnapshotterOptions extends LayerCommitOptions {
  /** The store's root; snapshots lie in `<root>/snapshots`. */
  readonly root: string;
  /** Other stores, which are only read, whose snapshots are used where they lie. */
  readonly additional?: readonly AdditionalSnapshots[];
}

/** An active snapshot or a view that is to be made. */
interface WantedSnapshot {
  readonly kind: 'active' | 'view';
  readonly key: string;
  readonly parent: string | undefined;
  readonly given: Labelled;
  /** Of the directories in it. */
  readonly names: readonly string[];
}

/** What a new snapshot is made on. */
interface Parent {
  readonly parentId: number | undefined;
  /** The ids of all ancestors, nearest first. */
  readonly lineage: readonly number[];
  /** What their owners are mapped to. */
  readonly mappings: IdMappings | undefined;
}

const PAGE = 200;

/**
 * What snapshotters have in common that keep each snapshot in a directory of its own: rows, directories,
 * their order, locks. How a directory relates to its parents' is left to the subclasses.
 */
export abstract class DirectorySnapshotter implements LayerSnapshotter, LayerForm {
  readonly kind: string;
  protected readonly directories: SnapshotDirectories;
  protected readonly records: SnapshotRecords;
  protected readonly database: MetadataDatabase;
  protected readonly pool: WorkerPool;
  readonly #adoption: ChainAdoption | undefined;
  readonly #commits: LayerCommits;

  protected constructor(kind: string, o: SnapshotterOptions) {
    this.kind = kind;
    this.database = o.database;
    this.pool = o.pool;
    this.directories = new SnapshotDirectories(o.root);
    this.records = new SnapshotRecords(kind);
    this.#commits = new LayerCommits(this, this.records, this.directories, o);
    const { additional = [] } = o;
    if (additional.length > 0) this.#adoption = new ChainAdoption(this.#commits, additional);
  }

  /** Directories of a layer that is being unpacked, the one to unpack into first. */
  abstract readonly layerNames: LayerForm['layerNames'];
  /** Directories of an active snapshot. */
  protected abstract readonly activeNames: readonly string[];

  /**
   * @param parents - numbers of the ancestors, nearest first
   * @param mappings - what their owners are shown as; see {@link mapsIds}
   */
  protected abstract mountsOf(
    number: number,
    kind: SnapshotKind,
    parents: readonly number[],
    mappings?: IdMappings,
  ): readonly Mount[];
  /** Whether mounts show other owners than the disk has, for a user namespace. */
  protected abstract readonly mapsIds: boolean;
  /** Whether {@link fill} takes no time, so that a snapshot can be made within one transaction. */
  protected abstract readonly fillsAtOnce: boolean;
  /** Makes the new, empty content of an active snapshot what a mount is to start from. */
  protected abstract fill(number: number, parents: readonly number[], mappings?: IdMappings): Promise<void>;
  /** Makes an extracted layer a snapshot's content, and returns warnings. */
  abstract complete(...args: Parameters<LayerForm['complete']>): Promise<readonly string[]>;
  /**
   * The numbers of the directories that together show a snapshot, out of its own and its ancestors', nearest
   * first.
   */
  protected abstract shown(lineage: readonly number[]): readonly number[];

  prepare(key: string, parent?: string, o: Labelled = {}): Promise<readonly Mount[]> {
    return this.#make('active', key, parent, o);
  }

  view(key: string, parent?: string, o: Labelled = {}): Promise<readonly Mount[]> {
    return this.#make('view', key, parent, o);
  }

  async mounts(key: string): Promise<readonly Mount[]> {
    const record = await this.#get(this.database, key);
    if (record.kind === 'committed') throw wrongKind(key, 'committed', 'active or a view');
    const [, ...parents] = await this.records.lineage(this.database, record.number);
    const parent =
      record.parent === undefined ? undefined : await this.records.find(this.database, record.parent);
    const mappings = this.mapsIds ? idMappingsOn(parent, record.labels) : undefined;
    return this.mountsOf(record.number, record.kind, parents, mappings);
  }

  async commit(key: string, name: string, { labels = {} }: Pick<Labelled, 'labels'> = {}): Promise<void> {
    const record = await this.#getActive(this.database, key);
    const { parent } = record;
    checkLabels(labels);
    await this.#refuseTaken(this.database, name);
    await writeSnapshotFile(this.directories.path(record.number), {
      name,
      parent,
      snapshotter: this.kind,
    });
    faultPoint('snapshot-commit:described');
    await this.pool.run({ kind: 'sync', directory: this.directories.path(record.number) });
    faultPoint('snapshot-commit:synced');
    await this.database.transaction(async (tx) => {
      const { number, parentId } = await this.#getActive(tx, key);
      if (number !== record.number) throw snapshotNotFound(key);
      await this.#refuseTaken(tx, name);
      await this.records.commit(tx, number, { name, parentId, labels });
    });
    faultPoint('snapshot-commit:recorded');
  }

  async stat(id: string): Promise<SnapshotInfo | undefined> {
    const record = await this.records.find(this.database, id);
    return record === undefined || record.unpacking ? undefined : infoOf(record);
  }

  update(id: string, { labels }: { readonly labels: Labels }): Promise<SnapshotInfo> {
    checkLabels(labels);
    return this.database.transaction(async (tx) => {
      const { number } = await this.#get(tx, id);
      await this.records.setLabels(tx, number, labels);
      return infoOf(await this.#get(tx, id));
    });
  }

  async usage(id: string): Promise<Usage> {
    const record = await this.#get(this.database, id);
    if (record.usage !== undefined) return record.usage;
    const usage = await measureUsage(this.directories.content(record.number));
    if (record.kind === 'committed') await this.records.setUsage(this.database, record.number, usage);
    return usage;
  }

  async remove(id: string): Promise<void> {
    const removed = await this.database.transaction(async (tx) => {
      const { number } = await this.#get(tx, id);
      if (await this.records.hasChildren(tx, number)) throw hasChildren(id);
      this.directories.refuseMounted(number);
      await this.records.delete(tx, number);
      return number;
    });
    // Only now: a process that dies before has removed nothing.
    const away = this.directories.discard(removed);
    if (away !== undefined) await this.directories.sweep(away);
  }

  list(): AsyncIterable<SnapshotInfo> {
    return this.#pages();
  }

  listRetained(by: string): AsyncIterable<SnapshotInfo> {
    return this.#pages(by);
  }

  async *#pages(retainedBy?: string): AsyncIterable<SnapshotInfo> {
    let after = 0;
    for (;;) {
      const page = await this.records.page(this.database, { after, limit: PAGE, retainedBy });
      for (const record of page) if (!record.unpacking) yield infoOf(record);
      const end = page.at(-1);
      if (end === undefined) return;
      after = end.number;
    }
  }

  async retainChain(chainId: Digest, o: RetainChainOptions): Promise<SnapshotInfo | undefined> {
    checkLabels(o.labels);
    // It may be in an additional store only.
    if (this.#adoption !== undefined) await this.findChain(chainId);
    const find = async (db: Statements): Promise<SnapshotRecord | undefined> => {
      const record = await this.records.findChain(db, chainId);
      return record?.parent === o.parent && this.#hasContent(record) ? record : undefined;
    };
    const found = await find(this.database);
    // A request for the layers of one more container finds all as it is, and waits for no writer.
    if (found === undefined || isRetained(found, o)) return found === undefined ? undefined : infoOf(found);
    return await this.database.transaction(async (tx) => {
      const record = await find(tx);
      if (record === undefined) return undefined;
      const labels = { ...record.labels, ...o.labels };
      await this.records.retain(tx, record.number, { ...o, labels });
      return infoOf(await this.#get(tx, record.name));
    });
  }

  async release(name: string, by: string): Promise<readonly Digest[]> {
    const chains = await this.database.transaction(async (tx) => {
      const record = await this.records.find(tx, name);
      // To a program that does not retain it, it is not there.
      if (record?.retainedBy !== by) throw snapshotNotFound(name);
      const chains = await this.records.chainsOf(tx, record.number);
      // A chain is of use to others too, so only the reference goes.
      if (chains.length > 0) {
        if (await this.records.hasChildrenOf(tx, record.number, by)) throw hasChildren(name);
        await this.records.release(tx, record.number);
      }
      return chains;
    });
    if (chains.length === 0) await this.remove(name);
    return chains;
  }

  async findChain(chainId: Digest): Promise<SnapshotInfo | undefined> {
    const found = await this.#findChain(chainId);
    if (found !== undefined || this.#adoption === undefined) return found;
    await this.#adoption.adopt(chainId);
    return this.#findChain(chainId);
  }

  async #findChain(chainId: Digest): Promise<SnapshotInfo | undefined> {
    const record = await this.records.findChain(this.database, chainId);
    return this.#hasContent(record) ? infoOf(record) : undefined;
  }

  #hasContent(record: SnapshotRecord | undefined): record is SnapshotRecord {
    return record !== undefined && this.directories.exists(record.number);
  }

  beginLayer(): Promise<LayerDirectory> {
    return this.#commits.begin();
  }

  check(): Promise<SnapshotCheckRun> {
    return DirectorySnapshotCheck.begin(this.#commits);
  }

  commitLayers(layers: readonly CommitLayer[], o: Abortable = {}): Promise<readonly CommittedLayer[]> {
    return this.#commits.commit(layers, o);
  }

  abandonLayer(directory: LayerDirectory): Promise<void> {
    return this.#commits.private.abandon(directory.key);
  }

  async layerPaths(name: string): Promise<readonly string[]> {
    const { lineage } = await this.#committed(name);
    return this.shown(lineage).map((number) => this.directories.realContent(number));
  }

  async viewMounts(name: string): Promise<readonly Mount[]> {
    const { number, lineage } = await this.#committed(name);
    return this.mountsOf(number, 'view', lineage);
  }

  /** A committed snapshot's number, and those that lead from it to the bottom, itself first. */
  async #committed(name: string): Promise<{ number: number; lineage: readonly number[] }> {
    const { kind, number } = await this.#get(this.database, name);
    if (kind !== 'committed') throw wrongKind(name, kind, 'committed');
    return { number, lineage: await this.records.lineage(this.database, number) };
  }

  measure(o: Abortable = {}): Promise<void> {
    return measureCommitted(this.database, this.directories, o);
  }

  diskUsage(): Promise<{ readonly count: number; readonly bytes: number }> {
    return snapshotsUsage(this.database, this.directories);
  }

  sweep(transaction: Statements, o: SweepOptions): Promise<SweptSnapshots> {
    return sweepSnapshots(transaction, this.directories, o);
  }

  removeSwept({ directories }: SweptSnapshots): Promise<number> {
    // One that a collection took meanwhile is gone already.
    const away = directories.flatMap((directory) => {
      const path = this.directories.discard(Number(basename(directory.path)));
      return path === undefined ? [] : [{ ...directory, path }];
    });
    return removeTrash(this.directories, away);
  }

  removeOrphans(o: OrphanOptions = {}): Promise<RemovedOrphans> {
    return removeOrphans({ database: this.database, directories: this.directories }, o);
  }

  async #make(
    kind: 'active' | 'view',
    key: string,
    parent: string | undefined,
    o: Labelled,
  ): Promise<readonly Mount[]> {
    // A view shows its parent as it is; without a parent it has an empty directory of its own.
    const names = kind === 'active' ? this.activeNames : ['fs'];
    checkLabels(o.labels ?? {});
    const wanted = { kind, key, parent, given: o, names };
    return await (kind === 'view' || this.fillsAtOnce ? this.#makeAtOnce(wanted) : this.#makeApart(wanted));
  }

  /** In one transaction. A crash before its end leaves a directory without a row. */
  async #makeAtOnce(wanted: WantedSnapshot): Promise<readonly Mount[]> {
    const { kind, key, given, names } = wanted;
    let created: number | undefined;
    try {
      const { number, lineage, mappings } = await this.database.transaction(async (tx) => {
        const { parentId, lineage, mappings } = await this.#parentOf(tx, wanted);
        const number = await this.records.insert(tx, { ...given, name: key, kind, parentId });
        created = number;
        this.directories.create(number, names);
        faultPoint('prepare:begun');
        if (kind === 'active') await this.fill(number, lineage, mappings);
        faultPoint('prepare:filled');
        return { number, lineage, mappings };
      });
      // It has a row from now on.
      created = undefined;
      faultPoint('prepare:published');
      return this.mountsOf(number, kind, lineage, mappings);
    } catch (error) {
      const away = created === undefined ? undefined : this.directories.discard(created);
      if (away !== undefined) await this.directories.sweep(away);
      throw error;
    }
  }

  /** In a private directory, since filling it takes long. */
  async #makeApart(wanted: WantedSnapshot): Promise<readonly Mount[]> {
    const { kind, key, given, names } = wanted;
    const { parentId, lineage } = await this.#parentOf(this.database, wanted);
    const opened = await this.#commits.private.begin(names, parentId);
    faultPoint('prepare:begun');
    try {
      await this.fill(opened.number, lineage);
      faultPoint('prepare:filled');
      await this.database.transaction(async (tx) => {
        await this.#refuseTaken(tx, key);
        await this.records.publish(tx, opened.number, { ...given, name: key, kind });
      });
      faultPoint('prepare:published');
      this.#commits.private.release(opened.key);
      return this.mountsOf(opened.number, kind, lineage);
    } catch (error) {
      await this.#commits.private.abandon(opened.key);
      throw error;
    }
  }

  /** Refuses a key that is taken. */
  async #parentOf(db: Statements, { key, parent, given }: WantedSnapshot): Promise<Parent> {
    const found = await this.records.findAmong(db, parent === undefined ? [key] : [key, parent]);
    if (found.has(key)) throw nameTaken(key);
    const record = parent === undefined ? undefined : found.get(parent);
    const mappings = idMappingsOn(record, given.labels ?? {});
    if (mappings !== undefined && !this.mapsIds) throw cannotMap(this.kind);
    if (parent === undefined) return { parentId: undefined, lineage: [], mappings };
    if (record === undefined || record.unpacking) throw snapshotNotFound(parent);
    if (record.kind !== 'committed') throw wrongKind(parent, record.kind, 'committed');
    return { parentId: record.number, lineage: await this.records.lineage(db, record.number), mappings };
  }

  async #get(db: Statements, name: string): Promise<SnapshotRecord> {
    const record = await this.records.find(db, name);
    if (record === undefined || record.unpacking) throw snapshotNotFound(name);
    return record;
  }

  async #getActive(db: Statements, key: string): Promise<SnapshotRecord> {
    const record = await this.#get(db, key);
    if (record.kind !== 'active')
      throw wrongKind(key, record.kind === 'view' ? 'a view' : 'committed', 'active');
    return record;
  }

  async #refuseTaken(db: Statements, name: string): Promise<void> {
    if ((await this.records.find(db, name)) !== undefined) throw nameTaken(name);
  }
}

function cannotMap(snapshotter: string): LandfallError {
  return new LandfallError(
    'UNSUPPORTED',
    `the ${snapshotter} snapshotter maps no owners to a user namespace`,
    {
      hint: 'Take "remap-ids" out of landfall’s capabilities in containerd’s configuration.',
    },
  );
}

/** A snapshot that cannot go yet. */
function hasChildren(name: string): LandfallError {
  return new LandfallError('IN_USE', `cannot remove snapshot ${name}, which is the parent of others`, {
    hint: 'Remove those first.',
  });
}

/** Whether a record has all that a program retains it with. */
function isRetained(record: SnapshotRecord, { by, labels, image }: RetainChainOptions): boolean {
  return (
    record.retainedBy === by &&
    Object.entries(labels).every(([label, value]) => record.labels[label] === value) &&
    (image === undefined ||
      record.images?.some(({ name, path }) => name === image.name && path.join() === image.path.join()) ===
        true)
  );
}
