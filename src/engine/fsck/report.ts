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

export type FsckStepName = (typeof FSCK_STEPS)[number];

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
  readonly step: FsckStepName;
  readonly kind: FsckProblemKind;
  /** A digest, a snapshot's name, or a file below the root. */
  readonly subject: string;
  /** Where the damaged thing is, or where it was put. */
  readonly path?: string;
  readonly detail: string;
  /** Names of the images that need it. */
  readonly images: readonly string[];
  readonly state: FsckState;
  /** Why it could not be repaired. */
  readonly reason?: string;
}

/** Something that is no damage, but worth knowing. */
export interface FsckRemark {
  /** `unchecked`: it could not be held against what it should be. */
  readonly kind: 'orphan-blob' | 'orphan-snapshot' | 'partial' | 'unchecked';
  readonly subject: string;
  readonly bytes?: number;
  readonly reason?: string;
}

export interface FsckStep {
  readonly name: FsckStepName;
  /** How many things it looked at. */
  readonly checked: number;
  readonly durationMs: number;
  /** How many problems it found. */
  readonly problems: number;
  readonly remarks: readonly FsckRemark[];
}

/** What a check found and what became of it. Safe to be written as JSON. */
export interface FsckReport {
  readonly root: string;
  readonly quick: boolean;
  readonly repair: boolean;
  /** Whether nothing is damaged now. */
  readonly sound: boolean;
  /** Without those that a damaged database made senseless. */
  readonly steps: readonly FsckStep[];
  readonly problems: readonly FsckProblem[];
}
