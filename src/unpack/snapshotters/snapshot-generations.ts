import {
  integerOf,
  labelsOf,
  type MetadataDatabase,
  optionalIntegerOf,
  type Row,
  textOf,
} from '../../metadata/index.js';
import { parseDigest } from '../../spec/index.js';
import type { CheckedSnapshot } from '../layer-snapshotter.js';
import { isUnpacking } from './snapshot-records.js';

/** All snapshots below one root but those that are being made, in groups: parents stand in an earlier one. */
export async function readGenerations(
  database: MetadataDatabase,
  snapshotter: string,
): Promise<readonly (readonly CheckedSnapshot[])[]> {
  const chains = new Map<number, { chainId: string; diffId: string }>();
  for (const row of await database.all('SELECT snapshot_id, chain_id, diff_id FROM chains')) {
    chains.set(integerOf(row, 'snapshot_id'), {
      chainId: textOf(row, 'chain_id'),
      diffId: textOf(row, 'diff_id'),
    });
  }
  const rows = await database.all('SELECT id, snapshotter, name, kind, parent_id, labels FROM snapshots');
  const byNumber = new Map(rows.map((row) => [integerOf(row, 'id'), row]));
  const depths = new Map<number, number>();
  const generations: CheckedSnapshot[][] = [];
  for (const [number, row] of byNumber) {
    if (isUnpacking({ labels: labelsOf(row, 'labels') })) continue;
    const depth = depthOf(number, byNumber, depths);
    (generations[depth] ??= []).push(snapshotOf(row));
  }
  // A snapshot that is being made may be a generation's only one, which leaves a hole.
  return Array.from({ length: generations.length }, (_, depth) => generations[depth] ?? []);

  function snapshotOf(row: Row): CheckedSnapshot {
    const number = integerOf(row, 'id');
    const kind = textOf(row, 'kind');
    const parent = optionalIntegerOf(row, 'parent_id');
    const parentRow = parent === undefined ? undefined : byNumber.get(parent);
    const parentChain = parent === undefined ? undefined : chains.get(parent);
    const chain = chains.get(number);
    return {
      number,
      name: textOf(row, 'name'),
      kind: kind === 'active' || kind === 'view' ? kind : 'committed',
      ...(parent === undefined ? {} : { parentNumber: parent }),
      parents: [
        ...(parentRow === undefined ? [] : [textOf(parentRow, 'name')]),
        ...(parentChain === undefined ? [] : [parentChain.chainId]),
      ],
      ...(chain === undefined
        ? {}
        : { chain: { chainId: parseDigest(chain.chainId), diffId: parseDigest(chain.diffId) } }),
      isOwn: textOf(row, 'snapshotter') === snapshotter,
    };
  }
}

function depthOf(number: number, rows: ReadonlyMap<number, Row>, depths: Map<number, number>): number {
  const line: number[] = [];
  let at: number | undefined = number;
  while (at !== undefined && !depths.has(at)) {
    line.push(at);
    const row = rows.get(at);
    at = row === undefined ? undefined : optionalIntegerOf(row, 'parent_id');
  }
  let depth = at === undefined ? -1 : (depths.get(at) ?? -1);
  for (const below of line.reverse()) depths.set(below, (depth += 1));
  return depth;
}
