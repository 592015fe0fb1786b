import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { resolve } from 'node:path';
import {
  type AdditionalStore,
  type ContentStore,
  DaemonPins,
  DiscardedBlobs,
  ManifestStore,
  type ImageCatalog,
  ImageStore,
  JoinedContentStore,
  JoinedImages,
  LeaseStore,
  LocalContentStore,
  openAdditionalStores,
  openLayout,
  putBackNotDurableBlobs,
  VerificationStore,
  withRootLocked,
} from '../content/index.js';
import { type Abortable, throwIfAborted } from '../errors.js';
import {
  mayHaveLost,
  hasNotDurable,
  IN_DOUBT,
  type MetadataDatabase,
  makeDurable,
} from '../metadata/index.js';
import { type UnpackLimits, unpackLimits } from '../spec/index.js';
import { bootId } from '../system/index.js';
import {
  type InflateChoice,
  type LayerSnapshotter,
  NativeSnapshotter,
  OverlaySnapshotter,
  trashNotDurableSnapshots,
  Unpacker,
  WorkerPool,
} from '../unpack/index.js';
import { defaultRoot } from './default-root.js';

/** How unpacked layers are kept: as the kernel's overlay wants them, or each as a whole directory tree. */
export type SnapshotterKind = 'overlay' | 'native';

/** How a store is opened. */
export interface StoreOptions extends Abortable {
  /**
   * Path of the store's root directory; made where it is missing. Default: {@link defaultRoot}, which is
   * that of the command.
   */
  readonly root?: string;
  /**
   * Roots of stores whose blobs, snapshots and images are used where they lie, the first that has a thing
   * counts; nothing is written below them.
   */
  readonly additionalRoots?: readonly string[];
  /** Default: overlay where the kernel has it, else native. */
  readonly snapshotter?: SnapshotterKind;
  /** Worker threads that unpack; default: one per core. */
  readonly workers?: number;
  /** Bounds on the layers that are unpacked; those that are not given are LIMITS of src/spec. */
  readonly limits?: Partial<UnpackLimits>;
  /** What inflates gzip layers; whether it is here is looked at when some are unpacked. Default `auto`. */
  readonly inflate?: InflateChoice;
  /**
   * What of each pull is on the disk when it is reported done. One for the whole store, as it is opened,
   * since blobs, database and snapshots are written by many hands for several pulls at once. Default
   * `full`.
   */
  readonly sync?: SyncMode;
  /** Called when something counts as lost, since the machine stopped before anybody had synced it. */
  readonly onLost?: (lost: LostContent) => void;
}

/** What a store consists of: for what works on it, and not for who only uses it. */
export interface StoreParts {
  readonly root: string;
  readonly database: MetadataDatabase;
  readonly content: ContentStore;
  /** The blobs below the root alone: for who collects, checks or counts them. */
  readonly localContent: LocalContentStore;
  readonly manifests: ManifestStore;
  /** The blobs that this store goes without, since their layers are snapshots. */
  readonly discarded: DiscardedBlobs;
  /** The names that this store gives, and that can be changed. */
  readonly images: ImageStore;
  readonly catalog: ImageCatalog;
  readonly daemonPins: DaemonPins;
  readonly additional: readonly AdditionalStore[];
  readonly leases: LeaseStore;
  /** Which images had the signatures that a policy asked for. */
  readonly verifications: VerificationStore;
  readonly snapshotter: LayerSnapshotter;
  readonly pool: WorkerPool;
  readonly sync: SyncMode;
}

/**
 * One image store on disk, opened: several may be open in one process, and several processes may use one
 * root.
 */
export interface Store extends AsyncDisposable {
  /** Absolute path. */
  readonly root: string;
  /** All blobs that can be used, those of additional stores included; what is written goes to the root. */
  readonly content: ContentStore;
  /** All names that can be used: its own, then those of additional stores. */
  readonly catalog: ImageCatalog;
  /** What unpacks layers of this store obeys them. */
  readonly limits: UnpackLimits;
  /** What inflates gzip layers. */
  readonly inflate: InflateChoice;
  /** What of each pull is on the disk when it is reported done. */
  readonly sync: SyncMode;
  /**
   * Ends what runs for the store and closes its files. To be called when nothing uses the store any more;
   * may be called twice.
   */
  close(): Promise<void>;
}

/**
 * Left out of the package's declarations, since it changes with what it is made of.
 *
 * @internal
 */
export interface Store extends StoreParts {
  readonly unpacker: Unpacker;
}

/**
 * Opens a store, or makes a new one where there is none: `await using store = await openStore()`. Whoever
 * opens it closes it.
 *
 * @throws
 * - {@link ContentError} FILESYSTEM (the root cannot be written), STORE_CORRUPT (its database is lost or
 *   damaged), LOCKED, NO_SPACE
 * - {@link LandfallError} UNSUPPORTED (a newer version of landfall wrote it), INVALID_CONFIG (an additional
 *   store cannot be used), ABORTED
 */
