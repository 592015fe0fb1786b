import type { LayoutFault, Lease } from '../../content/index.js';
import { type Abortable, LandfallError, throwIfAborted } from '../../errors.js';
import { textOf } from '../../metadata/index.js';
import type { RegistryClient } from '../../registry/index.js';
import { childrenOf, type Descriptor, type Digest } from '../../spec/index.js';
import { readManifest } from '../images/read-manifest.js';
import type { Store, StoreParts } from '../store.js';

export interface FsckOptions extends Abortable {
  /** Check all but the contents of blobs and snapshots. Default false. */
  readonly quick?: boolean;
  /** Repair what can be repaired, and put the rest out of the way. Default false: nothing is changed. */
  readonly repair?: boolean;
  /** Where damaged blobs are fetched again. Without it, none is. */
  readonly registry?: Pick<RegistryClient, 'repository'>;
  /** What `checkLayout` found before the store was opened, which mends some of it. @internal */
  readonly layoutBefore?: readonly LayoutFault[];
  /** Called with each step when it begins. */
  readonly onStep?: (step: FsckStepName) => void;
}

/** A problem while it is worked on. */
export type OpenProblem = { -readonly [K in keyof FsckProblem]: FsckProblem[K] };

/** One run of a check: what its steps share. */
export class FsckRun {
  readonly store: Store;
  readonly quick: boolean;
  readonly repair: boolean;
  readonly registry: Pick<RegistryClient, 'repository'> | undefined;
  readonly layoutBefore: readonly LayoutFault[];
  readonly signal: AbortSignal | undefined;
  readonly lease: Lease;
  readonly problems: OpenProblem[] = [];
  readonly steps: FsckStep[] = [];
  /** By digest, the problem that a blob has, repaired or not. */
  readonly blobProblems: Map<Digest, OpenProblem> = new Map<Digest, OpenProblem>();
  /** By number, the problem of a snapshot whose directory is missing. */
  readonly lostSnapshots: Map<number, OpenProblem> = new Map<number, OpenProblem>();
  readonly #onStep: FsckOptions['onStep'];
  #step: FsckStepName = 'layout';
  #remarks: FsckRemark[] = [];

  constructor(store: Store, options: FsckOptions, lease: Lease) {
    this.store = store;
    this.quick = options.quick ?? false;
    this.repair = options.repair ?? false;
    this.registry = options.registry;
    this.layoutBefore = options.layoutBefore ?? [];
    this.signal = options.signal;
    this.lease = lease;
    this.#onStep = options.onStep;
  }

  /** Runs one step; it returns how many things it looked at. */
  async step(name: FsckStepName, action: (run: FsckRun) => Promise<number>): Promise<void> {
    throwIfAborted(this.signal);
    this.#step = name;
    this.#remarks = [];
    this.#onStep?.(name);
    const before = this.problems.length;
    const begun = performance.now();
    const checked = await action(this);
    this.steps.push({
      name,
      checked,
      durationMs: Math.round(performance.now() - begun),
      problems: this.problems.length - before,
      remarks: this.#remarks,
    });
  }

  report(problem: Omit<FsckProblem, 'step' | 'state'>): OpenProblem {
    const open: OpenProblem = { step: this.#step, ...problem, state: 'found' };
    this.problems.push(open);
    return open;
  }

  remark(remark: FsckRemark): void {
    this.#remarks.push(remark);
  }

  /** Whether a blob is known to be damaged, and still is. */
  isDamaged(digest: Digest): boolean {
    const problem = this.blobProblems.get(digest);
    return problem !== undefined && problem.state !== 'repaired';
  }

  /** Notes what became of a problem. */
  settle(problem: OpenProblem, state: FsckState, reason?: string): void {
    problem.state = state;
    if (reason !== undefined) problem.reason = reason;
  }

  /** Does what repairs a problem. What fails is its reason; only an abort ends the run. */
  async attempt(problem: OpenProblem, action: () => Promise<void>): Promise<void> {
    try {
      await action();
      this.settle(problem, 'repaired');
    } catch (error) {
      this.settle(problem, 'unrepaired', this.reasonOf(error));
    }
  }

  /** What a failure says, for the report; an abort, or a fault of this program, is thrown on. */
  reasonOf(error: unknown): string {
    throwIfAborted(this.signal);
    if (!(error instanceof LandfallError)) throw error;
    return error.code === 'IN_USE' ? `${error.message}. ${error.hint}` : error.message;
  }
}

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
  | 'manifest-invalid'
  | 'snapshot-missing'
  | 'snapshot-incomplete'
  | 'snapshot-differs'
  | 'snapshot-unreadable'
  | 'index-differs';

/**
 * `found`: it was not to be repaired. `quarantined`: it could not be repaired, and what was damaged was moved
 * out of the way; what it was is still missing.
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

/** What a registry asks nothing about: it is fetched as a blob. */
const OCTET_STREAM = 'application/octet-stream';

/**
 * The descriptor of a blob of which only digest and size are known: a registry has indexes and manifests at
 * another place than other blobs, so it matters what it is.
 */
export async function describeBlob(
  { database, manifests, content }: Pick<StoreParts, 'database' | 'manifests' | 'content'>,
  digest: Digest,
  size: number,
): Promise<Descriptor> {
  const details = await manifests.get(digest);
  if (details !== undefined) return { mediaType: details.mediaType, digest, size };
  const image = await database.get('SELECT media_type FROM images WHERE digest = ? LIMIT 1', [digest]);
  if (image !== undefined) return { mediaType: textOf(image, 'media_type'), digest, size };
  for (const holder of await manifests.holders(digest)) {
    const info = await content.info(holder.digest);
    if (info === undefined) continue;
    const { mediaType } = holder;
    try {
      const manifest = await readManifest(content, { mediaType, digest: holder.digest, size: info.size });
      const child = childrenOf(manifest).find((descriptor) => descriptor.digest === digest);
      if (child !== undefined) return child;
    } catch (error) {
      // A damaged manifest is another one's problem.
      if (!(error instanceof LandfallError)) throw error;
    }
  }
  return { mediaType: OCTET_STREAM, digest, size };
}
