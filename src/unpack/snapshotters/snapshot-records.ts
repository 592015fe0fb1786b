import { LandfallError, UnpackError } from '../../errors.js';
import {
  integerOf,
  labelsOf,
  optionalIntegerOf,
  optionalTextOf,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import { type Digest, parseDigest } from '../../spec/index.js';
import { microsecondsNow } from '../../system/index.js';
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

/*
 * Labels below `landfall/` say what a snapshot is, so they are nobody else's to set.
 */
const RESERVED = 'landfall/';

/** What marks a layer that is being unpacked: such a row is no snapshot yet, for nobody but its owner. */
export const UNPACKING_LABEL = 'landfall/unpacking';

/** The other program that holds a snapshot; it stays until that one lets go of it. */
const HELD_BY_LABEL = 'landfall/held-by';

/** That another program has changed the owners of a snapshot's content to those of a user namespace. */
const REMAPPED_LABEL = 'landfall/remapped';

/** With the name of an image behind it: that the image ends with this snapshot, and the digests that lead to it. */
const IMAGE_LABEL = 'landfall/image/';

/**
 * The labels of a new snapshot, with those that say who holds it and for which image it is.
 *
 * @throws LandfallError INVALID_CONFIG (one is reserved)
 */
export function labelsFor({ labels = {}, heldBy, image, remapped = false }: Labelled): Labels {
  const reserved = Object.keys(labels).find((label) => label.startsWith(RESERVED));
  if (reserved !== undefined) {
    throw new LandfallError('INVALID_CONFIG', `the label ${reserved} is reserved`, {
      hint: `Choose a label that does not begin with ${RESERVED}.`,
    });
  }
  return {
    ...labels,
    ...(heldBy === undefined ? {} : { [HELD_BY_LABEL]: heldBy }),
    ...(remapped ? { [REMAPPED_LABEL]: '' } : {}),
    ...(image === undefined ? {} : { [`${IMAGE_LABEL}${image.name}`]: image.path.join(' ') }),
  };
}

/** Those of a snapshot's labels that stay whatever its other ones become. */
export function reservedIn(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([label]) => label.startsWith(RESERVED)));
}

/** Those of a snapshot's labels that somebody gave it. */
function givenIn(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([label]) => !label.startsWith(RESERVED)));
}

/** The other program that holds a snapshot with these labels. */
export function holderIn(labels: Labels): string | undefined {
  return labels[HELD_BY_LABEL];
}

/** Whether the owners of a snapshot with these labels are those of a user namespace. */
export function isRemapped(labels: Labels): boolean {
  return REMAPPED_LABEL in labels;
}

/** The images that end with a snapshot with these labels. */
function imagesIn(labels: Labels): readonly SnapshotImage[] {
  return Object.entries(labels)
    .filter(([label]) => label.startsWith(IMAGE_LABEL))
    .map(([label, path]) => ({
      name: label.slice(IMAGE_LABEL.length),
      path: path.split(' ').map((digest) => parseDigest(digest)),
    }));
}

/** The labels of a snapshot that nobody else holds any more; for which images somebody did is of no use to others. */
export function unheld(labels: Labels): Labels {
  return Object.fromEntries(
    Object.entries(labels).filter(([label]) => label !== HELD_BY_LABEL && !label.startsWith(IMAGE_LABEL)),
  );
}

/** A snapshot as the database has it; its number names its directory. */
export interface SnapshotRecord extends SnapshotInfo {
  readonly number: number;
  readonly parentNumber?: number;
  /** Known once it was asked for, as what is committed does not change. */
  readonly usage?: Usage;
  /** The boot in which its content was written, where nobody has synced it; see src/metadata/unsynced.ts. */
  readonly unsynced?: string;
}

const SELECT = `
SELECT s.id, s.name, s.kind, s.parent_id, p.name AS parent, s.labels,
  s.created_at, s.created_us, s.updated_at, s.updated_us, s.bytes, s.inodes, s.unsynced
FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent_id`;

const HOLDER = `s.labels ->> '$."${HELD_BY_LABEL}"'`;

export interface PageOptions {
  /** A number. */
  readonly after: number;
  readonly limit: number;
  readonly heldBy?: string | undefined;
}

export interface NewSnapshot {
  readonly name: string;
  readonly kind: SnapshotKind;
  readonly parentNumber?: number | undefined;
  readonly labels: Labels;
}

