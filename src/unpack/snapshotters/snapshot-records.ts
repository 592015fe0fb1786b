import { LandfallError, UnpackError } from '../../errors.js';
import {
  integerOf,
  jsonOf,
  labelsOf,
  optionalIntegerOf,
  optionalTextOf,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import { type Digest, parseDigest } from '../../spec/index.js';
import { microsecondsNow } from '../../system/index.js';
import type { RetainChainOptions } from '../layer-snapshotter.js';
import type { Labelled, Labels, SnapshotImage, SnapshotInfo, SnapshotKind, Usage } from '../snapshotter.js';

/** A snapshot that a caller named and that is not there. */
export function snapshotNotFound(name: string): UnpackError {
  return new UnpackError('SNAPSHOT_NOT_FOUND', `there is no snapshot ${name}`);
}

export function nameTaken(name: string): LandfallError {
  return new LandfallError('ALREADY_EXISTS', `a snapshot ${name} exists already`);
}

export function wrongKind(name: string, is: string, wanted: string): LandfallError {
  return new LandfallError(
    'INVALID_CONFIG',
    `snapshot ${name} is ${is}, and this takes one that is ${wanted}`,
  );
}

/** Labels that begin so are reserved: older programs kept in them what has columns now. */
export const RESERVED_LABELS = 'landfall/';

/** @throws LandfallError INVALID_CONFIG (one is reserved) */
export function checkLabels(labels: Labels): Labels {
  const reserved = Object.keys(labels).find((label) => label.startsWith(RESERVED_LABELS));
  if (reserved === undefined) return labels;
  throw new LandfallError('INVALID_CONFIG', `the label ${reserved} is reserved`, {
    hint: `Choose a label that does not begin with ${RESERVED_LABELS}.`,
  });
}

/** A snapshot as the database has it; its number names its directory. */
export interface SnapshotRecord extends SnapshotInfo {
  readonly number: number;
  readonly parentId: number | undefined;
  /** A layer in the making: to all but its owner, such a row is no snapshot yet. */
  readonly unpacking: boolean;
  /** See {@link Labelled.remapped}. */
  readonly remapped: boolean;
  /** Measured when it is first needed, as what is committed does not change. */
  readonly usage: Usage | undefined;
  /** The boot in which its content was written, while that is not synced; see src/metadata/database.ts. */
  readonly notDurable: string | undefined;
}

const SELECT = `
SELECT s.id, s.name, s.kind, s.parent_id, p.name AS parent, s.labels, s.unpacking, s.retained_by, s.remapped,
  s.created_at, s.created_us, s.updated_at, s.updated_us, s.bytes, s.inodes, s.unsynced,
  (SELECT json_group_array(json_array(i.name, i.path) ORDER BY i.id) FROM snapshot_images i WHERE i.snapshot_id = s.id) AS images
FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent_id`;

export interface PageOptions {
  /** A number. */
  readonly after: number;
  readonly limit: number;
  readonly retainedBy?: string | undefined;
}

export interface NewSnapshot extends Labelled {
  readonly name: string;
  readonly kind: SnapshotKind;
  readonly parentId?: number | undefined;
  readonly unpacking?: boolean | undefined;
}

/**
 * The rows of one snapshotter. Each method takes the database or the transaction in which it is to happen.
 */
export class SnapshotRecords {
  /** Its kind. */
  readonly snapshotter: string;

  constructor(snapshotter: string) {
    this.snapshotter = snapshotter;
  }

  async find(db: Statements, name: string): Promise<SnapshotRecord | undefined> {
    const row = await db.get(`${SELECT} WHERE s.snapshotter = ? AND s.name = ?`, [this.snapshotter, name]);
    return row === undefined ? undefined : recordOf(row);
  }

  /** Those of some names that there are. */
  async findAmong(db: Statements, names: readonly string[]): Promise<ReadonlyMap<string, SnapshotRecord>> {
    const query = `${SELECT} WHERE s.snapshotter = ? AND s.name IN (SELECT value FROM json_each(?))`;
    const rows = await db.all(query, [this.snapshotter, JSON.stringify(names)]);
    return new Map(rows.map(recordOf).map((record) => [record.name, record]));
  }

  async byId(db: Statements, number: number): Promise<SnapshotRecord | undefined> {
    const row = await db.get(`${SELECT} WHERE s.id = ?`, [number]);
    return row === undefined ? undefined : recordOf(row);
  }

  async findChain(db: Statements, chainId: Digest): Promise<SnapshotRecord | undefined> {
    const row = await db.get(
      `${SELECT} JOIN chains c ON c.snapshot_id = s.id WHERE c.snapshotter = ? AND c.chain_id = ?`,
      [this.snapshotter, chainId],
    );
    return row === undefined ? undefined : recordOf(row);
  }

  /**
   * Up to `limit` records after a number, in the order in which they were made; of one holder, or of
   * everybody.
   */
  async page(db: Statements, { after, limit, retainedBy }: PageOptions): Promise<SnapshotRecord[]> {
    const rows = await db.all(
      `${SELECT} WHERE s.snapshotter = ? AND s.id > ? AND (? IS NULL OR s.retained_by = ?) ORDER BY s.id LIMIT ?`,
      [this.snapshotter, after, retainedBy ?? null, retainedBy ?? null, limit],
    );
    return rows.map(recordOf);
  }

  /** The chains that a snapshot stands for. */
  async chainsOf(db: Statements, number: number): Promise<Digest[]> {
    const rows = await db.all('SELECT chain_id FROM chains WHERE snapshot_id = ?', [number]);
    return rows.map((row) => parseDigest(textOf(row, 'chain_id')));
  }

  /** Whether a holder has something on top of a snapshot. */
  async hasChildrenOf(db: Statements, number: number, retainedBy: string): Promise<boolean> {
    const query = `SELECT 1 AS found FROM snapshots s WHERE s.parent_id = ? AND s.retained_by = ? LIMIT 1`;
    return (await db.get(query, [number, retainedBy])) !== undefined;
  }

  /** The numbers of a snapshot and its ancestors, itself first. */
  async lineage(db: Statements, number: number): Promise<number[]> {
    const rows = await db.all(
      `WITH RECURSIVE line (id, parent_id, depth) AS (
         SELECT id, parent_id, 0 FROM snapshots WHERE id = ?
         UNION ALL
         SELECT s.id, s.parent_id, line.depth + 1 FROM snapshots s JOIN line ON s.id = line.parent_id
       ) SELECT id FROM line ORDER BY depth`,
      [number],
    );
    return rows.map((row) => integerOf(row, 'id'));
  }

  async hasChildren(db: Statements, number: number): Promise<boolean> {
    return (
      (await db.get('SELECT 1 AS found FROM snapshots WHERE parent_id = ? LIMIT 1', [number])) !== undefined
    );
  }

  /** Its number. */
  async insert(db: Statements, snapshot: NewSnapshot): Promise<number> {
    const { name, kind, parentId, labels = {}, retainedBy, remapped = false, unpacking = false } = snapshot;
    const now = columnsOf(microsecondsNow());
    const { lastId } = await db.run(
      `INSERT INTO snapshots (snapshotter, name, kind, parent_id, labels, unpacking, retained_by, remapped,
         created_at, created_us, updated_at, updated_us)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        this.snapshotter,
        name,
        kind,
        parentId ?? null,
        JSON.stringify(labels),
        Number(unpacking),
        retainedBy ?? null,
        Number(remapped),
        ...now,
        ...now,
      ],
    );
    if (snapshot.image !== undefined) await this.#addImage(db, lastId, snapshot.image);
    return lastId;
  }

  /** Gives a private directory its key: from now on it is an active snapshot or a view. */
  async publish(
    db: Statements,
    number: number,
    { name, kind, labels = {}, retainedBy, image, remapped = false }: Omit<NewSnapshot, 'parentId'>,
  ): Promise<void> {
    const now = columnsOf(microsecondsNow());
    await db.run(
      `UPDATE snapshots SET name = ?, kind = ?, labels = ?, unpacking = 0, retained_by = ?, remapped = ?,
         created_at = ?, created_us = ?, updated_at = ?, updated_us = ?
       WHERE id = ?`,
      [name, kind, JSON.stringify(labels), retainedBy ?? null, Number(remapped), ...now, ...now, number],
    );
    if (image !== undefined) await this.#addImage(db, number, image);
  }

  /** Makes an active snapshot a committed one, which is made only now, under a name that is free. */
  async commit(
    db: Statements,
    number: number,
    { name, parentId, labels }: Pick<NewSnapshot, 'name' | 'parentId'> & { readonly labels: Labels },
  ): Promise<void> {
    const now = columnsOf(microsecondsNow());
    await db.run(
      `UPDATE snapshots SET name = ?, kind = 'committed', parent_id = ?, labels = ?, unpacking = 0,
         created_at = ?, created_us = ?, updated_at = ?, updated_us = ?
       WHERE id = ?`,
      [name, parentId ?? null, JSON.stringify(labels), ...now, ...now, number],
    );
  }

  async #addImage(db: Statements, number: number, { name, path }: SnapshotImage): Promise<void> {
    await db.run(
      `INSERT INTO snapshot_images (snapshot_id, name, path) VALUES (?, ?, ?)
       ON CONFLICT (snapshot_id, name) DO UPDATE SET path = excluded.path`,
      [number, name, path.join(' ')],
    );
  }

  async recordChain(db: Statements, chainId: Digest, diffId: Digest, number: number): Promise<void> {
    await db.run('INSERT INTO chains (snapshotter, chain_id, diff_id, snapshot_id) VALUES (?, ?, ?, ?)', [
      this.snapshotter,
      chainId,
      diffId,
      number,
    ]);
  }

  /** Says that nobody has synced a snapshot's content, or, without a mark, that it is on the disk. */
  async markNotDurable(db: Statements, number: number, mark: string | undefined): Promise<void> {
    await db.run('UPDATE snapshots SET unsynced = ? WHERE id = ?', [mark ?? null, number]);
  }

  async setLabels(db: Statements, number: number, labels: Labels): Promise<void> {
    await db.run('UPDATE snapshots SET labels = ?, updated_at = ?, updated_us = ? WHERE id = ?', [
      JSON.stringify(labels),
      ...columnsOf(microsecondsNow()),
      number,
    ]);
  }

  /** Notes that another program uses a committed snapshot. */
  async retain(db: Statements, number: number, { by, labels, image }: RetainChainOptions): Promise<void> {
    await db.run('UPDATE snapshots SET retained_by = ? WHERE id = ?', [by, number]);
    if (image !== undefined) await this.#addImage(db, number, image);
    await this.setLabels(db, number, labels);
  }

  /** Forgets with the other program the images that it named: they are of no use to others. */
  async release(db: Statements, number: number): Promise<void> {
    await db.run('UPDATE snapshots SET retained_by = NULL, updated_at = ?, updated_us = ? WHERE id = ?', [
      ...columnsOf(microsecondsNow()),
      number,
    ]);
    await db.run('DELETE FROM snapshot_images WHERE snapshot_id = ?', [number]);
  }

  /** Kept for what is committed. */
  async setUsage(db: Statements, number: number, usage: Usage): Promise<void> {
    await db.run(`UPDATE snapshots SET bytes = ?, inodes = ? WHERE id = ? AND kind = 'committed'`, [
      usage.size,
      usage.inodes,
      number,
    ]);
  }

  /** With the chains that it stands for. */
  async delete(db: Statements, number: number): Promise<void> {
    // What is retained is protected from programs that do not know the column.
    await db.run('UPDATE snapshots SET retained_by = NULL WHERE id = ? AND retained_by IS NOT NULL', [
      number,
    ]);
    await db.run('DELETE FROM snapshots WHERE id = ?', [number]);
  }
}

/** What callers see of a record. */
export function infoOf(record: SnapshotRecord): SnapshotInfo {
  const { name, kind, parent, labels, retainedBy, images, createdAt, updatedAt } = record;
  return { name, kind, parent, labels, retainedBy, images, createdAt, updatedAt };
}

export function recordOf(row: Row): SnapshotRecord {
  const inodes = integerOf(row, 'inodes');
  const images = imagesOf(row);
  return {
    number: integerOf(row, 'id'),
    name: textOf(row, 'name'),
    kind: kindOf(row),
    parent: optionalTextOf(row, 'parent'),
    parentId: optionalIntegerOf(row, 'parent_id'),
    labels: labelsOf(row, 'labels'),
    retainedBy: optionalTextOf(row, 'retained_by'),
    images: images.length === 0 ? undefined : images,
    unpacking: integerOf(row, 'unpacking') === 1,
    remapped: integerOf(row, 'remapped') === 1,
    createdAt: integerOf(row, 'created_at') * 1000 + integerOf(row, 'created_us'),
    updatedAt: integerOf(row, 'updated_at') * 1000 + integerOf(row, 'updated_us'),
    // A snapshot has at least its root, so without inodes it was never measured.
    usage: inodes === 0 ? undefined : { inodes, size: integerOf(row, 'bytes') },
    notDurable: optionalTextOf(row, 'unsynced'),
  };
}

function imagesOf(row: Row): SnapshotImage[] {
  const images = jsonOf(row, 'images') as readonly (readonly [name: string, path: string])[];
  return images.map(([name, path]) => ({ name, path: path.split(' ').map((digest) => parseDigest(digest)) }));
}

/** A time in microseconds as a row has it: milliseconds, and what is beyond them. */
export function columnsOf(time: number): readonly [ms: number, us: number] {
  return [Math.floor(time / 1000), time % 1000];
}

function kindOf(row: Row): SnapshotKind {
  const kind = textOf(row, 'kind');
  return kind === 'active' || kind === 'view' ? kind : 'committed';
}

/** Reads a row of `chains`. */
export function chainOf(row: Row): { number: number; chainId: Digest; diffId: Digest } {
  return {
    number: integerOf(row, 'snapshot_id'),
    chainId: parseDigest(textOf(row, 'chain_id')),
    diffId: parseDigest(textOf(row, 'diff_id')),
  };
}
