import { type Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Abortable, systemCode, throwIfAborted } from '../../errors.js';
import { type Digest, isDigest } from '../../spec/index.js';
import type { SnapshotDirectories } from './snapshot-directories.js';
import { readSnapshotFile } from './snapshot-file.js';
import type { SnapshotRecord } from './snapshot-records.js';

/** Which chain of layers a snapshot holds. */
export interface SnapshotChain {
  readonly chainId: Digest;
  readonly diffId: Digest;
}

/** A row of a database that was lost or damaged. */
export interface OldSnapshot extends SnapshotRecord {
  readonly snapshotter: string;
  readonly chain?: SnapshotChain;
}

/** What `snapshot.json` says. */
export interface DescribedSnapshot {
  readonly name: string;
  readonly parent: string | undefined;
  readonly chainId: Digest | undefined;
  readonly diffId: Digest | undefined;
  readonly snapshotter: string;
  /** The boot in which it was written, where it was not synced before it was committed. */
  readonly unsynced: string | undefined;
}

/** A directory of a snapshot, and what is known of it. */
export interface FoundSnapshot {
  readonly number: number;
  /** Where it has one: it was committed, or was about to be. */
  readonly file: DescribedSnapshot | undefined;
  readonly old: OldSnapshot | undefined;
  /** Nobody has written anything into it. */
  readonly isEmpty: boolean;
  /** Microseconds since 1970. */
  readonly updatedAt: number;
}

/** Where overlayfs keeps what it is about to do: no content. */
const WORK = 'work';

/** The directories below `snapshots/`, in order of their numbers. */
export async function findSnapshots(
  directories: SnapshotDirectories,
  old: ReadonlyMap<number, OldSnapshot>,
  o: Abortable,
): Promise<readonly FoundSnapshot[]> {
  const { numbers } = await directories.list();
  const found: FoundSnapshot[] = [];
  for (const number of numbers.sort((a, b) => a - b)) {
    throwIfAborted(o.signal);
    const path = directories.path(number);
    const entries = await readdir(path, { withFileTypes: true }).catch(unlessDirectory);
    if (entries === undefined) continue;
    found.push({
      number,
      file: await describedBy(path, entries),
      old: old.get(number),
      isEmpty: await isEmpty(path, entries),
      updatedAt: Math.floor((await stat(path)).mtimeMs * 1000),
    });
  }
  return found;
}

function unlessDirectory(error: unknown): undefined {
  if (systemCode(error) === 'ENOTDIR') return undefined;
  throw error;
}

async function describedBy(path: string, entries: readonly Dirent[]): Promise<DescribedSnapshot | undefined> {
  const { name, parent, chainId, diffId, snapshotter, unsynced } = (await readSnapshotFile(path)) ?? {};
  if (typeof name !== 'string' || name === '') return undefined;
  if (typeof parent !== 'string' && parent !== null) return undefined;
  const isChain = isDigest(chainId) && isDigest(diffId);
  if (!isChain && (chainId !== undefined || diffId !== undefined)) return undefined;
  return {
    name,
    parent: parent ?? undefined,
    chainId: isChain ? chainId : undefined,
    diffId: isChain ? diffId : undefined,
    unsynced: typeof unsynced === 'string' ? unsynced : undefined,
    // Older programs did not write it. Only overlayfs needs a place to work in.
    snapshotter:
      typeof snapshotter === 'string' ? snapshotter : entries.some((entry) => entry.name === WORK) ? 'overlay' : 'native',
  }; // prettier-ignore
}

async function isEmpty(path: string, entries: readonly Dirent[]): Promise<boolean> {
  for (const entry of entries) {
    if (!entry.isDirectory() || entry.name === WORK) continue;
    if ((await readdir(join(path, entry.name))).length > 0) return false;
  }
  return true;
}
