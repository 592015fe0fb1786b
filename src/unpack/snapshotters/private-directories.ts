import { randomUUID } from 'node:crypto';
import { closeSync } from 'node:fs';
import { LandfallError } from '../../errors.js';
import type { MetadataDatabase } from '../../metadata/index.js';
import type { SnapshotDirectories } from './snapshot-directories.js';
import { type SnapshotRecords, UNPACKING_LABEL } from './snapshot-records.js';

/** A directory that this process fills, and the lock that says so to others. */
interface PrivateDirectory {
  readonly number: number;
  readonly lock: number;
}

interface Place {
  readonly database: MetadataDatabase;
  readonly directories: SnapshotDirectories;
  readonly records: SnapshotRecords;
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
    const number = await database.transaction(async (tx) => {
      const inserted = await records.insert(tx, { name: key, kind: 'active', parentNumber, labels });
      directories.create(inserted, names);
      const lock = directories.tryLock(inserted);
      if (lock === undefined)
        throw new LandfallError('IN_USE', `${directories.path(inserted)} is locked already`);
      this.#byKey.set(key, { number: inserted, lock });
      return inserted;
    });
    return { key, number };
  }

  numberOf(key: string): number | undefined {
    return this.#byKey.get(key)?.number;
  }

  /** Gives up the lock of a directory that is private no more. */
  release(key: string): void {
    const directory = this.#byKey.get(key);
    if (directory === undefined) return;
    this.#byKey.delete(key);
    closeSync(directory.lock);
  }

  async abandon(key: string): Promise<void> {
    const { database, directories, records } = this.#place;
    const directory = this.#byKey.get(key);
    if (directory === undefined) return;
    // First what takes space: on a full disk, the database has none to write to before.
    const away = directories.discard(directory.number);
    if (away !== undefined) await directories.sweep(away);
    await database.transaction((tx) => records.delete(tx, directory.number));
    this.release(key);
  }
}
