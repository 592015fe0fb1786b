import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

const PIECE = Buffer.alloc(1 << 20, 'landfall');

/**
 * How many bytes a second reach the disk of a directory: so many are written to a new file and synced, one
 * after the other.
 */
export async function diskBytesPerSecond(directory: string, bytes: number): Promise<number> {
  const path = join(directory, 'disk-speed');
  const begun = performance.now();
  try {
    await using file = await open(path, 'wx');
    for (let at = 0; at < bytes; at += PIECE.length) await file.write(PIECE);
    await file.sync();
    return (bytes * 1000) / (performance.now() - begun);
  } finally {
    await rm(path, { force: true });
  }
}
