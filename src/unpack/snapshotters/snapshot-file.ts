import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../spec/index.js';

/** What a committed snapshot says of itself beside its content, so that the database can be rebuilt from the disk. */
export interface SnapshotFile {
  readonly name: string;
  readonly parent?: string;
  /** Only where landfall verified the content. */
  readonly chainId?: Digest;
  readonly diffId?: Digest;
}

/** Writes `snapshot.json` into a snapshot's directory. It is not synced here: the content beside it is not either. */
export async function writeSnapshotFile(directory: string, file: SnapshotFile): Promise<void> {
  const { name, parent, chainId, diffId } = file;
  const text = JSON.stringify({ name, parent: parent ?? null, chainId, diffId }, undefined, 2);
  await writeFile(join(directory, 'snapshot.json'), `${text}\n`);
}
