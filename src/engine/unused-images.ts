import type { DocumentGraph, ImageRecord } from '../content/index.js';
import { type Statements, textOf } from '../metadata/index.js';
import { type Digest, parseDigest } from '../spec/index.js';

/** The images that nobody used for so long, and nobody keeps: neither pinned, nor is something mounted or running on them. */
export async function unusedImages(
  statements: Statements,
  images: readonly ImageRecord[],
  graph: DocumentGraph,
  unusedForMs: number,
): Promise<readonly ImageRecord[]> {
  const before = Date.now() - unusedForMs;
  const old = images.filter(({ pinned, usedAt }) => !pinned && usedAt.getTime() <= before);
  if (old.length === 0) return [];
  const inUse = await chainsInUse(statements);
  return old.filter(({ target }) => {
    const tops = graph.manifests(target.digest).map(({ chainIds }) => chainIds.at(-1));
    return !tops.some((chainId) => chainId !== undefined && inUse.has(chainId));
  });
}

/** The chains on which an active snapshot or a view stands. */
async function chainsInUse(statements: Statements): Promise<ReadonlySet<Digest>> {
  const rows = await statements.all(
    `SELECT DISTINCT chains.chain_id FROM chains JOIN snapshots ON snapshots.parent_id = chains.snapshot_id
     WHERE snapshots.kind <> 'committed'`,
  );
  return new Set(rows.map((row) => parseDigest(textOf(row, 'chain_id'))));
}
