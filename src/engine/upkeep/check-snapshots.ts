import { mapLimited } from '../../concurrency/index.js';
import { imagesWithChain } from '../../content/index.js';
import { LandfallError } from '../../errors.js';
import type { CheckedSnapshot, LayerInput, SnapshotCheckRun } from '../../unpack/index.js';
import { describeBlob, type FsckRun, type OpenProblem } from './fsck-run.js';
import { fetchAnew } from './check-blobs.js';

/**
 * Each snapshot of a layer is held against its layer, which is unpacked again for it, parents first; with
 * `quick` only what is known to be damaged is, to repair it. What another program made is looked at from
 * outside only.
 */
export async function snapshotsStep(run: FsckRun): Promise<number> {
  await using check = await run.store.snapshotter.check();
  const step = new SnapshotsStep(run, check);
  for (const generation of check.generations) {
    await mapLimited(generation, run.store.pool.size, (snapshot) => step.snapshot(snapshot));
  }
  return check.generations.flat().length;
}

function isUnreadable(error: unknown): boolean {
  return error instanceof LandfallError && error.code === 'FILESYSTEM' && !error.retryable;
}

type Chain = NonNullable<CheckedSnapshot['chain']>;

class SnapshotsStep {
  readonly #run: FsckRun;
  readonly #check: SnapshotCheckRun;
  /** Damaged, and there is nothing in its place that a child could be completed on. */
  readonly #broken = new Set<number>();

  constructor(run: FsckRun, check: SnapshotCheckRun) {
    this.#run = run;
    this.#check = check;
  }

  async snapshot(snapshot: CheckedSnapshot): Promise<void> {
    const run = this.#run;
    const problem = run.lostSnapshots.get(snapshot.number) ?? (await this.#inspect(snapshot));
    if (problem === undefined ? run.quick : run.quick && !run.repair) return;
    const { chain } = snapshot;
    if (chain === undefined || !snapshot.isOwn) {
      // What is still written to is what it is.
      if (problem === undefined && snapshot.kind !== 'committed') return;
      this.#leave(snapshot, problem, 'another program made it, so its right content is not known');
      return;
    }
    const reason = await this.#hold(snapshot, chain, problem);
    if (reason !== undefined) this.#leave(snapshot, problem, reason);
  }

  async #inspect(snapshot: CheckedSnapshot): Promise<OpenProblem | undefined> {
    const detail = await this.#check.inspect(snapshot);
    if (detail === undefined || !(await this.#check.isKnown(snapshot))) return undefined;
    return this.#report(snapshot, 'snapshot-incomplete', detail);
  }

  /** Unpacks the layer again and compares. Why that could not be done. */
  async #hold(
    snapshot: CheckedSnapshot,
    chain: Chain,
    known: OpenProblem | undefined,
  ): Promise<string | undefined> {
    const run = this.#run;
    if (snapshot.parentId !== undefined && this.#broken.has(snapshot.parentId)) {
      return 'its parent is damaged';
    }
    const refusal = known?.kind === 'snapshot-missing' ? undefined : await this.#check.refusal(snapshot);
    if (refusal !== undefined) return refusal;
    const layer = await this.#findLayer(chain, known !== undefined && run.repair);
    if (typeof layer === 'string') return layer;
    let differences: readonly string[];
    try {
      differences = await this.#check.hold(snapshot, layer, {
        signal: run.signal,
        limits: run.store.limits,
        inflate: run.store.inflate,
      });
    } catch (error) {
      return await this.#failed(snapshot, known, error);
    }
    const problem =
      known ??
      (differences.length === 0 || !(await this.#check.isKnown(snapshot))
        ? undefined
        : await this.#report(snapshot, 'snapshot-differs', differences.join('; ')));
    if (problem !== undefined && run.repair) await this.#repair(snapshot, problem, differences);
    return undefined;
  }

  async #repair(
    snapshot: CheckedSnapshot,
    problem: OpenProblem,
    differences: readonly string[],
  ): Promise<void> {
    await this.#run.attempt(problem, async () => {
      if (differences.length === 0) {
        await this.#check.describe(snapshot);
        return;
      }
      const away = await this.#check.replace(snapshot);
      if (away !== undefined) problem.path = away;
    });
  }

  async #failed(
    snapshot: CheckedSnapshot,
    known: OpenProblem | undefined,
    error: unknown,
  ): Promise<string | undefined> {
    const reason = this.#run.reasonOf(error);
    if (!(await this.#check.isKnown(snapshot))) return undefined;
    // What may be otherwise the next time, such as a thread that died, is no damage.
    if (known === undefined && isUnreadable(error)) {
      await this.#report(snapshot, 'snapshot-unreadable', reason);
    }
    return reason;
  }

  /** It stays as it is. */
  #leave({ number, name }: CheckedSnapshot, problem: OpenProblem | undefined, reason: string): void {
    if (problem === undefined) {
      this.#run.remark({ kind: 'unchecked', subject: name, reason });
      return;
    }
    this.#broken.add(number);
    if (this.#run.repair) this.#run.settle(problem, 'unrepaired', reason);
  }

  /** The blob that a chain's topmost layer came from, or why there is none. */
  async #findLayer({ chainId, diffId }: Chain, fetch: boolean): Promise<LayerInput | string> {
    const run = this.#run;
    const { store } = run;
    let reason = 'no manifest lists its layer';
    for (const { children, chainIds } of await store.manifests.chainHolders(chainId)) {
      // A manifest's config comes before its layers.
      const child = children[chainIds.indexOf(chainId) + 1];
      if (child === undefined) continue;
      const descriptor = await describeBlob(store, child.digest, child.size);
      const isHere = async (): Promise<boolean> =>
        !run.isDamaged(child.digest) && (await store.content.info(child.digest)) !== undefined;
      if (!(await isHere()) && fetch && !run.isDamaged(child.digest)) {
        const images = await imagesWithChain(store.database, chainId);
        const failure = await fetchAnew(run, descriptor, images);
        if (failure !== undefined) reason = `its layer is not here, and ${failure}`;
      }
      if (await isHere()) {
        return {
          descriptor,
          diffId,
          open: async () => ({ path: await store.content.path(child.digest), verified: Promise.resolve() }),
        };
      }
      if (reason.startsWith('no manifest')) reason = 'its layer is not here, or damaged';
    }
    return reason;
  }

  async #report(
    snapshot: CheckedSnapshot,
    kind: 'snapshot-incomplete' | 'snapshot-differs' | 'snapshot-unreadable',
    detail: string,
  ): Promise<OpenProblem> {
    const { name, chain } = snapshot;
    const { database } = this.#run.store;
    return this.#run.report({
      kind,
      subject: name,
      path: this.#check.pathOf(snapshot),
      detail,
      images: chain === undefined ? [] : await imagesWithChain(database, chain.chainId),
    });
  }
}
