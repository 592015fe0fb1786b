import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { listPartials } from '../../content/index.js';
import { type Abortable, systemCode } from '../../errors.js';
import { integerOf } from '../../metadata/index.js';
import { collectGarbage } from './collect-garbage.js';
import type { Store, StoreParts } from '../store.js';

/** Bytes, and how many things they are. */
export interface UsageOf {
  /** How many things. */
  readonly count: number;
  /** Bytes of all of them. */
  readonly bytes: number;
  /** Bytes of it that a collection would free. */
  readonly reclaimable: number;
}

/** What a store takes on the disk. */
export interface DiskUsage {
  /** Absolute path. */
  readonly root: string;
  /** Downloaded content. */
  readonly blobs: UsageOf;
  /** Unpacked layers. */
  readonly snapshots: UsageOf;
  /** Downloads that did not end. */
  readonly partials: UsageOf;
  /** Of SQLite's files and their backups. */
  readonly database: {
    /** On the disk. */
    readonly bytes: number;
  };
  /** Damaged files that a repair replaced; only a person removes them. */
  readonly quarantine: {
    /** How many things. */
    readonly count: number;
    /** On the disk. */
    readonly bytes: number;
  };
  /** Bytes of all above. */
  readonly total: number;
  /** Bytes that a collection with its defaults would free. */
  readonly reclaimable: number;
  /** Of the file system that holds the store, in bytes. */
  readonly freeBytes: number;
  /** Of the same file system, in bytes. */
  readonly capacityBytes: number;
}

/** What a store has on record of what it takes. */
export interface RecordedUsage {
  readonly blobs: { readonly count: number; readonly bytes: number };
  /** Those that were measured, which each is soon after its pull. */
  readonly snapshots: { readonly bytes: number; readonly inodes: number };
}

const RECORDED = `
SELECT
  (SELECT count(*) FROM blobs) AS blobs,
  (SELECT coalesce(sum(size), 0) FROM blobs) AS blobBytes,
  (SELECT coalesce(sum(bytes), 0) FROM snapshots) AS snapshotBytes,
  (SELECT coalesce(sum(inodes), 0) FROM snapshots) AS snapshotInodes`;

/** What blobs and unpacked layers take, by the database alone: at once, however large the store is. */
export async function recordedUsage({ database }: Pick<StoreParts, 'database'>): Promise<RecordedUsage> {
  const row = (await database.get(RECORDED)) ?? {};
  return {
    blobs: { count: integerOf(row, 'blobs'), bytes: integerOf(row, 'blobBytes') },
    snapshots: { bytes: integerOf(row, 'snapshotBytes'), inodes: integerOf(row, 'snapshotInodes') },
  };
}

/**
 * What a store takes on the disk, and what a collection with its defaults would free.
 *
 * @throws {@link ContentError} FILESYSTEM, STORE_CORRUPT; {@link LandfallError} ABORTED
 */
export async function diskUsage(store: Store, o: Abortable = {}): Promise<DiskUsage> {
  const { root, snapshotter } = store;
  const garbage = await collectGarbage(store, { dryRun: true, signal: o.signal });
  const partialBlobs = await listPartials(root);
  const expired = new Set(garbage.partials);
  const sweptBlobs = sum(garbage.blobs.map(({ size }) => size));
  const expiredBytes = sum(
    partialBlobs.filter(({ digest }) => expired.has(digest)).map(({ bytes }) => bytes),
  );
  const blobs = { ...(await recordedUsage(store)).blobs, reclaimable: sweptBlobs };
  const snapshots = {
    ...(await snapshotter.diskUsage()),
    reclaimable: garbage.freed - sweptBlobs - expiredBytes,
  };
  const partials = {
    count: partialBlobs.length,
    bytes: sum(partialBlobs.map(({ bytes }) => bytes)),
    reclaimable: expiredBytes,
  };
  const files = { bytes: await databaseBytes(root) };
  const quarantine = await treeUsage(join(root, 'quarantine'));
  const { bavail, blocks, bsize } = await statfs(root);
  return {
    root,
    blobs,
    snapshots,
    partials,
    database: files,
    quarantine,
    total: blobs.bytes + snapshots.bytes + partials.bytes + files.bytes + quarantine.bytes,
    reclaimable: garbage.freed,
    freeBytes: bavail * bsize,
    capacityBytes: blocks * bsize,
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** With what SQLite keeps beside it, and its backups. */
async function databaseBytes(root: string): Promise<number> {
  const names = (await readdir(root)).filter((name) => name.startsWith('metadata.db'));
  return sum(await Promise.all(names.map(async (name) => (await sizeOf(join(root, name))) ?? 0)));
}

async function treeUsage(directory: string): Promise<{ count: number; bytes: number }> {
  const names = await readdir(directory, { recursive: true }).catch(emptyIfMissing);
  const sizes = await Promise.all(names.map((name) => sizeOf(join(directory, name))));
  return {
    count: (await readdir(directory).catch(emptyIfMissing)).length,
    bytes: sum(sizes.map((size) => size ?? 0)),
  };
}

function emptyIfMissing(error: unknown): string[] {
  if (systemCode(error) === 'ENOENT') return [];
  throw error;
}

async function sizeOf(path: string): Promise<number | undefined> {
  const file = await stat(path).catch(() => undefined);
  return file?.isFile() === true ? file.size : undefined;
}
