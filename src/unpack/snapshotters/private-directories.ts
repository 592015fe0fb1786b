import { randomUUID } from 'node:crypto';
import { closeSync } from 'node:fs';
import { LandfallError } from '../../errors.js';
import type { MetadataDatabase, Statements } from '../../metadata/index.js';
import type { SnapshotDirectories } from './snapshot-directories.js';
import { type SnapshotRecords, UNPACKING_LABEL } from './snapshot-records.js';
import type { Writeback } from './writeback.js';

/** A directory that this process fills, and the lock that says so to others. */
interface PrivateDirectory {
  readonly number: number;
  readonly lock: number;
}

/** A power cut takes the process along, and what it was filling is garbage then, with a row or without. */
const VOLATILE = { durable: false } as const;

interface PrivateDirectoriesOptions {
  readonly database: MetadataDatabase;
  readonly directories: SnapshotDirectories;
  readonly records: SnapshotRecords;
  /** Counts them, where their content is to be synced. */
  readonly writeback: Writeback | undefined;
}

/**
 * The directories that this process fills, and that are not visible yet. The process locks each of them, and the kernel
 * drops the lock with the process, so a collection knows at once which were abandoned.
 */
export class PrivateDirectories {
  readonly #options: PrivateDirectoriesOptions;
  readonly #byKey = new Map<string, PrivateDirectory>();

  constructor(options: PrivateDirectoriesOptions) {
    this.#options = options;
  }

  /** Made and locked in the transaction of its row, so that no collection finds it unlocked. */
  async begin(
    names: readonly string[],
    parentNumber?: number,
  ): Promise<{ readonly key: string; readonly number: number }> {
    const { database, directories, records } = this.#options;
    const key = `unpacking-${randomUUID()}`;
    const labels = { [UNPACKING_LABEL]: 'true' };
    const make = async (tx: Statements): Promise<number> => {
      const number = await records.insert(tx, { name: key, kind: 'active', parentNumber, labels });
      directories.create(number, names);
      const lock = directories.tryLock(number);
      if (lock === undefined)
        throw new LandfallError('IN_USE', `${directories.path(number)} is locked already`);
      try {
        this.#options.writeback?.begin();
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
    this.#options.writeback?.end();
    closeSync(directory.lock);
  }

  /** Whatever becomes of it, the directory is locked no more: what is left of it is a later collection's. */
  async abandon(key: string): Promise<void> {
    const { database, directories, records } = this.#options;
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
