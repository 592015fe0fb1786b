import { statSync } from 'node:fs';
import { symlink } from 'node:fs/promises';
import { systemCode } from '../../errors.js';
import { integerOf, type Row, type Statements, textOf } from '../../metadata/index.js';
import { chainIds, type Digest, parseDigest } from '../../spec/index.js';
import { filesystemError } from '../terms/archive-error.js';
import type { CommitLayer } from '../layer-snapshotter.js';
import type { LayerDirectory } from '../terms/layer-changes.js';
import { commitLayers, type CommitContext } from './commit-layers.js';
import { SnapshotDirectories } from './snapshot-directories.js';

/** Another store, which is only read, whose snapshots are used where they lie. */
export interface AdditionalSnapshots {
  readonly root: string;
  readonly database: Statements;
}

/** What the adoption needs of its snapshotter. */
export interface AdoptionContext extends Omit<CommitContext, 'complete'> {
  readonly kind: string;
  readonly additional: readonly AdditionalSnapshots[];
  /** Makes a private directory with nothing in it. */
  begin(): Promise<{ readonly key: string; readonly number: number }>;
}

/** A layer's snapshot in an additional store. */
interface AdditionalLayer {
  readonly chainId: Digest;
  readonly parentChainId?: Digest;
  readonly diffId: Digest;
  /** Absolute path of its `fs` there, which may lead on to a third store. */
  readonly content: string;
}

/** Nothing is left to do for a layer that was completed where it lies. */
const NO_CHANGES: CommitLayer['changes'] = { implied: [], whiteouts: [], opaques: [], pendingLinks: [] };

/**
 * Gives chains of additional stores a place in this one: a snapshot for each layer, whose `fs` is a symlink to the
 * directory in the other store. Parents, leases, mounts and collection then treat them as any other; and one whose store
 * is gone counts as lost, so that its layer is unpacked anew in its place.
 *
 * What is asked for while an adoption runs is adopted together with the next: an image's layers cost two or three syncs,
 * not one each.
 */
export class ChainAdoption {
  readonly #context: AdoptionContext;
  readonly #wanted = new Set<Digest>();
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(context: AdoptionContext) {
    this.#context = context;
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
    await adoptChains(this.#context, wanted);
  }
}

async function adoptChains(context: AdoptionContext, wanted: readonly Digest[]): Promise<void> {
  // In this order each parent stands before its children.
  const found = new Map<Digest, AdditionalLayer>();
  for (const chainId of wanted) {
    for (const layer of await findLayers(context, chainId)) {
      if (!found.has(layer.chainId)) found.set(layer.chainId, layer);
    }
  }
  const begun: CommitLayer[] = [];
  try {
    for (const layer of found.values()) {
      if (!(await isHere(context, layer.chainId))) begun.push(await beginLink(context, layer));
    }
    if (begun.length === 0) return;
    await commitLayers({ ...context, complete: () => Promise.resolve([]) }, begun, {});
  } catch (error) {
    for (const { directory } of begun) await context.abandon(directory).catch(() => undefined);
    throw filesystemError(error, 'taking snapshots of an additional store into use');
  }
}

async function isHere(
  { database, records, directories }: AdoptionContext,
  chainId: Digest,
): Promise<boolean> {
  const record = await records.findChain(database, chainId);
  return record !== undefined && directories.exists(record.number);
}

async function beginLink(context: AdoptionContext, layer: AdditionalLayer): Promise<CommitLayer> {
  const { chainId, parentChainId, diffId, content } = layer;
  const { key, number } = await context.begin();
  const directory: LayerDirectory = { key, path: context.directories.content(number) };
  try {
    await symlink(content, directory.path);
  } catch (error) {
    await context.abandon(directory);
    throw error;
  }
  return {
    directory,
    ...(parentChainId === undefined ? {} : { parentChainId }),
    chainId,
    diffId,
    changes: NO_CHANGES,
  };
}

/** The layers of a chain, bottom first, from the first additional store that has them all; none where none has. */
async function findLayers(
  { kind, additional }: AdoptionContext,
  chainId: Digest,
): Promise<readonly AdditionalLayer[]> {
  for (const { root, database } of additional) {
    const directories = new SnapshotDirectories(root);
    if (!isOurs(directories)) continue;
    const rows = await database.all(LAYERS, [kind, chainId, kind]);
    const layers = layersOf(rows, chainId, directories);
    if (layers !== undefined) return layers;
  }
  return [];
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
    layers.push({
      chainId: id,
      ...(parentChainId === undefined ? {} : { parentChainId }),
      diffId,
      content: directories.content(number),
    });
  }
  return layers;
}

/**
 * Whether snapshots were made by the user that this process is. Another's have other owners, and whiteouts in a form that
 * a mount would not understand here.
 */
function isOurs({ directory }: SnapshotDirectories): boolean {
  try {
    return statSync(directory).uid === process.geteuid?.();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}
