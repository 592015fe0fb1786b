import { statSync } from 'node:fs';
import { symlink } from 'node:fs/promises';
import { systemCode } from '../../errors.js';
import { integerOf, type Row, type Statements, textOf } from '../../metadata/index.js';
import { chainIds, type Digest, parseDigest } from '../../spec/index.js';
import type { CommitLayer } from '../layer-snapshotter.js';
import { filesystemError } from '../terms/layer-fault.js';
import type { LayerCommits } from './commit-layers.js';
import { SnapshotDirectories } from './snapshot-directories.js';

/** Another store, which is only read, whose snapshots are used where they lie. */
export interface AdditionalSnapshots {
  readonly root: string;
  readonly database: Statements;
}

/** A layer's snapshot in an additional store. */
interface AdditionalLayer {
  readonly chainId: Digest;
  readonly parentChainId: Digest | undefined;
  readonly diffId: Digest;
  /** Absolute path of its `fs` there, which may lead on to a third store. */
  readonly content: string;
}

/** Nothing is left to do for a layer that was completed where it lies. */
const NO_CHANGES: CommitLayer['changes'] = { implied: [], whiteouts: [], opaques: [], pendingLinks: [] };

/**
 * Gives chains of additional stores a place in this one: a snapshot for each layer, whose `fs` is a symlink
 * to the directory in the other store. Parents, leases, mounts and collection then treat them as any other;
 * and one whose store is gone counts as lost, so that its layer is unpacked anew in its place.
 *
 * What is asked for while an adoption runs is adopted together with the next: an image's layers cost two or
 * three syncs, not one each.
 */
export class ChainAdoption {
  readonly #commits: LayerCommits;
  readonly #additional: readonly AdditionalSnapshots[];
  readonly #wanted = new Set<Digest>();
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(commits: LayerCommits, additional: readonly AdditionalSnapshots[]) {
    this.#commits = commits;
    this.#additional = additional;
  }

  /** A chain that no additional store has whole is left alone. */
  adopt(chainId: Digest): Promise<void> {
    this.#wanted.add(chainId);
    this.#next ??= this.#after(this.#last);
    return this.#next;
  }

  async #after(last: Promise<void>): Promise<void> {
    await last.catch(() => undefined);
    const wanted = [...this.#wanted];
    this.#wanted.clear();
    if (this.#next !== undefined) this.#last = this.#next;
    this.#next = undefined;
    await this.#adoptAll(wanted);
  }

  async #adoptAll(wanted: readonly Digest[]): Promise<void> {
    // In this order each parent stands before its children.
    const found = new Map<Digest, AdditionalLayer>();
    for (const chainId of wanted) {
      for (const layer of await this.#findLayers(chainId)) {
        if (!found.has(layer.chainId)) found.set(layer.chainId, layer);
      }
    }
    const begun: CommitLayer[] = [];
    try {
      for (const layer of found.values()) {
        if (!(await this.#isHere(layer.chainId))) begun.push(await this.#beginLink(layer));
      }
      if (begun.length > 0) await this.#commits.commit(begun, {}, () => Promise.resolve([]));
    } catch (error) {
      for (const { directory } of begun) {
        await this.#commits.private.abandon(directory.key).catch(() => undefined);
      }
      throw filesystemError(error, 'taking snapshots of an additional store into use');
    }
  }

  async #isHere(chainId: Digest): Promise<boolean> {
    const { database, records, directories } = this.#commits;
    const record = await records.findChain(database, chainId);
    return record !== undefined && directories.exists(record.number);
  }

  async #beginLink({ content, ...layer }: AdditionalLayer): Promise<CommitLayer> {
    const { key, number } = await this.#commits.private.begin([]);
    const path = this.#commits.directories.content(number);
    try {
      await symlink(content, path);
    } catch (error) {
      await this.#commits.private.abandon(key);
      throw error;
    }
    return { ...layer, directory: { key, path }, changes: NO_CHANGES };
  }

  /** The layers of a chain, bottom first, from the first additional store that has all of them. */
  async #findLayers(chainId: Digest): Promise<readonly AdditionalLayer[]> {
    const { snapshotter } = this.#commits.records;
    for (const { root, database } of this.#additional) {
      const directories = new SnapshotDirectories(root);
      if (!isOurs(directories)) continue;
      const rows = await database.all(LAYERS, [snapshotter, chainId, snapshotter]);
      const layers = layersOf(rows, chainId, directories);
      if (layers !== undefined) return layers;
    }
    return [];
  }
}

/** From the bottom up, each with the chain that it is recorded for. */
const LAYERS = `
WITH RECURSIVE line (id, parent_id, depth) AS (
  SELECT s.id, s.parent_id, 0 FROM chains c JOIN snapshots s ON s.id = c.snapshot_id
  WHERE c.snapshotter = ? AND c.chain_id = ?
  UNION ALL
  SELECT s.id, s.parent_id, line.depth + 1 FROM snapshots s JOIN line ON s.id = line.parent_id
)
SELECT line.id, c.diff_id FROM line JOIN chains c ON c.snapshot_id = line.id AND c.snapshotter = ?
ORDER BY depth DESC`;

/** Undefined unless the layers make up the chain, and the content of each is there. */
function layersOf(
  rows: readonly Row[],
  chainId: Digest,
  directories: SnapshotDirectories,
): readonly AdditionalLayer[] | undefined {
  const diffIds = rows.map((row) => parseDigest(textOf(row, 'diff_id')));
  const chain = chainIds(diffIds);
  if (chain.at(-1) !== chainId) return undefined;
  const layers: AdditionalLayer[] = [];
  for (const [i, row] of rows.entries()) {
    const [id, diffId, parentChainId] = [chain[i], diffIds[i], chain[i - 1]];
    const number = integerOf(row, 'id');
    if (id === undefined || diffId === undefined || !directories.exists(number)) return undefined;
    layers.push({ chainId: id, parentChainId, diffId, content: directories.content(number) });
  }
  return layers;
}

/**
 * Whether snapshots were made by the user that this process is. Another's have other owners, and whiteouts in
 * a form that a mount would not understand here.
 */
function isOurs({ directory }: SnapshotDirectories): boolean {
  try {
    return statSync(directory).uid === process.geteuid?.();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}
