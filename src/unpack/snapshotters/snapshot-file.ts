import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../spec/index.js';

/** What a committed snapshot says of itself beside its content, so that the database can be rebuilt from the disk. */
export interface SnapshotFile {
  readonly name: string;
  readonly parent?: string | undefined;
  /** The kind of snapshotter that made it; absent in what older programs wrote. */
  readonly snapshotter?: string;
  /** Only where landfall verified the content. */
  readonly chainId?: Digest | undefined;
  readonly diffId?: Digest | undefined;
  /** The boot in which the content was written, where it was not synced before it was committed. */
  readonly unsynced?: string | undefined;
}

const NAME = 'snapshot.json';

/** Writes `snapshot.json` into a snapshot's directory. It is not synced here: the content beside it is not either. */
export async function writeSnapshotFile(directory: string, file: SnapshotFile): Promise<void> {
  await writeFile(join(directory, NAME), textOf(file));
}

/** The same, for a directory whose content is on the disk already. */
export async function rewriteSnapshotFile(directory: string, file: SnapshotFile): Promise<void> {
  const handle = await open(join(directory, NAME), 'w');
  try {
    await handle.writeFile(textOf(file));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What `snapshot.json` says, as far as it is a JSON object; undefined where it is none or cannot be read. */
export async function readSnapshotFile(
  directory: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const value = JSON.parse(await readFile(join(directory, NAME), 'utf8')) as unknown;
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function textOf({ name, parent, snapshotter, chainId, diffId, unsynced }: SnapshotFile): string {
  const file = { name, parent: parent ?? null, snapshotter, chainId, diffId, unsynced };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}
