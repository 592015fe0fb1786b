import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Abortable, systemCode, throwIfAborted } from '../../errors.js';
import {
  type DamagedDatabase,
  integerOf,
  labelsOf,
  type MetadataDatabase,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import { type Digest, digestOf, isDigest } from '../../spec/index.js';
import { bootId } from '../../system/index.js';

import { readSnapshotFile, SnapshotDirectories } from './snapshot-directories.js';
import { chainOf, columnsOf, recordOf, RESERVED_LABELS, type SnapshotRecord } from './snapshot-records.js';

export interface RebuiltSnapshots {
  readonly count: number;
  /**
   * The numbers of directories that may hold what nothing else has, but cannot be used: nobody knows what
   * they stand on.
   */
  readonly unknown: readonly number[];
  /** Names of those whose content is missing. A pull of their image unpacks them again in their place. */
  readonly lost: readonly string[];
  /** Whether labels, active snapshots and views are known. */
  readonly complete: boolean;
}

/**
 * Records the snapshots that are on disk. What is committed says itself what it is; active snapshots and
 * views are known from the old database only, as far as that can be read. A directory that gets no row is one
 * that the next collection takes, but for those that are `unknown`: these are the caller's to put elsewhere.
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
  return !isEmpty && old?.unpacking !== true;
}

async function readOld(
  old: DamagedDatabase | undefined,
): Promise<{ snapshots: ReadonlyMap<number, OldSnapshot>; last: number; complete: boolean }> {
  if (old === undefined) return { snapshots: new Map(), last: 0, complete: false };
  const chains = await old.read('chains', 'snapshot_id', chainOf);
  const byId = new Map(chains.values.map(({ number, ...chain }) => [number, chain]));
  const images = await readImages(old);
  const rows = await old.read('snapshots', 'id', (row): OldSnapshot => {
    // Older programs had no marks, and milliseconds only.
    const known = {
      notDurable: null,
      created_us: 0,
      updated_us: 0,
      ...fromLabels(row),
      ...row,
      parent: null,
    };
    const ofRow = JSON.stringify(images.byId.get(integerOf(row, 'id')) ?? []);
    const record = recordOf({ images: ofRow, ...known, labels: givenLabels(row) });
    return { ...record, snapshotter: textOf(row, 'snapshotter'), chain: byId.get(record.number) };
  });
  return {
    snapshots: new Map(rows.values.map((snapshot) => [snapshot.number, snapshot])),
    last: await old.lastId('snapshots'),
    complete: rows.complete && chains.complete && images.complete,
  };
}

/** Names of images, each with the digests that lead to it, by the number of the snapshot. */
async function readImages(
  old: DamagedDatabase,
): Promise<{ byId: ReadonlyMap<number, [name: string, path: string][]>; complete: boolean }> {
  const byId = new Map<number, [name: string, path: string][]>();
  if (!(await old.has('snapshot_images'))) return { byId, complete: true };
  const { values, complete } = await old.read('snapshot_images', 'id', (row) => ({
    number: integerOf(row, 'snapshot_id'),
    image: [textOf(row, 'name'), textOf(row, 'path')] as [name: string, path: string],
  }));
  for (const { number, image } of values) byId.set(number, [...(byId.get(number) ?? []), image]);
  return { byId, complete };
}

const IMAGE_LABEL = `${RESERVED_LABELS}image/`;

/** What programs before schema 6 kept in the text of labels. */
function fromLabels(row: Row): Row {
  if (row['retained_by'] !== undefined) return {};
  const labels = labelsOf(row, 'labels');
  const images = Object.entries(labels)
    .filter(([label]) => label.startsWith(IMAGE_LABEL))
    .map(([label, path]) => [label.slice(IMAGE_LABEL.length), path]);
  return {
    unpacking: Number(labels[`${RESERVED_LABELS}unpacking`] === 'true'),
    retained_by: labels[`${RESERVED_LABELS}held-by`] ?? null,
    remapped: Number(`${RESERVED_LABELS}remapped` in labels),
    images: JSON.stringify(images),
  };
}

function givenLabels(row: Row): string {
  const labels = Object.entries(labelsOf(row, 'labels'));
  return JSON.stringify(Object.fromEntries(labels.filter(([label]) => !label.startsWith(RESERVED_LABELS))));
}

async function insert(tx: Statements, snapshot: ClaimedSnapshot): Promise<void> {
  const { number, snapshotter, name, kind, parentId, createdAt, updatedAt, usage, chain } = snapshot;
  const { labels, retainedBy, remapped, images = [] } = snapshot;
  // What is whole in this boot is synced with all else before the new database is in place.
  const notDurable = snapshot.notDurable?.startsWith(bootId()) === true ? undefined : snapshot.notDurable;
  await tx.run(
    `INSERT INTO snapshots
       (id, snapshotter, name, kind, parent_id, labels, retained_by, remapped,
        created_at, created_us, updated_at, updated_us, bytes, inodes, unsynced)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      number,
      snapshotter,
      name,
      kind,
      parentId ?? null,
      JSON.stringify(labels),
      retainedBy ?? null,
      Number(remapped),
      ...columnsOf(createdAt),
      ...columnsOf(updatedAt),
      usage?.size ?? 0,
      usage?.inodes ?? 0,
      notDurable ?? null,
    ],
  );
  for (const image of images) {
    await tx.run('INSERT INTO snapshot_images (snapshot_id, name, path) VALUES (?, ?, ?)', [
      number,
      image.name,
      image.path.join(' '),
    ]);
  }
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

/** Which chain of layers a snapshot holds. */
interface SnapshotChain {
  readonly chainId: Digest;
  readonly diffId: Digest;
}

/** A row of a database that was lost or damaged. */
interface OldSnapshot extends SnapshotRecord {
  readonly snapshotter: string;
  readonly chain: SnapshotChain | undefined;
}

/** What `snapshot.json` says. */
export interface DescribedSnapshot {
  readonly name: string;
  readonly parent: string | undefined;
  readonly chainId: Digest | undefined;
  readonly diffId: Digest | undefined;
  readonly snapshotter: string;
  /** The boot in which it was written, where it was not synced before it was committed. */
  readonly notDurable: string | undefined;
}

/** A directory of a snapshot, and what is known of it. */
interface FoundSnapshot {
  readonly number: number;
  /** Where it has one: it was committed, or was about to be. */
  readonly file: DescribedSnapshot | undefined;
  readonly old: OldSnapshot | undefined;
  /** Nobody has written anything into it. */
  readonly isEmpty: boolean;
  /** Microseconds since 1970. */
  readonly updatedAt: number;
}

/** Where overlayfs keeps what it is about to do: no content. */
const WORK = 'work';

/** The directories below `snapshots/`, in order of their numbers. */
async function findSnapshots(
  directories: SnapshotDirectories,
  old: ReadonlyMap<number, OldSnapshot>,
  o: Abortable,
): Promise<readonly FoundSnapshot[]> {
  const { numbers } = await directories.list();
  const found: FoundSnapshot[] = [];
  for (const number of numbers.sort((a, b) => a - b)) {
    throwIfAborted(o.signal);
    const path = directories.path(number);
    const entries = await readdir(path, { withFileTypes: true }).catch(unlessDirectory);
    if (entries === undefined) continue;
    found.push({
      number,
      file: await describedBy(path, entries),
      old: old.get(number),
      isEmpty: await isEmpty(path, entries),
      updatedAt: Math.floor((await stat(path)).mtimeMs * 1000),
    });
  }
  return found;
}

function unlessDirectory(error: unknown): undefined {
  if (systemCode(error) === 'ENOTDIR') return undefined;
  throw error;
}

async function describedBy(path: string, entries: readonly Dirent[]): Promise<DescribedSnapshot | undefined> {
  const { name, parent, chainId, diffId, snapshotter, unsynced } = (await readSnapshotFile(path)) ?? {};
  if (typeof name !== 'string' || name === '') return undefined;
  if (typeof parent !== 'string' && parent !== null) return undefined;
  const isChain = isDigest(chainId) && isDigest(diffId);
  if (!isChain && (chainId !== undefined || diffId !== undefined)) return undefined;
  return {
    name,
    parent: parent ?? undefined,
    chainId: isChain ? chainId : undefined,
    diffId: isChain ? diffId : undefined,
    notDurable: typeof unsynced === 'string' ? unsynced : undefined,
    // Older programs did not write it. Only overlayfs needs a place to work in.
    snapshotter:
      typeof snapshotter === 'string'
        ? snapshotter
        : entries.some((entry) => entry.name === WORK)
          ? 'overlay'
          : 'native',
  };
}

async function isEmpty(path: string, entries: readonly Dirent[]): Promise<boolean> {
  for (const entry of entries) {
    if (!entry.isDirectory() || entry.name === WORK) continue;
    if ((await readdir(join(path, entry.name))).length > 0) return false;
  }
  return true;
}

/** What a directory says that it is. What the old database said of it is newer than what it says itself. */
interface ClaimedSnapshot extends Omit<OldSnapshot, 'unpacking'> {
  /** The name or the chain of its parent, or its number, or both. */
  readonly parent: string | undefined;
  /** Whether the old database knew it. */
  readonly recorded: boolean;
}

export interface SettledSnapshots {
  /** Each behind its parent, all names and chains different, and every parent a number of a committed one. */
  readonly snapshots: readonly ClaimedSnapshot[];
  /** The numbers of those whose parent is lost, or whose chain another one stands for or it cannot be. */
  readonly refused: readonly number[];
}

/** What a directory is; undefined for one that was being filled, and for one of which nothing is known. */
function claimOf({ number, file, old, updatedAt }: FoundSnapshot): ClaimedSnapshot | undefined {
  if (old?.unpacking === true) return undefined;
  // It says what it is before its commit is recorded, and until then it is not committed.
  if (old !== undefined && (old.kind !== 'committed' || file === undefined))
    return { ...old, parent: undefined, recorded: true };
  if (file === undefined) return undefined;
  const { chainId, diffId, notDurable, ...described } = file;
  return {
    number,
    parentId: undefined,
    labels: {},
    remapped: false,
    createdAt: updatedAt,
    updatedAt,
    usage: undefined,
    notDurable,
    ...old,
    ...described,
    kind: 'committed',
    chain: chainId === undefined || diffId === undefined ? undefined : { chainId, diffId },
    recorded: old !== undefined,
  };
}

/** Finds the parents, and of those that claim the same the one that is it. */
function settleClaims(claims: readonly ClaimedSnapshot[]): SettledSnapshots {
  return new Settlement(claims).settle();
}

class Settlement {
  readonly #claims = new Map<number, ClaimedSnapshot>();
  readonly #byChain = new Map<string, number>();
  readonly #byName = new Map<string, number>();
  /** Undefined while a claim is being settled, or once it was refused. */
  readonly #settled = new Map<number, ClaimedSnapshot | undefined>();
  readonly #order: ClaimedSnapshot[] = [];
  readonly #refused: number[] = [];

  constructor(claims: readonly ClaimedSnapshot[]) {
    // What is verified takes its name first, since its children look for it by that, and what the old
    // database knew before.
    const ranked = [...claims].sort((a, b) => rank(a) - rank(b) || a.number - b.number);
    for (const claim of ranked) this.#enter(claim);
  }

  settle(): SettledSnapshots {
    for (const number of this.#claims.keys()) this.#settle(number);
    return { snapshots: this.#order, refused: this.#refused };
  }

  #enter(claim: ClaimedSnapshot): void {
    const { number, snapshotter, chain } = claim;
    if (chain !== undefined) {
      const key = `${snapshotter} ${chain.chainId}`;
      // Two processes unpacked one layer, and the slower one had not taken its own away yet.
      if (this.#byChain.has(key)) {
        this.#refused.push(number);
        return;
      }
      this.#byChain.set(key, number);
    }
    let { name } = claim;
    while (this.#byName.has(`${snapshotter} ${name}`)) name = `${name}+${number}`;
    this.#byName.set(`${snapshotter} ${name}`, number);
    this.#claims.set(number, { ...claim, name });
  }

  #settle(number: number): ClaimedSnapshot | undefined {
    const claim = this.#claims.get(number);
    if (claim === undefined || this.#settled.has(number)) return this.#settled.get(number);
    this.#settled.set(number, undefined);
    const parentId = this.#parentOf(claim);
    const parent = parentId === undefined ? undefined : this.#settle(parentId);
    const stands = parent?.kind === 'committed' || !hasParent(claim);
    if (!stands || !fitsChain(claim, parent?.chain?.chainId)) {
      this.#refused.push(number);
      return undefined;
    }
    const settled = { ...claim, parentId };
    this.#settled.set(number, settled);
    this.#order.push(settled);
    return settled;
  }

  #parentOf({ snapshotter, parent, parentId, chain }: ClaimedSnapshot): number | undefined {
    if (parent === undefined) return parentId;
    const key = `${snapshotter} ${parent}`;
    const [chained, named] = [this.#byChain.get(key), this.#byName.get(key)];
    return (chain === undefined ? (named ?? chained) : (chained ?? named)) ?? parentId;
  }
}

function rank({ chain, recorded }: ClaimedSnapshot): number {
  return (chain === undefined ? 2 : 0) + (recorded ? 0 : 1);
}

function hasParent({ parent, parentId }: ClaimedSnapshot): boolean {
  return parent !== undefined || parentId !== undefined;
}

/** A chain's ID follows from its parent's and its own layer (image-spec: config.md, Layer ChainID). */
function fitsChain({ chain }: ClaimedSnapshot, parentChainId: Digest | undefined): boolean {
  if (chain === undefined) return true;
  const { chainId, diffId } = chain;
  return (
    chainId === (parentChainId === undefined ? diffId : digestOf(Buffer.from(`${parentChainId} ${diffId}`)))
  );
}