/** The rows of one snapshotter. Each method takes the database or the transaction in which it is to happen. */
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

  async byNumber(db: Statements, number: number): Promise<SnapshotRecord | undefined> {
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

  /** Up to `limit` records after a number, in the order in which they were made; of one holder, or of everybody. */
  async page(db: Statements, { after, limit, heldBy }: PageOptions): Promise<SnapshotRecord[]> {
    const rows = await db.all(
      `${SELECT} WHERE s.snapshotter = ? AND s.id > ? AND (? IS NULL OR ${HOLDER} = ?) ORDER BY s.id LIMIT ?`,
      [this.snapshotter, after, heldBy ?? null, heldBy ?? null, limit],
    );
    return rows.map(recordOf);
  }

  /** The chains that a snapshot stands for. */
  async chainsOf(db: Statements, number: number): Promise<Digest[]> {
    const rows = await db.all('SELECT chain_id FROM chains WHERE snapshot_id = ?', [number]);
    return rows.map((row) => parseDigest(textOf(row, 'chain_id')));
  }

  /** Whether a holder has something on top of a snapshot. */
  async hasChildrenOf(db: Statements, number: number, heldBy: string): Promise<boolean> {
    const query = `SELECT 1 AS found FROM snapshots s WHERE s.parent_id = ? AND ${HOLDER} = ? LIMIT 1`;
    return (await db.get(query, [number, heldBy])) !== undefined;
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
    const now = columnsOf(microsecondsNow());
    const { lastId } = await db.run(
      `INSERT INTO snapshots
         (snapshotter, name, kind, parent_id, labels, created_at, created_us, updated_at, updated_us)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        this.snapshotter,
        snapshot.name,
        snapshot.kind,
        snapshot.parentNumber ?? null,
        JSON.stringify(snapshot.labels),
        ...now,
        ...now,
      ],
    );
    return lastId;
  }

  /** Gives a private directory its key: from now on it is an active snapshot or a view. */
  async publish(db: Statements, number: number, to: Omit<NewSnapshot, 'parentNumber'>): Promise<void> {
    const now = columnsOf(microsecondsNow());
    await db.run(
      `UPDATE snapshots SET name = ?, kind = ?, labels = ?,
         created_at = ?, created_us = ?, updated_at = ?, updated_us = ?
       WHERE id = ?`,
      [to.name, to.kind, JSON.stringify(to.labels), ...now, ...now, number],
    );
  }

  /** Makes an active snapshot a committed one, which is made only now, under a name that is free. */
  async commit(db: Statements, number: number, to: Omit<NewSnapshot, 'kind'>): Promise<void> {
    const now = columnsOf(microsecondsNow());
    await db.run(
      `UPDATE snapshots SET name = ?, kind = 'committed', parent_id = ?, labels = ?,
         created_at = ?, created_us = ?, updated_at = ?, updated_us = ?
       WHERE id = ?`,
      [to.name, to.parentNumber ?? null, JSON.stringify(to.labels), ...now, ...now, number],
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
  async setUnsynced(db: Statements, number: number, mark: string | undefined): Promise<void> {
    await db.run('UPDATE snapshots SET unsynced = ? WHERE id = ?', [mark ?? null, number]);
  }

  async setLabels(db: Statements, number: number, labels: Labels): Promise<void> {
    await db.run('UPDATE snapshots SET labels = ?, updated_at = ?, updated_us = ? WHERE id = ?', [
      JSON.stringify(labels),
      ...columnsOf(microsecondsNow()),
      number,
    ]);
  }

  /** The same where they are still what a record has. @returns whether they were */
  async changeLabels(db: Statements, { number, labels }: SnapshotRecord, to: Labels): Promise<boolean> {
    const { changes } = await db.run(
      'UPDATE snapshots SET labels = ?, updated_at = ?, updated_us = ? WHERE id = ? AND labels = ?',
      [JSON.stringify(to), ...columnsOf(microsecondsNow()), number, JSON.stringify(labels)],
    );
    return changes > 0;
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
    await db.run('DELETE FROM snapshots WHERE id = ?', [number]);
  }
}

export function isUnpacking(record: Pick<SnapshotRecord, 'labels'>): boolean {
  return record.labels[UNPACKING_LABEL] === 'true';
}

/** What callers see of a record. */
export function infoOf(record: SnapshotRecord): SnapshotInfo {
  const { name, kind, parent, createdAt, updatedAt } = record;
  const heldBy = holderIn(record.labels);
  const images = imagesIn(record.labels);
  return {
    name,
    kind,
    ...(parent === undefined ? {} : { parent }),
    labels: givenIn(record.labels),
    ...(heldBy === undefined ? {} : { heldBy }),
    ...(images.length === 0 ? {} : { images }),
    createdAt,
    updatedAt,
  };
}

export function recordOf(row: Row): SnapshotRecord {
  const parent = optionalTextOf(row, 'parent');
  const parentNumber = optionalIntegerOf(row, 'parent_id');
  const inodes = integerOf(row, 'inodes');
  const unsynced = optionalTextOf(row, 'unsynced');
  return {
    number: integerOf(row, 'id'),
    name: textOf(row, 'name'),
    kind: kindOf(row),
    ...(parent === undefined ? {} : { parent }),
    ...(parentNumber === undefined ? {} : { parentNumber }),
    labels: labelsOf(row, 'labels'),
    createdAt: integerOf(row, 'created_at') * 1000 + integerOf(row, 'created_us'),
    updatedAt: integerOf(row, 'updated_at') * 1000 + integerOf(row, 'updated_us'),
    // A snapshot has at least its root, so no inodes mean that nobody has counted them.
    ...(inodes === 0 ? {} : { usage: { inodes, size: integerOf(row, 'bytes') } }),
    ...(unsynced === undefined ? {} : { unsynced }),
  };
}

/** A time in microseconds as a row has it: milliseconds, and what is beyond them. */
export function columnsOf(time: number): readonly [ms: number, us: number] {
  return [Math.floor(time / 1000), time % 1000];
}

function kindOf(row: Row): SnapshotKind {
  const kind = textOf(row, 'kind');
  return kind === 'active' || kind === 'view' ? kind : 'committed';
}
