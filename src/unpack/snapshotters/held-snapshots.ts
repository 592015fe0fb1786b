import { LandfallError } from '../../errors.js';
import type { MetadataDatabase } from '../../metadata/index.js';
import type { Digest } from '../../spec/index.js';
import type { HoldChainOptions } from '../layer-snapshotter.js';
import type { SnapshotInfo } from '../snapshotter.js';
import {
  holderIn,
  infoOf,
  labelsFor,
  snapshotNotFound,
  type SnapshotRecord,
  type SnapshotRecords,
  unheld,
} from './snapshot-records.js';
import type { SnapshotDirectories } from './snapshot-directories.js';

interface HeldSnapshotsOptions {
  readonly database: MetadataDatabase;
  readonly directories: SnapshotDirectories;
  readonly records: SnapshotRecords;
}

/** What other programs hold of a snapshotter's snapshots. A chain is also everybody else's, so it is only let go of. */
export class HeldSnapshots {
  readonly #options: HeldSnapshotsOptions;

  constructor(options: HeldSnapshotsOptions) {
    this.#options = options;
  }

  async hold(
    chainId: Digest,
    { by, parent, labels, image }: HoldChainOptions,
  ): Promise<SnapshotInfo | undefined> {
    const { database, directories, records } = this.#options;
    const added = labelsFor({ labels, heldBy: by, image });
    for (;;) {
      const record = await records.findChain(database, chainId);
      if (record === undefined || record.parent !== parent || !directories.exists(record.number))
        return undefined;
      const labels = { ...record.labels, ...added };
      // Whoever asks for a container's layers once more finds all of it as it is, and waits for no writer.
      if (has(record, added) || (await records.changeLabels(database, record, labels)))
        return infoOf({ ...record, labels });
    }
  }

  /** @returns the chains that it stood for, of which the holder has let go; undefined where it is the holder's own */
  async letGoOfChain(name: string, by: string): Promise<readonly Digest[] | undefined> {
    const { database, records } = this.#options;
    return await database.transaction(async (tx) => {
      const record = await records.find(tx, name);
      // To a program that does not hold it, it is not there.
      if (record === undefined || holderIn(record.labels) !== by) throw snapshotNotFound(name);
      const chains = await records.chainsOf(tx, record.number);
      if (chains.length === 0) return undefined;
      if (await records.hasChildrenOf(tx, record.number, by)) throw hasChildren(name);
      await records.setLabels(tx, record.number, unheld(record.labels));
      return chains;
    });
  }
}

/** A snapshot that cannot go yet. */
export function hasChildren(name: string): LandfallError {
  return new LandfallError('IN_USE', `cannot remove snapshot ${name}, which is the parent of others`, {
    hint: 'Remove those first.',
  });
}

function has(record: SnapshotRecord, labels: SnapshotRecord['labels']): boolean {
  return Object.entries(labels).every(([label, value]) => record.labels[label] === value);
}
