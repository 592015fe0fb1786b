import type { Abortable } from '../errors.js';
import type { Statements } from '../metadata/index.js';
import type { Digest } from '../spec/index.js';
import type { BytePath } from '../system/index.js';
import type { Mount, SnapshotInfo, Snapshotter } from './snapshotter.js';

/**
 * What extracting one layer leaves to the moment when its parents are there. Paths are resolved (no component
 * is a symlink), relative to the layer's root, without leading or trailing slash; `''` is the root itself.
 */
export interface LayerChanges {
  /** Directories that the layer needs but does not list: they take their attributes from the parents. */
  readonly implied: readonly BytePath[];
  /** Names below which the parents' tree ends: `whiteouts` hide one name, `opaques` all names in a directory. */
  readonly whiteouts: readonly BytePath[];
  readonly opaques: readonly BytePath[];
  /** Hard links to files that only a lower layer has, in the archive's order. */
  readonly pendingLinks: readonly PendingLink[];
}

export interface PendingLink {
  readonly path: BytePath;
  /** Resolved path of the file it links to. */
  readonly target: BytePath;
}

/** A private directory that a layer is extracted into; not visible as a snapshot before `commitLayer`. */
export interface LayerDirectory {
  /** The active snapshot's key. */
  readonly key: string;
  /** Absolute path of the empty directory to fill. */
  readonly path: string;
  /** How the layer lies in it: with overlay's own whiteouts, or with plain content and the changes told apart. */
  readonly form: LayerForm;
}

/**
 * `overlay`: whiteouts are 0:0 devices and opaque directories carry `trusted.overlay.opaque`; `userxattr` the same
 * with `user.overlay.opaque`; `plain`: neither is written, they are only listed in {@link LayerChanges}.
 */
export type LayerForm = 'overlay' | 'userxattr' | 'plain';

/** One layer that is extracted and whose diffId was found right, ready to be committed on its parent. */
export interface CommitLayer {
  readonly directory: LayerDirectory;
  /** Chain ID of the parent, committed before; absent for the bottom layer. */
  readonly parentChainId?: Digest;
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly changes: LayerChanges;
}

/**
 * A snapshotter as the unpacker uses it: layers are filled in parallel without knowing their parents, and become
 * snapshots in chain order. A chain ID is recorded here and nowhere else, after verification.
 */
export interface LayerSnapshotter extends Snapshotter {
  findChain(chainId: Digest): Promise<SnapshotInfo | undefined>;
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
  /** The directories that together show a committed snapshot, topmost first. */
  layerPaths(name: string): Promise<readonly string[]>;
  /** The mounts that a view of a committed snapshot would have, without making one. */
  viewMounts(name: string): Promise<readonly Mount[]>;
  /**
   * The deciding half of a collection, within the caller's write transaction: deletes the rows of committed snapshots that
   * are neither retained nor an ancestor of what is kept, children before parents, and of layers whose process died. Active
   * snapshots and views are kept, and what has a mount inside it. Returns the names; {@link removeOrphans} frees the space.
   */
  sweep(transaction: Statements, options: SweepOptions): Promise<readonly string[]>;
  /** The other half: removes directories that no row names. */
  removeOrphans(options?: OrphanOptions): Promise<RemovedOrphans>;
}

export interface SweepOptions {
  /** Names or chain IDs of committed snapshots to keep, with all their ancestors. */
  readonly retained: ReadonlySet<string>;
  /** Only say what would go. Default false. */
  readonly dryRun?: boolean;
}

export interface OrphanOptions extends Abortable {
  /** Only say what would go. Default false. */
  readonly dryRun?: boolean;
  /** With `dryRun`: what a dry sweep returned, to be counted as freed too. */
  readonly swept?: readonly string[];
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
