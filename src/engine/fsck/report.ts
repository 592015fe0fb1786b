/** The steps of a check, in their order. */
export const FSCK_STEPS = [
  'layout',
  'database',
  'blobs',
  'manifests',
  'snapshots',
  'orphans',
  'partials',
  'index',
] as const;

/** A step of a check. */
export type FsckStepName = (typeof FSCK_STEPS)[number];

/** What can be wrong in a store. */
export type FsckProblemKind =
  | 'layout-file'
  | 'layout-directory'
  | 'layout-mode'
  | 'database-damaged'
  | 'blob-missing'
  | 'blob-size'
  | 'blob-digest'
  | 'blob-unreadable'
  | 'document-invalid'
  | 'snapshot-missing'
  | 'snapshot-incomplete'
  | 'snapshot-differs'
  | 'snapshot-unreadable'
  | 'index-differs';

/**
 * `found`: nobody was to repair it. `quarantined`: it could not be repaired, and what was damaged was moved out of the way;
 * what it was is still missing.
 */
export type FsckState = 'found' | 'repaired' | 'quarantined' | 'unrepaired';

/** Something that is damaged, or was. */
export interface FsckProblem {
  /** Where it was found. */
  readonly step: FsckStepName;
  /** What is wrong. */
  readonly kind: FsckProblemKind;
  /** A digest, a snapshot's name, or a file below the root. */
  readonly subject: string;
  /** Where the damaged thing is, or where it was put. */
  readonly path?: string;
  /** The same in words. */
  readonly detail: string;
  /** Names of the images that need it. */
  readonly images: readonly string[];
  /** What became of it. */
  readonly state: FsckState;
  /** Why it could not be repaired. */
  readonly reason?: string;
}

/** Something that is no damage, but worth knowing. */
export interface FsckRemark {
  /** `unchecked`: it could not be held against what it should be. */
  readonly kind: 'orphan-blob' | 'orphan-snapshot' | 'partial' | 'unchecked';
  /** A digest, or a snapshot's name. */
  readonly subject: string;
  /** That it takes on the disk, where that is known. */
  readonly bytes?: number;
  /** Why it could not be checked. */
  readonly reason?: string;
}

/** What one step of a check has seen. */
export interface FsckStep {
  /** Which step. */
  readonly name: FsckStepName;
  /** How many things it looked at. */
  readonly checked: number;
  /** Milliseconds. */
  readonly durationMs: number;
  /** How many problems it found. */
  readonly problems: number;
  /** What is no damage, but worth knowing. */
  readonly remarks: readonly FsckRemark[];
}

/** What a check found and what became of it. Safe to be written as JSON. */
export interface FsckReport {
  /** Absolute path of the store. */
  readonly root: string;
  /** Whether contents were left out. */
  readonly quick: boolean;
  /** Whether it was to be repaired. */
  readonly repair: boolean;
  /** Whether nothing is damaged now. */
  readonly sound: boolean;
  /** Without those that a damaged database made senseless. */
  readonly steps: readonly FsckStep[];
  /** All that is damaged, or was. */
  readonly problems: readonly FsckProblem[];
}
