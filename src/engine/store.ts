import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { ImageStore, LeaseStore, LocalContentStore, openLayout } from '../content/index.js';
import type { MetadataDatabase } from '../metadata/index.js';
import {
  type LayerSnapshotter,
  NativeSnapshotter,
  OverlaySnapshotter,
  Unpacker,
  WorkerPool,
} from '../unpack/index.js';

export type SnapshotterKind = 'overlay' | 'native';

export interface StoreOptions {
  /** Absolute path of the store's root directory; made where it is missing. */
  readonly root: string;
  /** Default: overlay where the kernel has it, else native. */
  readonly snapshotter?: SnapshotterKind;
  /** Worker threads that unpack; default: one per core. */
  readonly workers?: number;
}

/** One image store on disk, opened: several may be open in one process, and several processes may use one root. */
export interface Store extends AsyncDisposable {
  readonly root: string;
  readonly database: MetadataDatabase;
  readonly content: LocalContentStore;
  readonly images: ImageStore;
  readonly leases: LeaseStore;
  readonly snapshotter: LayerSnapshotter;
  readonly pool: WorkerPool;
  readonly unpacker: Unpacker;
  close(): Promise<void>;
}

/**
 * Opens a store, or makes a new one where there is none.
 * Errors: FILESYSTEM (the root cannot be written), STORE_CORRUPT (its database is lost or damaged), UNSUPPORTED
 * (a newer version of landfall wrote it), LOCKED.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { root } = options;
  const database = await openLayout(root);
  const pool = new WorkerPool(options.workers === undefined ? {} : { size: options.workers });
  const Snapshots =
    (options.snapshotter ?? (await preferredSnapshotter())) === 'overlay'
      ? OverlaySnapshotter
      : NativeSnapshotter;
  const snapshotter = new Snapshots({ root, database, pool });
  const close = async (): Promise<void> => {
    await pool.close();
    await database.close();
  };
  return {
    root,
    database,
    content: new LocalContentStore(root, database),
    images: new ImageStore(root, database),
    leases: new LeaseStore(database),
    snapshotter,
    pool,
    unpacker: new Unpacker({ snapshotter, pool }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Overlay where the kernel has it or can load it; whether this user may mount it is another matter. */
async function preferredSnapshotter(): Promise<SnapshotterKind> {
  const registered = await readFile('/proc/filesystems', 'utf8').catch(() => '');
  if (/\boverlay$/m.test(registered)) return 'overlay';
  const loadable = await readFile(`/lib/modules/${release()}/modules.dep`, 'utf8').catch(() => '');
  return loadable.includes('/overlay.ko') ? 'overlay' : 'native';
}
