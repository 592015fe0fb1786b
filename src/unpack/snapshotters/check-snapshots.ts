import { stat } from 'node:fs/promises';
import type { Abortable } from '../../errors.js';
import {
  integerOf,
  type MetadataDatabase,
  optionalIntegerOf,
  type Row,
  textOf,
} from '../../metadata/index.js';
import type { LayerInput } from '../jobs/layer-input.js';
import type { CheckedSnapshot, RetainOptions, SnapshotCheckRun } from '../layer-snapshotter.js';
import type { LayerChanges, LayerDirectory } from '../terms/layer-changes.js';
import { applyOptions, extractLayer } from '../unpacker.js';
import type { LayerCommits } from './commit-layers.js';
import {
  readSnapshotFile,
  rewriteSnapshotFile,
  type SnapshotFile,
  writeSnapshotFile,
} from './snapshot-directories.js';
import { chainOf, snapshotNotFound } from './snapshot-records.js';

/** So many differences of one snapshot are told. */
const DIFFERENCES_TOLD = 5;

/** See {@link SnapshotCheckRun}. */
export class DirectorySnapshotCheck implements SnapshotCheckRun {
  readonly generations: readonly (readonly CheckedSnapshot[])[];
  readonly #commits: LayerCommits;
  /** Trees that turned out to differ, made anew, by the number of the snapshot that they are to be. */
  readonly #fresh = new Map<number, LayerDirectory>();

  private constructor(commits: LayerCommits, generations: readonly (readonly CheckedSnapshot[])[]) {
    this.#commits = commits;
    this.generations = generations;
  }

  static async begin(commits: LayerCommits): Promise<DirectorySnapshotCheck> {
    const generations = await readGenerations(commits.database, commits.records.snapshotter);
    return new DirectorySnapshotCheck(commits, generations);
  }

  async isKnown({ number }: CheckedSnapshot): Promise<boolean> {
    const { records, database } = this.#commits;
    return (await records.byId(database, number)) !== undefined;
  }

  pathOf({ number }: CheckedSnapshot): string {
    return this.#commits.directories.path(number);
  }

  exists({ number }: CheckedSnapshot): boolean {
    return this.#commits.directories.exists(number);
  }

  async inspect(snapshot: CheckedSnapshot): Promise<string | undefined> {
    const { number, name, kind, parents, chain } = snapshot;
    const { directories } = this.#commits;
    if (!this.exists(snapshot)) return 'its directory is missing';
    if (kind !== 'committed') return undefined;
    const file = await readSnapshotFile(directories.path(number));
    if (file === undefined) return 'its snapshot.json is missing or damaged';
    const parent = file['parent'] ?? undefined;
    const fits =
      file['name'] === name &&
      (parents.length === 0 ? parent === undefined : parents.some((known) => known === parent)) &&
      file['chainId'] === chain?.chainId &&
      file['diffId'] === chain?.diffId;
    return fits ? undefined : 'its snapshot.json says something else than the database';
  }

  async refusal({ number }: CheckedSnapshot): Promise<string | undefined> {
    const { directories } = this.#commits;
    if (directories.realContent(number) !== directories.content(number)) {
      return 'it lies in an additional store, which is checked by itself';
    }
    const owner = await stat(directories.path(number)).catch(() => undefined);
    if (owner === undefined || owner.uid === process.geteuid?.()) return undefined;
    return `it was unpacked by user ${owner.uid}, and only that user can unpack it to the same`;
  }

  async hold(
    snapshot: CheckedSnapshot,
    layer: LayerInput,
    o: RetainOptions = {},
  ): Promise<readonly string[]> {
    const directory = await this.#commits.begin();
    try {
      const { changes } = await extractLayer({
        layer,
        source: await layer.open(o),
        directory,
        pool: this.#commits.pool,
        options: applyOptions(o),
        signal: o.signal,
      });
      await this.#complete(snapshot, directory, changes, o);
      const differences = await this.#compare(snapshot, directory, o);
      if (differences.length > 0) this.#fresh.set(snapshot.number, directory);
      else await this.#commits.private.abandon(directory.key);
      return differences;
    } catch (error) {
      await this.#commits.private.abandon(directory.key).catch(() => undefined);
      throw error;
    }
  }

