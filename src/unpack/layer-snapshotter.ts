import type { Abortable } from '../errors.js';
import type { Statements } from '../metadata/index.js';
import type { Digest } from '../spec/index.js';

import type { LayerChanges, LayerDirectory } from './terms/layer-changes.js';
import type { ExtractionOptions, LayerInput } from './jobs/layer-input.js';
import type { Labels, Mount, SnapshotImage, SnapshotInfo, SnapshotKind, Snapshotter } from './snapshotter.js';

/** One layer that is extracted and whose diffId was found right, ready to be committed on its parent. */
export interface CommitLayer {
  readonly directory: LayerDirectory;
  /** Chain ID of the parent, committed before; absent for the bottom layer. */
  readonly parentChainId?: Digest | undefined;
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly changes: LayerChanges;
}

/** Verified layers, found by their chain IDs. */
export interface ChainLookup {
  findChain(chainId: Digest): Promise<SnapshotInfo | undefined>;
}

/**
 * Layers become snapshots in chain order; they are filled in parallel, without knowing their parents. A chain
 * ID is recorded here and nowhere else, after verification.
 */
export interface LayerCommitter extends ChainLookup {
  /** A new private directory, locked by this process while it lives. */
  beginLayer(): Promise<LayerDirectory>;
  /**
   * Completes each layer against its parents, syncs once for all of them (`syncfs`), and records all in one
   * transaction: bottom first. A chain that exists already (another process was faster) wins: the directory
   * here is then removed. Returns the snapshots, in the order given, with the warnings of the completion.
   */
  commitLayers(layers: readonly CommitLayer[], options?: Abortable): Promise<readonly CommittedLayer[]>;
  /** Removes a directory that will not be committed. */
  abandonLayer(directory: LayerDirectory): Promise<void>;
}

/** What a committed snapshot shows, read without making a view of it. */
export interface SnapshotViews {
  /** The directories that together show a committed snapshot, topmost first. */
  layerPaths(name: string): Promise<readonly string[]>;
  /** The mounts that a view of a committed snapshot would have. */
  viewMounts(name: string): Promise<readonly Mount[]>;
}

/** References of other programs, which keep snapshots from being collected. */
export interface SnapshotReferences {
  /**
   * Retains a chain for another program, beside all others that retain it. The chain may be adopted from an
   * additional store. Undefined where it is not here, or lies on another parent than `parent` names (none: on
   * nothing).
   */
  retainChain(chainId: Digest, options: RetainChainOptions): Promise<SnapshotInfo | undefined>;
  /** What a program retains: what it prepared or committed, and the chains that were given to it. */
  listRetained(by: string): AsyncIterable<SnapshotInfo>;
  /**
   * Releases what a program retains. What only that program could use is removed; chains stay, and are
   * returned for a collection to look at. Errors: SNAPSHOT_NOT_FOUND, IN_USE (the program retains children of
   * it).
   */
  release(name: string, by: string): Promise<readonly Digest[]>;
}

/** The snapshots' part in a collection: rows first, in a transaction, and directories after it. */
export interface SnapshotGc {
  /**
   * Within the caller's write transaction, deletes the rows of committed snapshots that are neither retained
   * nor an ancestor of what is kept, children before parents, and of layers whose process died. Active
   * snapshots and views are kept, what another program retains, and what has a mount inside it. {@link
   * removeSwept} frees the space afterwards.
   */
  sweep(transaction: Statements, options: SweepOptions): Promise<SweptSnapshots>;
  /**
   * Removes the directories of a sweep that is committed, and returns how many bytes that was. What a crash
   * leaves of it, {@link removeOrphans} finds.
   */
  removeSwept(swept: SweptSnapshots): Promise<number>;
  /** Removes directories that no row names. */
  removeOrphans(options?: OrphanOptions): Promise<RemovedOrphans>;
}

/** Measures and checks what is on the disk. */
export interface SnapshotCheck {
  /** Measures committed snapshots that were never measured; they do not change, so the result is kept. */
  measure(o?: Abortable): Promise<void>;
  /** What all snapshots of this store take on the disk, of whatever kind. */
  diskUsage(): Promise<{ readonly count: number; readonly bytes: number }>;
  /** Begins to compare the snapshots with what they should be, and to repair them. */
  check(): Promise<SnapshotCheckRun>;
}

