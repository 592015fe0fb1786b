import { type Abortable, throwIfAborted } from '../../errors.js';
import {
  type DamagedDatabase,
  integerOf,
  type MetadataDatabase,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import { type Digest, parseDigest } from '../../spec/index.js';
import { bootId } from '../../system/index.js';
import { findSnapshots, type FoundSnapshot, type OldSnapshot } from './find-snapshots.js';
import { type ClaimedSnapshot, claimOf, settleClaims } from './settle-claims.js';
import { SnapshotDirectories } from './snapshot-directories.js';
import { isUnpacking, columnsOf, recordOf } from './snapshot-records.js';

export interface RebuiltSnapshots {
  readonly count: number;
  /** The numbers of directories that may hold what nothing else has, but cannot be used: nobody knows what they stand on. */
  readonly unknown: readonly number[];
  /** Names of those whose content is missing. A pull of their image unpacks them again in their place. */
  readonly lost: readonly string[];
  /** Whether labels, active snapshots and views are known. */
  readonly complete: boolean;
}

/**
 * Records the snapshots that are on disk. What is committed says itself what it is; active snapshots and views are known
 * from the old database only, as far as that can be read. A directory that gets no row is one that the next collection
 * takes, but for those that are `unknown`: these are the caller's to put elsewhere.
 */
export async function rebuildSnapshots(
  root: string,
  database: MetadataDatabase,
  old: DamagedDatabase | undefined,
  o: Abortable,
): Promise<RebuiltSnapshots> {
  const directories = new SnapshotDirectories(root);
  const known = await readOld(old);
  const found = await findSnapshots(directories, known.snapshots, o);
  const unknown: number[] = [];
  const claims: ClaimedSnapshot[] = [];
  for (const snapshot of found) {
    const claim = claimOf(snapshot);
    if (claim !== undefined) claims.push(claim);
    else if (mayHoldData(snapshot)) unknown.push(snapshot.number);
  }
  const settled = settleClaims(claims);
  const refused = new Set(settled.refused);
  // A layer can be unpacked again; what somebody else committed or is writing cannot.
  unknown.push(
    ...found
      .filter(({ number, isEmpty, file }) => refused.has(number) && !isEmpty && file?.chainId === undefined)
      .map(({ number }) => number),
  );
  throwIfAborted(o.signal);
  const last = Math.max(known.last, ...found.map(({ number }) => number));
  await database.transaction(async (tx) => {
    for (const snapshot of settled.snapshots) await insert(tx, snapshot);
    await continueAfter(tx, last);
  });
  return {
    count: settled.snapshots.length,
    unknown,
    lost: settled.snapshots.filter(({ number }) => !directories.exists(number)).map(({ name }) => name),
    complete: known.complete,
  };
}

function mayHoldData({ isEmpty, old }: FoundSnapshot): boolean {
  return !isEmpty && !(old !== undefined && isUnpacking(old));
}

async function readOld(
  old: DamagedDatabase | undefined,
): Promise<{ snapshots: ReadonlyMap<number, OldSnapshot>; last: number; complete: boolean }> {
  if (old === undefined) return { snapshots: new Map(), last: 0, complete: false };
  const chains = await old.read('chains', 'snapshot_id', chainOf);
  const byNumber = new Map(chains.values.map(({ number, ...chain }) => [number, chain]));
  const rows = await old.read('snapshots', 'id', (row): OldSnapshot => {
    // Older programs had no marks, and milliseconds only.
    const record = recordOf({ unsynced: null, created_us: 0, updated_us: 0, ...row, parent: null });
    const chain = byNumber.get(record.number);
    return { ...record, snapshotter: textOf(row, 'snapshotter'), ...(chain === undefined ? {} : { chain }) };
  });
  return {
    snapshots: new Map(rows.values.map((snapshot) => [snapshot.number, snapshot])),
    last: await old.lastNumber('snapshots'),
    complete: rows.complete && chains.complete,
  };
}

function chainOf(row: Row): { number: number; chainId: Digest; diffId: Digest } {
  return {
    number: integerOf(row, 'snapshot_id'),
    chainId: parseDigest(textOf(row, 'chain_id')),
    diffId: parseDigest(textOf(row, 'diff_id')),
  };
}

async function insert(tx: Statements, snapshot: ClaimedSnapshot): Promise<void> {
  const { number, snapshotter, name, kind, parentNumber, labels, createdAt, updatedAt, usage, chain } =
    snapshot;
  // What is whole in this boot is synced with all else before the new database is in place.
  const unsynced = snapshot.unsynced?.startsWith(bootId()) === true ? undefined : snapshot.unsynced;
  await tx.run(
    `INSERT INTO snapshots
       (id, snapshotter, name, kind, parent_id, labels, created_at, created_us, updated_at, updated_us,
        bytes, inodes, unsynced)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      number,
      snapshotter,
      name,
      kind,
      parentNumber ?? null,
      JSON.stringify(labels),
      ...columnsOf(createdAt),
      ...columnsOf(updatedAt),
      usage?.size ?? 0,
      usage?.inodes ?? 0,
      unsynced ?? null,
    ],
  );
  if (chain === undefined) return;
  await tx.run('INSERT INTO chains (snapshotter, chain_id, diff_id, snapshot_id) VALUES (?, ?, ?, ?)', [
    snapshotter,
    chain.chainId,
    chain.diffId,
    number,
  ]);
}

/** A number that a directory had or has is never given again. */
async function continueAfter(tx: Statements, last: number): Promise<void> {
  await tx.run("DELETE FROM sqlite_sequence WHERE name = 'snapshots'");
  await tx.run("INSERT INTO sqlite_sequence (name, seq) VALUES ('snapshots', ?)", [last]);
}

/** Puts directories where no collection comes to, and gives the path of each; {@link undo} puts them back. */
export class SetAside {
  readonly #directories: SnapshotDirectories;
  readonly #moved = new Map<number, string>();

  constructor(root: string) {
    this.#directories = new SnapshotDirectories(root);
  }

  move(numbers: readonly number[]): readonly string[] {
    for (const number of numbers) {
      const path = this.#directories.quarantine(number, number);
      if (path !== undefined) this.#moved.set(number, path);
    }
    this.#directories.sync();
    return [...this.#moved.values()];
  }

  undo(): void {
    for (const [number, path] of this.#moved) this.#directories.restore(number, path);
  }
}
