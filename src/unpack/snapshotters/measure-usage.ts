import { lstat, readdir } from 'node:fs/promises';
import { systemCode } from '../../errors.js';
import type { Usage } from '../snapshotter.js';

const BLOCK = 512;

/** What a directory tree takes on the disk, itself included; a file with several links counts once. */
export async function measureUsage(directory: string): Promise<Usage> {
  const seen = new Set<string>();
  let inodes = 0;
  let size = 0;
  const waiting: Buffer[] = [Buffer.from(directory)];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const stat = await present(lstat(path, { bigint: true }));
    if (stat === undefined) continue;
    if (stat.isDirectory()) {
      for (const name of (await present(readdir(path, { encoding: 'buffer' }))) ?? []) {
        waiting.push(Buffer.concat([path, Buffer.from('/'), name]));
      }
    } else if (stat.nlink > 1n) {
      const key = `${stat.dev}:${stat.ino}`;
      if (seen.has(key)) continue;
      seen.add(key);
    }
    inodes += 1;
    size += Number(stat.blocks) * BLOCK;
  }
  return { inodes, size };
}

/** An active snapshot may change while it is measured. */
async function present<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}
