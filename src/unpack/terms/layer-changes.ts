import type { BytePath } from '../../system/index.js';

/**
 * What extracting one layer leaves to the moment when its parents are there. Paths are resolved (no component
 * is a symlink), relative to the layer's root, without leading or trailing slash; `''` is the root itself.
 */
export interface LayerChanges {
  /** Directories that the layer needs but does not list: they take their attributes from the parents. */
  readonly implied: readonly BytePath[];
  /**
   * Names below which the parents' tree ends: `whiteouts` hide one name, `opaques` all names in a directory.
   * The layer has nothing at the former, and need not have the directories on the way.
   */
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
  /** Absolute path of the empty directory to fill, with what the layer itself has. */
  readonly path: string;
}

/**
 * What overlayfs reads in a completed layer. `overlay`: whiteouts are 0:0 devices and opaque directories
 * carry `trusted.overlay.opaque`; `userxattr` the same with `user.overlay.opaque`.
 */
export type LayerForm = 'overlay' | 'userxattr';
