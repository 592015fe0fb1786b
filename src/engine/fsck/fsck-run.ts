import type { LayoutFault, Lease } from '../../content/index.js';
import { type Abortable, LandfallError, throwIfAborted } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import type { Digest } from '../../spec/index.js';
import type { Store } from '../store.js';
import type { FsckProblem, FsckRemark, FsckState, FsckStep, FsckStepName } from './report.js';

export interface FsckOptions extends Abortable {
  /** Check all but the contents of blobs and snapshots. Default false. */
  readonly quick?: boolean;
  /** Repair what can be repaired, and put the rest out of the way. Default false: nothing is changed. */
  readonly repair?: boolean;
  /** Where damaged blobs are fetched again. Without it, none is. */
  readonly registry?: Pick<RegistryClient, 'repository'>;
  /** What `checkLayout` found before the store was opened, which mends some of it. @internal */
  readonly layoutBefore?: readonly LayoutFault[];
  /** Told of each step when it begins. */
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
