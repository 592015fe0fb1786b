import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type MountNamespace, outputAt } from './mount-namespace.js';

export type DiskType = 'btrfs' | 'ext4' | 'xfs';

interface Maker {
  readonly command: string;
  readonly options: readonly string[];
  /** Bytes of the disk: near the smallest that it takes. */
  readonly size: number;
}

/** How each file system is made without a word. */
const MAKERS: Readonly<Record<DiskType, Maker>> = {
  btrfs: { command: 'mkfs.btrfs', options: ['-q', '-f'], size: 256 << 20 },
  ext4: { command: 'mkfs.ext4', options: ['-q', '-F', '-E', 'nodiscard'], size: 256 << 20 },
  xfs: { command: 'mkfs.xfs', options: ['-q', '-f'], size: 320 << 20 },
};

/**
 * Mounts a new file system of this type in a namespace, with which it goes; only what is written to it takes
 * memory.
 *
 * @returns where it is mounted, as the namespace knows it
 */
export async function mountLoopDisk(namespace: MountNamespace, type: DiskType): Promise<string> {
  const { command, options, size } = MAKERS[type];
  const file = join(namespace.directory, `${type}.disk`);
  const path = join(namespace.directory, type);
  await mkdir(namespace.reach(path));
  await outputAt(namespace, 'truncate', '-s', `${size}`, file);
  await outputAt(namespace, command, ...options, file);
  await outputAt(namespace, 'mount', '-o', 'loop', file, path);
  return path;
}
