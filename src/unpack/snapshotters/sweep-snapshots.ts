import { closeSync } from 'node:fs';
import {
  integerOf,
  labelsOf,
  optionalIntegerOf,
  textOf,
  type Row,
  type Statements,
} from '../../metadata/index.js';
import type { SweepOptions } from '../layer-snapshotter.js';
import type { SnapshotDirectories } from './snapshot-directories.js';
import { isUnpacking } from './snapshot-records.js';

interface Node {
  readonly number: number;
  readonly name: string;
  readonly parentNumber: number | undefined;
  readonly private: boolean;
  /** An active snapshot, a view, or what the caller retains. */
  readonly wanted: boolean;
}

/**
 * Deletes the rows that nothing needs, of all snapshotters below one root, and puts their directories out of sight.
 * Where the transaction fails after this, a directory has lost its name, and its row is one that a next sweep deletes.
 */
export async function sweepSnapshots(
  transaction: Statements,
  directories: SnapshotDirectories,
  o: SweepOptions,
): Promise<readonly string[]> {
  const nodes = await readNodes(transaction, o.retained);
  const swept: string[] = [];
  const kept = new Set<number>();
  for (const node of childrenFirst(nodes)) {
    if (kept.has(node.number) || !mayGo(node, directories)) {
      if (node.parentNumber !== undefined) kept.add(node.parentNumber);
      continue;
    }
    swept.push(node.private ? `snapshots/${node.number}` : node.name);
    if (o.dryRun === true) continue;
    await transaction.run('DELETE FROM snapshots WHERE id = ?', [node.number]);
    directories.discard(node.number);
  }
  return swept;
}

/** By depth, since the numbers say nothing of it: layers begin in any order. */
function childrenFirst(nodes: ReadonlyMap<number, Node>): Node[] {
  const depths = new Map<Node, number>();
  for (const node of nodes.values()) {
    const line: Node[] = [];
    let at: Node | undefined = node;
    while (at !== undefined && !depths.has(at)) {
      line.push(at);
      at = at.parentNumber === undefined ? undefined : nodes.get(at.parentNumber);
    }
    let depth = at === undefined ? 0 : (depths.get(at) ?? 0);
    for (const above of line.reverse()) depths.set(above, (depth += 1));
  }
  return [...depths].sort(([, a], [, b]) => b - a).map(([node]) => node);
}

/** Whether a snapshot can go, but for its children. */
function mayGo(node: Node, directories: SnapshotDirectories): boolean {
  if (!directories.hasDirectory(node.number)) return true;
  if (directories.mountBelow(node.number) !== undefined) return false;
  if (!node.private) return !node.wanted;
  const lock = directories.tryLock(node.number);
  if (lock === undefined) return false;
  // Its owner is dead, and nobody else ever takes up what it left.
  closeSync(lock);
  return true;
}

/** All rows by number, oldest first. */
async function readNodes(tx: Statements, retained: ReadonlySet<string>): Promise<Map<number, Node>> {
  const chains = new Map<number, string[]>();
  for (const row of await tx.all('SELECT snapshot_id, chain_id FROM chains')) {
    const number = integerOf(row, 'snapshot_id');
    chains.set(number, [...(chains.get(number) ?? []), textOf(row, 'chain_id')]);
  }
  const rows = await tx.all('SELECT id, name, kind, parent_id, labels FROM snapshots ORDER BY id');
  const isRetained = (number: number, name: string): boolean =>
    [name, ...(chains.get(number) ?? [])].some((known) => retained.has(known));
  return new Map(rows.map((row) => [integerOf(row, 'id'), nodeOf(row, isRetained)]));
}

function nodeOf(row: Row, isRetained: (number: number, name: string) => boolean): Node {
  const number = integerOf(row, 'id');
  const name = textOf(row, 'name');
  return {
    number,
    name,
    parentNumber: optionalIntegerOf(row, 'parent_id'),
    private: isUnpacking({ labels: labelsOf(row, 'labels') }),
    wanted: textOf(row, 'kind') !== 'committed' || isRetained(number, name),
  };
}
