import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { MetadataDatabase } from '../../src/metadata/index.js';
import { digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import {
  NativeSnapshotter,
  OverlaySnapshotter,
  Unpacker,
  WorkerPool,
  type LayerInput,
  type LayerSource,
} from '../../src/unpack/index.js';
import { removeDirectory } from '../../src/unpack/snapshotters/remove-directory.js';

/** `userxattr` is overlay as it is without privileges; who has none gets no other. */
export type SnapshotterKind = 'overlay' | 'userxattr' | 'native';

/** Snapshots in a temporary root of their own, with all that they need. */
export interface SnapshotFixture extends AsyncDisposable {
  readonly root: string;
  readonly database: MetadataDatabase;
  readonly pool: WorkerPool;
  readonly snapshotter: OverlaySnapshotter | NativeSnapshotter;
  readonly unpacker: Unpacker;
  /** A second snapshotter over the same root, as another process would have it. */
  reopen(): Promise<SnapshotFixture>;
  /** A layer of this archive, whose gzipped blob lies in the root. */
  layer(tar: Buffer, change?: Partial<LayerInput>): Promise<LayerInput>;
  /** What lies below `snapshots/`. */
  directories(): Promise<string[]>;
}

export async function createSnapshots(kind: SnapshotterKind): Promise<SnapshotFixture> {
  const root = await mkdtemp(join(tmpdir(), 'landfall-snapshots-'));
  return await openSnapshots(kind, root, () => removeTree(root));
}

async function openSnapshots(
  kind: SnapshotterKind,
  root: string,
  dispose: () => Promise<void>,
): Promise<SnapshotFixture> {
  const database = await MetadataDatabase.open(join(root, 'metadata.db'));
  const pool = new WorkerPool({ size: 2 });
  const options = { root, database, pool };
  const snapshotter =
    kind === 'native'
      ? new NativeSnapshotter(options)
      : new OverlaySnapshotter({ ...options, ...(kind === 'userxattr' ? { userxattr: true } : {}) });
  return {
    root,
    database,
    pool,
    snapshotter,
    unpacker: new Unpacker({ snapshotter, pool }),
    reopen: () => openSnapshots(kind, root, () => Promise.resolve()),
    layer: (tar, change) => layerInput(root, tar, change),
    directories: async () => (await readdir(join(root, 'snapshots')).catch(() => [])).sort(),
    [Symbol.asyncDispose]: async () => {
      await pool.close();
      await database.close();
      await dispose();
    },
  };
}

export async function layerInput(
  directory: string,
  tar: Buffer,
  change: Partial<LayerInput> = {},
): Promise<LayerInput> {
  const blob = gzipSync(tar);
  const path = join(directory, `blob-${randomUUID()}`);
  await writeFile(path, blob);
  return {
    descriptor: { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(blob), size: blob.length },
    diffId: digestOf(tar),
    open: (): Promise<LayerSource> => Promise.resolve({ path, verified: Promise.resolve() }),
    ...change,
  };
}

/**
 * Removes a temporary tree whose directories may have any mode. Nothing is ever mounted below one outside a
 * child's namespace.
 */
export function removeTree(path: string): Promise<void> {
  return removeDirectory(path);
}
