import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { listPartials } from '../content/index.js';
import { type Abortable, systemCode } from '../errors.js';
import { integerOf } from '../metadata/index.js';
import { collectGarbage } from './collect-garbage.js';
import type { Store } from './store.js';

/** Bytes, and how many things they are. */
export interface UsageOf {
  readonly count: number;
  readonly bytes: number;
  /** What a collection would free of it. */
  readonly reclaimable: number;
}

export interface DiskUsage {
  readonly root: string;
  readonly blobs: UsageOf;
  readonly snapshots: UsageOf;
  /** Downloads that did not end. */
  readonly partials: UsageOf;
  readonly database: { readonly bytes: number };
  /** What a repair put aside; nobody removes it but a person. */
  readonly quarantine: { readonly count: number; readonly bytes: number };
  /** Bytes of all above. */
  readonly total: number;
  readonly reclaimable: number;
  /** Of the file system that holds the store, in bytes. */
  readonly freeBytes: number;
  readonly capacityBytes: number;
}

/** What a store takes on the disk, and what a collection with its defaults would free. Errors: those of reading the store. */
export async function diskUsage(store: Store, o: Abortable = {}): Promise<DiskUsage> {
  const { root, database, snapshotter } = store;
  const garbage = await collectGarbage(store, { dryRun: true, signal: o.signal });
  const stored = await database.get('SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes FROM blobs');
  const partialBlobs = await listPartials(root);
  const expired = new Set(garbage.partials);
  const sweptBlobs = sum(garbage.blobs.map(({ size }) => size));
  const expiredBytes = sum(
    partialBlobs.filter(({ digest }) => expired.has(digest)).map(({ bytes }) => bytes),
  );
  const blobs = {
    count: stored === undefined ? 0 : integerOf(stored, 'count'),
    bytes: stored === undefined ? 0 : integerOf(stored, 'bytes'),
    reclaimable: sweptBlobs,
  };
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
