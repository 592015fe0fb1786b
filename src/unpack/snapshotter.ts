import type { Digest } from '../spec/index.js';

/*
 * Vocabulary. A *snapshot* is a directory tree made of a layer on top of a parent snapshot. It is *active* (being
 * written, found by its key), a *view* (read-only over a parent, found by its key) or *committed* (immutable,
 * found by its name). Keys and names are opaque and share one name space.
 *
 * Lifecycle, as containerd's: prepare(key, parent) -> write through mounts(key) -> commit(key, name), after which
 * `key` is gone and `name` may be a parent; or remove(key). A snapshot with children cannot be removed.
 */

export type Labels = Readonly<Record<string, string>>;

/** A mount as containerd's API has it: `mount -t TYPE -o OPTIONS SOURCE TARGET`. */
export interface Mount {
  /** Of the file system: `overlay`, `bind`. */
  readonly type: string;
  /** What is mounted. */
  readonly source: string;
  /** Below where the mounts go; absent for that itself. */
  readonly target?: string;
  /** As mount(8) takes them. */
  readonly options: readonly string[];
}

export type SnapshotKind = 'active' | 'view' | 'committed';

/** An image that a snapshot was made for, or given to another program for, as its topmost layer. */
export interface SnapshotImage {
  /** Canonical; what it was asked for as. */
  readonly name: string;
  /** What leads to its manifest: indexes first, the manifest last. */
  readonly path: readonly Digest[];
}

export interface SnapshotInfo {
  /** The key of an active snapshot or view, the name of a committed one. */
  readonly name: string;
  readonly kind: SnapshotKind;
  /** The parent's name; absent for a bottom layer. */
  readonly parent?: string | undefined;
  readonly labels: Labels;
  /** The other program that retains it. */
  readonly retainedBy?: string | undefined;
  /** The images that are known to end with it, where there are any; see {@link Labelled.image}. */
  readonly images?: readonly SnapshotImage[] | undefined;
  /**
   * Microseconds since 1970: the milliseconds of a Date may be before the clock that a caller has just read.
   */
  readonly createdAt: number;
  /** Microseconds since 1970. */
  readonly updatedAt: number;
}

/** What a snapshot itself takes on the disk, without its parents; a file with several links counts once. */
export interface Usage {
  readonly inodes: number;
  /** Bytes. */
  readonly size: number;
}

export interface Labelled {
  readonly labels?: Labels;
  /**
   * The program that asks for it, where another one does: no collection takes it before that one has let go
   * of it.
   */
  readonly retainedBy?: string | undefined;
  /**
   * An image that ends with this snapshot, to be remembered with it, beside others: it is landfall's own, and
   * nobody's to change.
   */
  readonly image?: SnapshotImage | undefined;
  /** Whether the program that asks for it gives all that its parent has to the owners of a user namespace. */
  readonly remapped?: boolean | undefined;
}

/**
 * Errors of every method: SNAPSHOT_NOT_FOUND (no such key, name or parent), ALREADY_EXISTS (the key or name
 * is taken), IN_USE (it has children), INVALID_CONFIG (it is of the wrong kind for the call), NO_SPACE,
 * FILESYSTEM.
 */
export interface Snapshotter {
  /** `overlay` or `native`. Snapshots of one snapshotter are never parents in another. */
  readonly kind: string;
  prepare(key: string, parent?: string, options?: Labelled): Promise<readonly Mount[]>;
  view(key: string, parent?: string, options?: Labelled): Promise<readonly Mount[]>;
  /** The mounts of an active snapshot or a view. */
  mounts(key: string): Promise<readonly Mount[]>;
  /** What {@link Labelled} says beside labels stays as it was given for the key. */
  commit(key: string, name: string, options?: Pick<Labelled, 'labels'>): Promise<void>;
  stat(id: string): Promise<SnapshotInfo | undefined>;
  update(id: string, change: { readonly labels: Labels }): Promise<SnapshotInfo>;
  usage(id: string): Promise<Usage>;
  remove(id: string): Promise<void>;
  list(): AsyncIterable<SnapshotInfo>;
}
