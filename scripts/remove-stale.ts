import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Removes what the compiler made of sources that are no more: it never does, and all that lies there becomes
 * part of the package.
 *
 * @param made what the compiler wrote @param sources what it was made of
 * @returns the files that are gone, relative to `made`
 */
export async function removeStale(made: string, sources: string): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const name of await readdir(made, { recursive: true })) {
    const stem = /^(.*?)\.(?:js|js\.map|d\.ts)$/.exec(name)?.[1];
    if (stem === undefined || (await exists(join(sources, `${stem}.ts`)))) continue;
    await rm(join(made, name));
    removed.push(name);
  }
  return removed.sort();
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
