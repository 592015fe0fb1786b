import { randomUUID } from 'node:crypto';
import { closeSync } from 'node:fs';
import { LandfallError } from '../../errors.js';
import type { MetadataDatabase, Statements } from '../../metadata/index.js';
import { faultPoint } from '../../system/index.js';
import type { IdMappings } from '../bundle/runtime-config.js';
import type { Labels, Mount } from '../snapshotter.js';
import { idMappingsOn } from './id-mappings.js';
import type { SnapshotDirectories } from './snapshot-directories.js';
import {
  isUnpacking,
  nameTaken,
  snapshotNotFound,
  type SnapshotRecords,
  UNPACKING_LABEL,
  wrongKind,
} from './snapshot-records.js';
import type { Writeback } from './writeback.js';

/** An active snapshot or a view that is to be made. */
export interface WantedSnapshot {
  readonly kind: 'active' | 'view';
  readonly key: string;
  readonly parent: string | undefined;
  readonly labels: Labels;
  /** Of the directories in it. */
  readonly names: readonly string[];
}

/** What making a snapshot needs of its snapshotter. */
export interface MakeContext {
  readonly database: MetadataDatabase;
  readonly directories: SnapshotDirectories;
  readonly records: SnapshotRecords;
  readonly private: PrivateDirectories;
  /** Whether {@link fill} takes no time, so that a snapshot can be made within one transaction. */
  readonly fillsAtOnce: boolean;
  /** Makes the new, empty content of an active snapshot what a mount is to start from. */
  readonly fill: (number: number, parents: readonly number[], mappings?: IdMappings) => Promise<void>;
  /** Whether its mounts show other owners than the disk has. */
  readonly mapsIds: boolean;
  readonly mountsOf: (
    number: number,
    kind: 'active' | 'view',
    parents: readonly number[],
    mappings?: IdMappings,
  ) => readonly Mount[];
}

/** Makes an active snapshot or a view, and gives its mounts. Errors: those of `Snapshotter.prepare`. */
export async function makeSnapshot(context: MakeContext, wanted: WantedSnapshot): Promise<readonly Mount[]> {
  const atOnce = wanted.kind === 'view' || context.fillsAtOnce;
  return await (atOnce ? makeAtOnce(context, wanted) : makeApart(context, wanted));
}

/** In one transaction. A crash before its end leaves a directory that no row names. */
async function makeAtOnce(context: MakeContext, wanted: WantedSnapshot): Promise<readonly Mount[]> {
  const { directories, mountsOf } = context;
  let created: number | undefined;
  const onCreated = (number: number): void => {
    created = number;
  };
  try {
    const { number, lineage, mappings } = await insertFilled(context, wanted, onCreated);
    // It has a row from now on.
    created = undefined;
    faultPoint('prepare:published');
    return mountsOf(number, wanted.kind, lineage, mappings);
  } catch (error) {
    const away = created === undefined ? undefined : directories.discard(created);
    if (away !== undefined) await directories.sweep(away);
    throw error;
  }
}

/** @returns its number too */
async function insertFilled(
  context: MakeContext,
  wanted: WantedSnapshot,
  onCreated: (number: number) => void,
): Promise<Omit<Parent, 'parentNumber'> & { readonly number: number }> {
  const { database, directories, records, fill } = context;
  const { kind, key, labels, names } = wanted;
  return await database.transaction(async (tx) => {
    const { parentNumber, lineage, mappings } = await parentOf(context, tx, wanted);
    const number = await records.insert(tx, { name: key, kind, parentNumber, labels });
    onCreated(number);
    directories.create(number, names);
    faultPoint('prepare:begun');
    if (kind === 'active') await fill(number, lineage, mappings);
    faultPoint('prepare:filled');
    return { number, lineage, mappings };
  });
}

/** In a private directory, since filling it takes long. */
async function makeApart(context: MakeContext, wanted: WantedSnapshot): Promise<readonly Mount[]> {
  const { database, records, fill, mountsOf } = context;
  const { kind, key, labels, names } = wanted;
  const { parentNumber, lineage } = await parentOf(context, database, wanted);
  const opened = await context.private.begin(names, parentNumber);
  faultPoint('prepare:begun');
  try {
    await fill(opened.number, lineage);
    faultPoint('prepare:filled');
    await database.transaction(async (tx) => {
      if ((await records.find(tx, key)) !== undefined) throw nameTaken(key);
      await records.publish(tx, opened.number, { name: key, kind, labels });
    });
    faultPoint('prepare:published');
    context.private.release(opened.key);
    return mountsOf(opened.number, kind, lineage);
  } catch (error) {
    await context.private.abandon(opened.key);
    throw error;
  }
}

