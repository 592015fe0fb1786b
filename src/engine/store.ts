import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { resolve } from 'node:path';
import {
  type AdditionalStore,
  type ContentStore,
  DocumentStore,
  type ImageCatalog,
  ImageStore,
  JoinedContentStore,
  JoinedImages,
  LeaseStore,
  LocalContentStore,
  openAdditionalStores,
  openLayout,
  VerificationStore,
} from '../content/index.js';
import { type Abortable, throwIfAborted } from '../errors.js';
import type { MetadataDatabase } from '../metadata/index.js';
import { type UnpackLimits, unpackLimits } from '../spec/index.js';
import {
  type InflateChoice,
  type LayerSnapshotter,
  NativeSnapshotter,
  OverlaySnapshotter,
  Unpacker,
  WorkerPool,
} from '../unpack/index.js';

import { defaultRoot } from './default-root.js';
import { durabilityOf, giveUpDoubtful, type LostContent, type SyncMode } from './durability.js';

/** How unpacked layers are kept: as the kernel's overlay wants them, or each as a whole directory tree. */
export type SnapshotterKind = 'overlay' | 'native';

/** How a store is opened. */
export interface StoreOptions extends Abortable {
  /** Path of the store's root directory; made where it is missing. Default: {@link defaultRoot}, which is that of the command. */
  readonly root?: string;
  /**
   * Roots of stores whose blobs, snapshots and images are used where they lie, the first that has a thing counts; nothing is
   * written below them.
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
   * What of each pull is on the disk when it is reported done. One for the whole store, as it is opened, since blobs, database
   * and snapshots are written by many hands for several pulls at once. Default `full`.
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
  readonly documents: DocumentStore;
  /** The names that this store gives, and that can be changed. */
  readonly images: ImageStore;
  readonly catalog: ImageCatalog;
  readonly additional: readonly AdditionalStore[];
  readonly leases: LeaseStore;
  /** Which images had the signatures that a policy asked for. */
  readonly verifications: VerificationStore;
  readonly snapshotter: LayerSnapshotter;
  readonly pool: WorkerPool;
  readonly sync: SyncMode;
}

/** One image store on disk, opened: several may be open in one process, and several processes may use one root. */
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
  /** Ends what runs for the store and closes its files. To be called when nothing uses the store any more; may be called twice. */
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
 * Opens a store, or makes a new one where there is none: `await using store = await openStore()`. Whoever opens it closes it.
 *
 * @throws
 * - {@link ContentError} FILESYSTEM (the root cannot be written), STORE_CORRUPT (its database is lost or damaged), LOCKED, NO_SPACE
 * - {@link LandfallError} UNSUPPORTED (a newer version of landfall wrote it), INVALID_CONFIG (an additional store cannot be used), ABORTED
 */
export async function openStore(options: StoreOptions = {}): Promise<Store> {
  const { sync = 'full', inflate = 'auto' } = options;
  const root = resolve(options.root ?? defaultRoot());
  const limits = unpackLimits(options.limits);
  const durability = durabilityOf(sync);
  // All that can refuse an option comes before anything is opened that would stay open. No thread begins yet.
  const pool = new WorkerPool(options.workers === undefined ? {} : { size: options.workers });
  const Snapshots =
    (options.snapshotter ?? (await preferredSnapshotter())) === 'overlay'
      ? OverlaySnapshotter
      : NativeSnapshotter;
  throwIfAborted(options.signal);
  const database = await openLayout(root, { synced: durability.database });
  const additional = await prepareOpened(root, database, options).catch(async (error: unknown) => {
    await database.close();
    throw error;
  });
  const snapshotter = new Snapshots({ root, database, pool, additional, unsynced: durability.snapshots });
  const localContent = new LocalContentStore(root, database, { unsynced: durability.blobs });
  const images = new ImageStore(root, database, { unsynced: durability.index });
  const close = async (): Promise<void> => {
    await pool.close();
    await Promise.all([database, ...additional.map((other) => other.database)].map((one) => one.close()));
  };
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
    documents: new DocumentStore(database),
    images,
    catalog: additional.length === 0 ? images : new JoinedImages(images, additional),
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
  const lost = await giveUpDoubtful(root, database);
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
