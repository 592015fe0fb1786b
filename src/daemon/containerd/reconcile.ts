import { type Abortable, isLandfallError, type LandfallError } from '../../errors.js';
import type { ContainerdConnection } from './connection.js';
import { remindCri } from './cri-images.js';
import { deleteRecords, type ImageRecords, isCurrent, isOwn, listRecords } from './image-records.js';
import type { Registrar } from './registrar.js';
import type { Wanted, WantedRecord, WantedTarget } from './wanted.js';

/** A time in which containerd was there without interruption, so that what was found in it need not be looked for again. */
export interface Session {
  /** Targets, with their versions, of which all is there. */
  readonly whole: Set<string>;
  /** Whether its CRI has been reminded of what it should know. */
  reminded: boolean;
  /** The fingerprint of what it knows all of. */
  applied: string | undefined;
  /** How often somebody has taken a name away. */
  losses: number;
}

export interface ReconcileOptions extends Abortable {
  readonly connection: ContainerdConnection;
  readonly registrar: Registrar;
  readonly session: Session;
  /** Names of the store that somebody waits for. They go first. */
  readonly awaited: ReadonlySet<string>;
  /** Whether somebody waits for another one by now: then the rest is left to the next time. */
  readonly isHurried: () => boolean;
  readonly onRegistered?: ((names: readonly string[]) => void) | undefined;
  readonly onForgotten?: ((names: readonly string[]) => void) | undefined;
}

/** What came of it. */
export interface Reconciled {
  readonly wanted: Wanted;
  /** The targets that containerd could not be told of, with the reason. */
  readonly failed: ReadonlyMap<WantedTarget, LandfallError>;
  /** Whether nothing was left to the next time. */
  readonly isComplete: boolean;
}

/**
 * Makes what containerd has the same as what the store has: registers what it lacks, and takes away the names that landfall gave
 * and has no more. What others have there stays.
 *
 * @throws LandfallError those of a call, where containerd is away; what is wrong with one image is returned
 */
export async function reconcile(wanted: Wanted, o: ReconcileOptions): Promise<Reconciled> {
  const { session, connection } = o;
  const failed = new Map<WantedTarget, LandfallError>();
  if (session.applied === wanted.fingerprint) return { wanted, failed, isComplete: true };
  session.applied = undefined;
  const { losses } = session;
  const known = await listRecords(connection, o);
  const isComplete = await registerAll(wanted, known, failed, o);
  await forgetOthers(wanted, known, o);
  if (!isComplete || failed.size > 0) return { wanted, failed, isComplete };
  if (!session.reminded) {
    await remindCri(connection, wanted.records.values(), o);
    session.reminded = true;
  }
  // What was lost meanwhile may have been looked at before.
  if (session.losses === losses) session.applied = wanted.fingerprint;
  return { wanted, failed, isComplete };
}

/** Whether it came to the end. */
async function registerAll(
  wanted: Wanted,
  known: ImageRecords,
  failed: Map<WantedTarget, LandfallError>,
  o: ReconcileOptions,
): Promise<boolean> {
  const first = new Set([...o.awaited].map((name) => wanted.byName.get(name)?.target));
  const targets = [...wanted.versions.keys()].toSorted((a, b) => Number(first.has(b)) - Number(first.has(a)));
  for (const target of targets) {
    const records = [...wanted.records.values()].filter((record) => record.target === target);
    if (!first.has(target) && o.isHurried()) return false;
    try {
      await registerOne(wanted, target, records, known, o);
    } catch (error) {
      if (!isLandfallError(error) || isAway(error)) throw error;
      failed.set(target, error);
    }
  }
  return true;
}

async function registerOne(
  wanted: Wanted,
  target: WantedTarget,
  records: readonly WantedRecord[],
  known: ImageRecords,
  { session, registrar, onRegistered, signal }: ReconcileOptions,
): Promise<void> {
  const outdated = records.filter((record) => !isCurrent(known.get(record.name), record));
  const version = `${target.target.digest} ${wanted.versions.get(target) ?? ''}`;
  if (outdated.length === 0) {
    if (session.whole.has(version)) return;
    if (await registrar.isWhole(target, { signal })) {
      session.whole.add(version);
      return;
    }
  }
  await registrar.register(target, outdated, known, { signal });
  session.whole.add(version);
  onRegistered?.((outdated.length > 0 ? outdated : records).map(({ name }) => name));
}

async function forgetOthers(
  { records }: Wanted,
  known: ImageRecords,
  { connection, onForgotten, signal }: ReconcileOptions,
): Promise<void> {
  const gone = [...known.values()].filter((record) => isOwn(record) && !records.has(record.name));
  if (gone.length === 0) return;
  const names = gone.map(({ name }) => name);
  await deleteRecords(connection, names, { signal });
  onForgotten?.(names);
}

function isAway({ code }: LandfallError): boolean {
  return code === 'UNAVAILABLE' || code === 'ABORTED';
}