/** What a new snapshot is made on. */
interface Parent {
  readonly parentNumber: number | undefined;
  /** The numbers of all ancestors, nearest first. */
  readonly lineage: readonly number[];
  /** What their owners are mapped to. */
  readonly mappings: IdMappings | undefined;
}

/** Refuses a key that is taken. */
async function parentOf(
  { records, mapsIds }: MakeContext,
  db: Statements,
  { key, parent, labels }: WantedSnapshot,
): Promise<Parent> {
  const found = await records.findAmong(db, parent === undefined ? [key] : [key, parent]);
  if (found.has(key)) throw nameTaken(key);
  const record = parent === undefined ? undefined : found.get(parent);
  const mappings = idMappingsOn(record?.labels, labels);
  if (mappings !== undefined && !mapsIds) throw cannotMap(records.snapshotter);
  if (parent === undefined) return { parentNumber: undefined, lineage: [], mappings };
  if (record === undefined || isUnpacking(record)) throw snapshotNotFound(parent);
  if (record.kind !== 'committed') throw wrongKind(parent, record.kind, 'committed');
  return { parentNumber: record.number, lineage: await records.lineage(db, record.number), mappings };
}

function cannotMap(snapshotter: string): LandfallError {
  return new LandfallError(
    'UNSUPPORTED',
    `the ${snapshotter} snapshotter maps no owners to a user namespace`,
    {
      hint: 'Take "remap-ids" out of landfall’s capabilities in containerd’s configuration.',
    },
  );
}

/** A directory that this process fills, and the lock that says so to others. */
interface PrivateDirectory {
  readonly number: number;
  readonly lock: number;
}

/** A power cut takes the process along, and what it was filling is garbage then, with a row or without. */
const VOLATILE = { durable: false } as const;

interface Place {
  readonly database: MetadataDatabase;
  readonly directories: SnapshotDirectories;
  readonly records: SnapshotRecords;
  /** Told of each, where what is in them is to be synced. */
  readonly writeback: Writeback | undefined;
}

/**
 * The directories that this process fills and nobody sees yet. Each holds a kernel lock while its owner lives, so that a
 * collection knows at once which of them were abandoned.
 */
export class PrivateDirectories {
  readonly #place: Place;
  readonly #byKey = new Map<string, PrivateDirectory>();

  constructor(place: Place) {
    this.#place = place;
  }

  /** Made and locked in the transaction of its row, so that no collection finds it unlocked. */
  async begin(
    names: readonly string[],
    parentNumber?: number,
  ): Promise<{ readonly key: string; readonly number: number }> {
    const { database, directories, records } = this.#place;
    const key = `unpacking-${randomUUID()}`;
    const labels = { [UNPACKING_LABEL]: 'true' };
    const make = async (tx: Statements): Promise<number> => {
      const number = await records.insert(tx, { name: key, kind: 'active', parentNumber, labels });
      directories.create(number, names);
      const lock = directories.tryLock(number);
      if (lock === undefined)
        throw new LandfallError('IN_USE', `${directories.path(number)} is locked already`);
      try {
        this.#place.writeback?.begin();
      } catch (error) {
        closeSync(lock);
        throw error;
      }
      this.#byKey.set(key, { number, lock });
      return number;
    };
    try {
      return { key, number: await database.transaction(make, VOLATILE) };
    } catch (error) {
      this.release(key);
      throw error;
    }
  }

  numberOf(key: string): number | undefined {
    return this.#byKey.get(key)?.number;
  }

  /** Gives up the lock of a directory that is private no more. */
  release(key: string): void {
    const directory = this.#byKey.get(key);
    if (directory === undefined) return;
    this.#byKey.delete(key);
    this.#place.writeback?.end();
    closeSync(directory.lock);
  }

  /** Whatever becomes of it, the directory is locked no more: what is left of it is a later collection's. */
  async abandon(key: string): Promise<void> {
    const { database, directories, records } = this.#place;
    const directory = this.#byKey.get(key);
    if (directory === undefined) return;
    try {
      // First what takes space: on a full disk, the database has none to write to before.
      const away = directories.discard(directory.number);
      if (away !== undefined) await directories.sweep(away);
      await database.transaction((tx) => records.delete(tx, directory.number), VOLATILE);
    } finally {
      this.release(key);
    }
  }
}