/** All roles of a store's own snapshotter. */
export interface LayerSnapshotter
  extends Snapshotter, LayerCommitter, SnapshotViews, SnapshotReferences, SnapshotGc, SnapshotCheck {}

export interface RetainChainOptions {
  /** The program that is to hold it. */
  readonly by: string;
  readonly parent?: string | undefined;
  /** What it calls the snapshot with; added to what is there. */
  readonly labels: Labels;
  /** See {@link Labelled.image}. */
  readonly image?: SnapshotImage | undefined;
}

/** A snapshot as a check sees it. */
export interface CheckedSnapshot {
  /** Names its directory. */
  readonly number: number;
  /** The key while it is active or a view, the name once it is committed. */
  readonly name: string;
  readonly kind: SnapshotKind;
  readonly parentId?: number | undefined;
  /** The names that its parent has; empty for one without a parent. */
  readonly parents: readonly string[];
  /** What it was verified to hold; absent where another program filled it. */
  readonly chain?: { readonly chainId: Digest; readonly diffId: Digest } | undefined;
  /** Whether this snapshotter made it, and can make it again. */
  readonly isOwn: boolean;
}

/**
 * A check of all snapshots, as they were when it began. Parents go first: one that is held against its layer
 * is completed on its parents, or on what its parents should be where they turned out to be damaged.
 */
export interface SnapshotCheckRun extends AsyncDisposable {
  /** In groups; parents stand in an earlier one than their children. */
  readonly generations: readonly (readonly CheckedSnapshot[])[];
  /** Whether its row is still there: anything may have been removed since the check began. */
  isKnown(snapshot: CheckedSnapshot): Promise<boolean>;
  /** Its directory. */
  pathOf(snapshot: CheckedSnapshot): string;
  /** Whether that is there. */
  exists(snapshot: CheckedSnapshot): boolean;
  /** What is wrong by the directory and its `snapshot.json` alone; undefined where nothing is. */
  inspect(snapshot: CheckedSnapshot): Promise<string | undefined>;
  /** Why it cannot be held against its layer here. */
  refusal(snapshot: CheckedSnapshot): Promise<string | undefined>;
  /**
   * Unpacks its layer again, and compares. The differences, of which the first few are told; where there are
   * any, what was unpacked is kept until {@link replace} or the end. Errors: those of unpacking a layer.
   */
  hold(snapshot: CheckedSnapshot, layer: LayerInput, options?: RetainOptions): Promise<readonly string[]>;
  /** Writes `snapshot.json` anew, for one whose content was found right. */
  describe(snapshot: CheckedSnapshot): Promise<void>;
  /**
   * Puts what {@link hold} unpacked in the place of the damaged one, durably and at once. Where the damaged
   * one is now; undefined where nothing was left of it. Errors: IN_USE while it is mounted;
   * SNAPSHOT_NOT_FOUND; FILESYSTEM.
   */
  replace(snapshot: CheckedSnapshot): Promise<string | undefined>;
}

export interface RetainOptions extends Abortable, Pick<ExtractionOptions, 'limits' | 'inflate'> {}

export interface SweepOptions {
  /** Names or chain IDs of committed snapshots to keep, with all their ancestors. */
  readonly retained: ReadonlySet<string>;
  /** Look at the snapshots of these chains only. */
  readonly among?: readonly Digest[];
  /** Only say what would go. Default false. */
  readonly dryRun?: boolean;
}

export interface SweptSnapshots {
  /** Names, or `snapshots/<n>` for one that never had any. */
  readonly names: readonly string[];
  /** Their directories, which no row names once the transaction is committed. */
  readonly directories: readonly SweptDirectory[];
}

export interface SweptDirectory {
  readonly path: string;
  /** What its content takes, in bytes, where that was measured before. */
  readonly bytes?: number | undefined;
}

export interface OrphanOptions extends Abortable {
  /** Only say what would go. Default false. */
  readonly dryRun?: boolean;
  /** The directories that a sweep returned: they count as freed, and are not named once more. */
  readonly swept?: readonly SweptDirectory[];
}

export interface RemovedOrphans {
  /** `snapshots/<n>` each; what `sweep` returned is not named again. */
  readonly removed: readonly string[];
  /** Bytes, those of swept snapshots included. */
  readonly freed: number;
}

export interface CommittedLayer {
  readonly snapshot: SnapshotInfo;
  readonly warnings: readonly string[];
}
