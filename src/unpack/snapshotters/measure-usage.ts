import { lstat, readdir } from 'node:fs/promises';
import { systemCode } from '../../errors.js';
import type { Usage } from '../snapshotter.js';
import { LongPaths } from './long-paths.js';

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