export async function openStore(options: StoreOptions = {}): Promise<Store> {
  const { sync = 'full', inflate = 'auto' } = options;
  const root = resolve(options.root ?? defaultRoot());
  const limits = unpackLimits(options.limits);
  // This boot's mark for what is not to be synced (src/metadata/database.ts).
  const notDurable = sync === 'full' ? undefined : bootId();
  const unsyncedBlobs = sync === 'none' ? notDurable : undefined;
  // All that can refuse an option comes before anything is opened that would stay open. No thread begins yet.
  const pool = new WorkerPool(options.workers === undefined ? {} : { size: options.workers });
  const Snapshots =
    (options.snapshotter ?? (await preferredSnapshotter())) === 'overlay'
      ? OverlaySnapshotter
      : NativeSnapshotter;
  throwIfAborted(options.signal);
  const database = await openLayout(root, { synced: sync === 'none' ? 'checkpoint' : 'transaction' });
  const additional = await prepareOpened(root, database, options).catch(async (error: unknown) => {
    await database.close();
    throw error;
  });
  const snapshotter = new Snapshots({ root, database, pool, additional, notDurable });
  const localContent = new LocalContentStore(root, database, { notDurable: unsyncedBlobs });
  const images = new ImageStore(root, database, { notDurable });
  const close = async (): Promise<void> => {
    await pool.close();
    await Promise.all([database, ...additional.map((other) => other.database)].map((one) => one.close()));
  };
  const manifests = new ManifestStore(database);
  return {
    root,
    database,
    content:
      additional.length === 0
        ? localContent
        : new JoinedContentStore(
            localContent,
            additional.map(({ content }) => content),
          ),
    localContent,
    manifests,
    discarded: new DiscardedBlobs({ root, database, manifests }),
    images,
    catalog: additional.length === 0 ? images : new JoinedImages(images, additional),
    daemonPins: new DaemonPins(database),
    additional,
    leases: new LeaseStore(database),
    verifications: new VerificationStore(database),
    snapshotter,
    pool,
    limits,
    inflate,
    sync,
    unpacker: new Unpacker({ snapshotter, pool, limits, inflate }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** What comes before anything is looked at in a store; gives the stores that are additional to it. */
async function prepareOpened(
  root: string,
  database: MetadataDatabase,
  { additionalRoots = [], onLost, signal }: StoreOptions,
): Promise<readonly AdditionalStore[]> {
  throwIfAborted(signal);
  const lost = await giveUpNotDurable(root, database);
  if (lost !== undefined) onLost?.(lost);
  return await openAdditionalStores(additionalRoots, root);
}

/** Overlay where the kernel has it or can load it; whether this user may mount it is another matter. */
export async function preferredSnapshotter(): Promise<SnapshotterKind> {
  const registered = await readFile('/proc/filesystems', 'utf8').catch(() => '');
  if (/\boverlay$/m.test(registered)) return 'overlay';
  const loadable = await readFile(`/lib/modules/${release()}/modules.dep`, 'utf8').catch(() => '');
  return loadable.includes('/overlay.ko') ? 'overlay' : 'native';
}

/**
 * What of a pull is on the disk when it is reported done, and so survives a power cut. `full`: all of it.
 * `blobs`: the blobs and what the database says, but not the snapshots, as containerd does it. `none`:
 * nothing for sure.
 *
 * Whatever it is, a cut leaves a database that is whole, and what it took is found and never shown: it
 * counts as lost in the next boot, and the next pull brings it again.
 */
export type SyncMode = 'full' | 'blobs' | 'none';

/**
 * Brings to the disk what is here because of others who did not, as far as a store's own mode promises it.
 * Call it before anything is reported that stands on what was here already.
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
  if (!(await hasNotDurable(database, sync === 'blobs' ? ['blobs'] : undefined))) return;
  await makeDurable(database, async () => {
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
 * Gives up what was written in another boot and never synced, since nobody knows whether it is whole. It is
 * the first thing that is done with a store in a boot, so nobody sees any of it. Undefined where there is
 * nothing of the kind.
 *
 * @throws those of the database; ContentError FILESYSTEM, NO_SPACE
 */
async function giveUpNotDurable(root: string, database: MetadataDatabase): Promise<LostContent | undefined> {
  const boot = bootId();
  if (!(await mayHaveLost(database, boot))) return undefined;
  return await withRootLocked(root, async () => {
    // Another process may have been faster.
    if (!(await mayHaveLost(database, boot))) return undefined;
    const blobs = await putBackNotDurableBlobs(root, database, boot);
    const snapshots = await trashNotDurableSnapshots(root, database, boot);
    await database.transaction(async (transaction) => {
      // They keep a mark: not even their absence is on the disk, and what takes their place need not be
      // more durable.
      await transaction.run(`UPDATE blobs SET unsynced = ?1 WHERE ${IN_DOUBT}`, [boot]);
      await transaction.run(`UPDATE snapshots SET unsynced = ?1, bytes = 0, inodes = 0 WHERE ${IN_DOUBT}`, [
        boot,
      ]);
    });
    return { blobs, snapshots };
  });
}
