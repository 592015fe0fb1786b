import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { type Abortable, throwIfAborted } from '../../errors.js';
import {
  integerOf,
  type MetadataDatabase,
  optionalIntegerOf,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import type {
  OrphanOptions,
  RemovedOrphans,
  SweepOptions,
  SweptDirectory,
  SweptSnapshots,
} from '../layer-snapshotter.js';
import { measureUsage } from './measure-usage.js';
import type { SnapshotDirectories } from './snapshot-directories.js';

interface Node {
  readonly number: number;
  readonly name: string;
  readonly parentId: number | undefined;
  readonly private: boolean;
  /** An active snapshot, a view, or what the caller retains or another program holds. */
  readonly wanted: boolean;
  /** Where it was measured. */
  readonly bytes: number | undefined;
}

/**
 * Deletes the rows that nothing needs, of all snapshotters below one root. Their directories stay as they are
 * until the transaction is committed: a process that dies before has removed nothing.
 */
export async function sweepSnapshots(
  transaction: Statements,
  directories: SnapshotDirectories,
  o: SweepOptions,
): Promise<SweptSnapshots> {
  const nodes = await readNodes(transaction, o);
  const names: string[] = [];
  const swept: SweptDirectory[] = [];
  const kept = await parentsOfOthers(transaction, nodes, o);
  for (const node of childrenFirst(nodes)) {
    if (kept.has(node.number) || !mayGo(node, directories)) {
      if (node.parentId !== undefined) kept.add(node.parentId);
      continue;
    }
    names.push(node.private ? `snapshots/${node.number}` : node.name);
    if (directories.hasDirectory(node.number)) {
      swept.push({ path: directories.path(node.number), bytes: node.bytes });
    }
    if (o.dryRun !== true) await transaction.run('DELETE FROM snapshots WHERE id = ?', [node.number]);
  }
  return { names, directories: swept };
}

/** By depth, since the numbers say nothing of it: layers begin in any order. */
function childrenFirst(nodes: ReadonlyMap<number, Node>): Node[] {
  const depths = new Map<Node, number>();
  for (const node of nodes.values()) {
    const line: Node[] = [];
    let at: Node | undefined = node;
    while (at !== undefined && !depths.has(at)) {
      line.push(at);
      at = at.parentId === undefined ? undefined : nodes.get(at.parentId);
    }
    let depth = at === undefined ? 0 : (depths.get(at) ?? 0);
    for (const above of line.reverse()) depths.set(above, (depth += 1));
  }
  return [...depths].sort(([, a], [, b]) => b - a).map(([node]) => node);
}

/**
 * Whether a snapshot can go, but for its children. One that is wanted stays though its directory is lost:
 * that is damage.
 */
function mayGo(node: Node, directories: SnapshotDirectories): boolean {
  if (node.wanted && !node.private) return false;
  if (!directories.hasDirectory(node.number)) return true;
  if (directories.mountBelow(node.number) !== undefined) return false;
  if (!node.private) return true;
  const lock = directories.tryLock(node.number);
  if (lock === undefined) return false;
  // Its owner is dead, and nobody else ever takes up what it left.
  closeSync(lock);
  return true;
}

/** Where only some are looked at: those of them on which others stand. */
async function parentsOfOthers(
  tx: Statements,
  nodes: ReadonlyMap<number, Node>,
  { among }: SweepOptions,
): Promise<Set<number>> {
  if (among === undefined) return new Set();
  const numbers = JSON.stringify([...nodes.keys()]);
  const rows = await tx.all(
    `SELECT DISTINCT parent_id FROM snapshots WHERE parent_id IN (SELECT value FROM json_each(?1))
     AND id NOT IN (SELECT value FROM json_each(?1))`,
    [numbers],
  );
  return new Set(rows.map((row) => integerOf(row, 'parent_id')));
}

const SELECT = 'SELECT id, name, kind, parent_id, unpacking, retained_by, bytes, inodes FROM snapshots';

/** All rows by number, oldest first; or those of some chains. */
async function readNodes(tx: Statements, o: SweepOptions): Promise<Map<number, Node>> {
  const chains = new Map<number, string[]>();
  for (const row of await chainRows(tx, o.among)) {
    const number = integerOf(row, 'snapshot_id');
    const known = chains.get(number);
    if (known === undefined) chains.set(number, [textOf(row, 'chain_id')]);
    else known.push(textOf(row, 'chain_id'));
  }
  const rows =
    o.among === undefined
      ? await tx.all(`${SELECT} ORDER BY id`)
      : await tx.all(`${SELECT} WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id`, [
          JSON.stringify([...chains.keys()]),
        ]);
  const isRetained = (number: number, name: string): boolean =>
    [name, ...(chains.get(number) ?? [])].some((known) => o.retained.has(known));
  return new Map(rows.map((row) => [integerOf(row, 'id'), nodeOf(row, isRetained)]));
}

/** A snapshot that is looked at is so with all chains that it stands for. */
async function chainRows(tx: Statements, among: readonly Digest[] | undefined): Promise<readonly Row[]> {
  if (among === undefined) return await tx.all('SELECT snapshot_id, chain_id FROM chains');
  return await tx.all(
    `SELECT snapshot_id, chain_id FROM chains WHERE snapshot_id IN
     (SELECT snapshot_id FROM json_each(?) AS wanted JOIN chains ON chains.chain_id = wanted.value)`,
    [JSON.stringify(among)],
  );
}

function nodeOf(row: Row, isRetained: (number: number, name: string) => boolean): Node {
  const number = integerOf(row, 'id');
  const name = textOf(row, 'name');
  const isHeld = row['retained_by'] !== null;
  return {
    number,
    name,
    parentId: optionalIntegerOf(row, 'parent_id'),
    private: integerOf(row, 'unpacking') === 1,
    wanted: textOf(row, 'kind') !== 'committed' || isHeld || isRetained(number, name),
    bytes: integerOf(row, 'inodes') === 0 ? undefined : integerOf(row, 'bytes'),
  };
}

interface Place {
  readonly database: MetadataDatabase;
  readonly directories: SnapshotDirectories;
}

/**
 * Removes the directories that no row names, and what earlier removals left. One inside which something is
 * mounted stays.
 *
 * They are listed before the rows are read: each is made within the transaction that inserts its row, so one
 * that was listed and has no row later never gets one.
 */
export async function removeOrphans(place: Place, o: OrphanOptions): Promise<RemovedOrphans> {
  throwIfAborted(o.signal);
  const { directories } = place;
  const { numbers, discarded } = await directories.list();
  const orphans: number[] = [];
  const swept = new Map(o.swept?.map((directory) => [directory.path, directory]));
  const away: SweptDirectory[] = discarded.map((path) => ({ path }));
  await place.database.transaction(async (tx) => {
    const rows = await tx.all('SELECT id FROM snapshots');
    const known = new Set(rows.map((row) => integerOf(row, 'id')));
    for (const number of numbers) {
      if (known.has(number) || directories.mountBelow(number) !== undefined) continue;
      const path = directories.path(number);
      if (!swept.has(path)) orphans.push(number);
      const moved = o.dryRun === true ? path : directories.discard(number);
      if (moved !== undefined) away.push({ ...swept.get(path), path: moved });
    }
  });
  // Their rows are still there after a dry sweep.
  if (o.dryRun === true) away.push(...swept.values());
  const freed = await removeTrash(directories, away, o);
  return { removed: orphans.map((number) => `snapshots/${number}`), freed };
}

/** Directories are removed so many at once. */
const AT_ONCE = 8;

/** Removes directories that were put out of sight, and says how many bytes they took. */
export async function removeTrash(
  directories: SnapshotDirectories,
  swept: readonly SweptDirectory[],
  o: Abortable & { readonly dryRun?: boolean } = {},
): Promise<number> {
  let freed = 0;
  for (let at = 0; at < swept.length; at += AT_ONCE) {
    throwIfAborted(o.signal);
    const sizes = swept.slice(at, at + AT_ONCE).map(async ({ path, bytes }) => {
      const size = bytes ?? (await contentSize(path));
      if (o.dryRun !== true) await directories.sweep(path);
      return size;
    });
    for (const size of await Promise.all(sizes)) freed += size;
  }
  return freed;
}

/** Counted as the usage of a snapshot is: by its content, without the few blocks of what lies beside it. */
async function contentSize(path: string): Promise<number> {
  const [content, unmerged] = await Promise.all(CONTENTS.map((name) => measureUsage(join(path, name))));
  return (content?.size ?? 0) + (unmerged?.size ?? 0);
}

/** A layer that a native snapshot was to be merged from lies beside the snapshot's own tree. */
const CONTENTS: readonly string[] = ['fs', 'layer'];
