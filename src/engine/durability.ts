import { putBackDoubtfulBlobs, withRootLocked } from '../content/index.js';
import {
  hasDoubtful,
  hasUnsynced,
  IN_DOUBT,
  type MetadataDatabase,
  type OpenDatabaseOptions,
  settleUnsynced,
} from '../metadata/index.js';
import { bootId } from '../system/index.js';
import { putAwayDoubtfulSnapshots } from '../unpack/index.js';
import type { StoreParts } from './store.js';

/**
 * What of a pull is on the disk when it is reported done, and so survives a power cut. `full`: all of it. `blobs`: the blobs
 * and what the database says, but not the snapshots, as containerd does it. `none`: nothing for sure.
 *
 * Whatever it is, a cut leaves a database that is whole, and what it took is found and never shown: it counts as lost in the
 * next boot, and the next pull brings it again.
 */
export type SyncMode = 'full' | 'blobs' | 'none';

/** What that means for each part of a store: this boot's mark for what is not to be synced (src/metadata/unsynced.ts). */
export interface Durability {
  readonly blobs: string | undefined;
  readonly snapshots: string | undefined;
  /** Of `index.json`. */
  readonly index: string | undefined;
  readonly database: NonNullable<OpenDatabaseOptions['synced']>;
}

export function durabilityOf(mode: SyncMode): Durability {
  switch (mode) {
    case 'full':
      return { blobs: undefined, snapshots: undefined, index: undefined, database: 'transaction' };
    case 'blobs':
      return { blobs: undefined, snapshots: bootId(), index: bootId(), database: 'transaction' };
    case 'none':
      return { blobs: bootId(), snapshots: bootId(), index: bootId(), database: 'checkpoint' };
  }
}

/**
 * Brings to the disk what is here because of others who did not, as far as a store's own mode promises it. Call it before
 * anything is reported that stands on what was here already.
 *
 * @throws those of the database; UnpackError FILESYSTEM
 */
export async function settleStore({
  root,
  database,
  pool,
  sync,
}: Pick<StoreParts, 'root' | 'database' | 'pool' | 'sync'>): Promise<void> {
  if (sync === 'none') return;
  if (!(await hasUnsynced(database, sync === 'blobs' ? ['blobs'] : undefined))) return;
  await settleUnsynced(database, async () => {
    await pool.run({ kind: 'sync', directory: root });
  });
}

/** What a power cut may have taken, and so counts as lost. */
export interface LostContent {
  /** How many. */
  readonly blobs: number;
  /** How many. */
  readonly snapshots: number;
}

/**
 * Gives up what was written in another boot and never synced, since nobody knows whether it is whole. It is the first thing
 * that is done with a store in a boot, so nobody sees any of it. Undefined where there is nothing of the kind.
 *
 * @throws those of the database; ContentError FILESYSTEM, NO_SPACE
 */
export async function giveUpDoubtful(
  root: string,
  database: MetadataDatabase,
): Promise<LostContent | undefined> {
  const boot = bootId();
  if (!(await hasDoubtful(database, boot))) return undefined;
  return await withRootLocked(root, async () => {
    // Another process may have been faster.
    if (!(await hasDoubtful(database, boot))) return undefined;
    const blobs = await putBackDoubtfulBlobs(root, database, boot);
    const snapshots = await putAwayDoubtfulSnapshots(root, database, boot);
    await database.transaction(async (transaction) => {
      // They keep a mark: not even their absence is on the disk, and what takes their place need not be more durable.
      await transaction.run(`UPDATE blobs SET unsynced = ?1 WHERE ${IN_DOUBT}`, [boot]);
      await transaction.run(`UPDATE snapshots SET unsynced = ?1, bytes = 0, inodes = 0 WHERE ${IN_DOUBT}`, [
        boot,
      ]);
    });
    return { blobs, snapshots };
  });
}
