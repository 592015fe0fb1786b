import { closeSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { type Abortable, systemCode, throwIfAborted } from '../../errors.js';
import { integerOf, type MetadataDatabase } from '../../metadata/index.js';
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_PATH, openat, procFdPath } from '../../system/index.js';
import type { Usage } from '../snapshotter.js';
import type { SnapshotDirectories } from './snapshot-directories.js';

const BLOCK = 512;

/** What a directory tree takes on the disk, itself included; a file with several links counts once. */
export async function measureUsage(directory: string): Promise<Usage> {
  using paths = new LongPaths();
  const seen = new Set<string>();
  let inodes = 0;
  let size = 0;
  const waiting = [paths.start(Buffer.from(directory))];
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    const path = place.path;
    const stat = await present(lstat(path, { bigint: true }));
    if (stat?.isDirectory() === true) {
      const inside = readdir(path, { encoding: 'buffer' }).then((names) => paths.below(place, names));
      for (const one of (await present(inside)) ?? []) waiting.push(one);
    }
    paths.leave(place);
    if (stat === undefined) continue;
    if (!stat.isDirectory() && stat.nlink > 1n) {
      const key = `${stat.dev}:${stat.ino}`;
      if (seen.has(key)) continue;
      seen.add(key);
    }
    inodes += 1;
    size += Number(stat.blocks) * BLOCK;
  }
  return { inodes, size };
}

/** An active snapshot may change while it is measured, and what its owner may not read, nobody counts. */
async function present<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (UNREADABLE.has(systemCode(error))) return undefined;
    throw error;
  }
}

const UNREADABLE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'EACCES']);

/** What all snapshots take, those that are written to as they are at this moment. */
export async function snapshotsUsage(
  database: MetadataDatabase,
  directories: SnapshotDirectories,
): Promise<{ count: number; bytes: number }> {
  await measureCommitted(database, directories);
  const row = await database.get(
    `SELECT count(*) AS count, coalesce(sum(bytes), 0) AS bytes FROM snapshots WHERE kind = 'committed'`,
  );
  let count = row === undefined ? 0 : integerOf(row, 'count');
  let bytes = row === undefined ? 0 : integerOf(row, 'bytes');
  for (const other of await database.all(`SELECT id FROM snapshots WHERE kind <> 'committed'`)) {
    count += 1;
    bytes += (await measureUsage(directories.path(integerOf(other, 'id')))).size;
  }
  return { count, bytes };
}

/**
 * Measures what was committed since the last time. It is not done at the commit: a walk over thousands of
 * files would make every pull slower.
 */
export async function measureCommitted(
  database: MetadataDatabase,
  directories: SnapshotDirectories,
  o: Abortable = {},
): Promise<void> {
  // A snapshot has at least its root, so no inodes mean that nobody has counted them.
  const rows = await database.all(`SELECT id FROM snapshots WHERE kind = 'committed' AND inodes = 0`);
  if (rows.length === 0) return;
  const measured: (readonly [number: number, usage: Usage])[] = [];
  for (const number of rows.map((row) => integerOf(row, 'id'))) {
    throwIfAborted(o.signal);
    const usage = await measureUsage(directories.content(number));
    if (usage.inodes > 0) measured.push([number, usage]);
  }
  await database.transaction(async (transaction) => {
    for (const [number, { inodes, size }] of measured) {
      await transaction.run('UPDATE snapshots SET bytes = ?, inodes = ? WHERE id = ?', [
        size,
        inodes,
        number,
      ]);
    }
  });
}

/** Longer paths go on from an open directory; the kernel takes 4095 bytes, of which a name may be 255. */
const LONGEST = 2048;

/** An open directory, and how many places are reached from it. */
interface Base {
  readonly fd: number;
  places: number;
}

/** A file, by a path that the kernel takes. */
export interface LongPlace {
  readonly path: Buffer;
  readonly base: Base | undefined;
}

/** Paths of a tree of any depth, for a walk that leaves each place once. */
class LongPaths implements Disposable {
  readonly #bases = new Set<Base>();

  /** @param path - absolute */
  start(path: Buffer): LongPlace {
    return { path, base: undefined };
  }

  /**
   * The places of names in a directory.
   *
   * @throws SystemError
   */
  below(directory: LongPlace, names: readonly Buffer[]): LongPlace[] {
    const { path, base } = directory.path.length > LONGEST ? this.#rebase(directory) : directory;
    if (base !== undefined) base.places += names.length;
    const places = names.map((name) => ({ path: Buffer.concat([path, Buffer.from('/'), name]), base }));
    this.#closeUnused(base);
    return places;
  }

  leave({ base }: LongPlace): void {
    if (base === undefined) return;
    base.places -= 1;
    this.#closeUnused(base);
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#bases) closeSync(fd);
    this.#bases.clear();
  }

  #rebase({ path }: LongPlace): LongPlace {
    const fd = openat(AT_FDCWD, path.toString('latin1'), O_PATH | O_DIRECTORY | O_NOFOLLOW);
    const base = { fd, places: 0 };
    this.#bases.add(base);
    return { path: Buffer.from(procFdPath(fd)), base };
  }

  #closeUnused(base: Base | undefined): void {
    if (base === undefined || base.places > 0 || !this.#bases.delete(base)) return;
    closeSync(base.fd);
  }
}