  async describe(snapshot: CheckedSnapshot): Promise<void> {
    const directory = this.#commits.directories.path(snapshot.number);
    await rewriteSnapshotFile(directory, await this.#fileOf(snapshot));
  }

  async replace(snapshot: CheckedSnapshot): Promise<string | undefined> {
    const { number, name } = snapshot;
    const { database, directories, pool, records } = this.#commits;
    const directory = this.#fresh.get(number);
    if (directory === undefined) throw snapshotNotFound(name);
    const by = this.#idOf(directory);
    const file = await this.#fileOf(snapshot);
    await writeSnapshotFile(directories.path(by), { ...file, notDurable: undefined });
    await pool.run({ kind: 'sync', directory: directories.directory });
    const away = await database.transaction(async (tx) => {
      if ((await records.byId(tx, number)) === undefined) throw snapshotNotFound(name);
      directories.refuseShown(number);
      directories.replace(number, by);
      await records.markNotDurable(tx, number, undefined);
      await records.delete(tx, by);
      return directories.quarantine(by, number);
    });
    directories.sync();
    this.#commits.private.release(directory.key);
    this.#fresh.delete(number);
    return away;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const directory of this.#fresh.values()) {
      // What cannot be removed now, the next collection finds.
      await this.#commits.private.abandon(directory.key).catch(() => undefined);
    }
    this.#fresh.clear();
  }

  /**
   * On its parents, as its commit did; of one that turned out to be damaged, on the tree that was made anew.
   */
  async #complete(
    { number }: CheckedSnapshot,
    directory: LayerDirectory,
    changes: LayerChanges,
    o: Abortable,
  ): Promise<void> {
    const [, ...lineage] = await this.#commits.records.lineage(this.#commits.database, number);
    const parents = lineage.map((parent) => {
      const fresh = this.#fresh.get(parent);
      return fresh === undefined ? parent : this.#idOf(fresh);
    });
    await this.#commits.complete(this.#idOf(directory), parents, changes, o);
  }

  async #compare(
    { number }: CheckedSnapshot,
    directory: LayerDirectory,
    o: Abortable,
  ): Promise<readonly string[]> {
    const { directories, pool } = this.#commits;
    if (!directories.exists(number)) return ['its directory is missing'];
    const { differences } = await pool.run(
      {
        kind: 'compare',
        expected: directories.content(this.#idOf(directory)),
        actual: directories.content(number),
        limit: DIFFERENCES_TOLD,
      },
      o,
    );
    return differences;
  }

  async #fileOf({ number, name, chain }: CheckedSnapshot): Promise<SnapshotFile> {
    const { database, records } = this.#commits;
    const record = await records.byId(database, number);
    if (record === undefined) throw snapshotNotFound(name);
    const { snapshotter } = records;
    return { name: record.name, parent: record.parent, snapshotter, ...chain, notDurable: record.notDurable };
  }

  #idOf({ key }: LayerDirectory): number {
    const number = this.#commits.private.idOf(key);
    if (number === undefined) throw snapshotNotFound(key);
    return number;
  }
}

/** All snapshots below one root but those that are being made, in groups: parents stand in an earlier one. */
async function readGenerations(
  database: MetadataDatabase,
  snapshotter: string,
): Promise<readonly (readonly CheckedSnapshot[])[]> {
  const chains = new Map(
    (await database.all('SELECT snapshot_id, chain_id, diff_id FROM chains')).map((row) => {
      const { number, ...chain } = chainOf(row);
      return [number, chain];
    }),
  );
  const rows = await database.all('SELECT id, snapshotter, name, kind, parent_id, unpacking FROM snapshots');
  const byId = new Map(rows.map((row) => [integerOf(row, 'id'), row]));
  const depths = new Map<number, number>();
  const generations: CheckedSnapshot[][] = [];
  for (const [number, row] of byId) {
    if (integerOf(row, 'unpacking') === 1) continue;
    const depth = depthOf(number, byId, depths);
    (generations[depth] ??= []).push(snapshotOf(row));
  }
  // A snapshot that is being made may be a generation's only one, which leaves a hole.
  return Array.from({ length: generations.length }, (_, depth) => generations[depth] ?? []);

  function snapshotOf(row: Row): CheckedSnapshot {
    const number = integerOf(row, 'id');
    const kind = textOf(row, 'kind');
    const parent = optionalIntegerOf(row, 'parent_id');
    const parentRow = parent === undefined ? undefined : byId.get(parent);
    const parentChain = parent === undefined ? undefined : chains.get(parent);
    const chain = chains.get(number);
    return {
      number,
      name: textOf(row, 'name'),
      kind: kind === 'active' || kind === 'view' ? kind : 'committed',
      parentId: parent,
      parents: [
        ...(parentRow === undefined ? [] : [textOf(parentRow, 'name')]),
        ...(parentChain === undefined ? [] : [parentChain.chainId]),
      ],
      chain,
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
