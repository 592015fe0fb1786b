import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { Abortable } from '../errors.js';
import { lock, syncfs } from '../system/index.js';
import { INGEST } from './store-paths.js';

/** `oci-layout` (image-spec: image-layout.md, oci-layout file). */
export const LAYOUT_VERSION = '1.0.0';

/**
 * Writes a file at the top of a store so that a reader, or a machine that lost its power, sees the old content or the new
 * one and nothing else: temporary file, fsync, rename, fsync of the directory. The temporary file lies in `ingest/`,
 * where the collector finds it if this process dies.
 *
 * @param o `sync`: false where the machine may see anything, and the caller has noted that
 */
export async function writeLayoutFile(
  root: string,
  name: string,
  content: string,
  o: { readonly sync?: boolean } = {},
): Promise<void> {
  const { sync = true } = o;
  const temporary = join(root, INGEST, `${name}.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o644);
    try {
      await file.writeFile(content);
      if (sync) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(root, name));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (sync) await syncDirectory(root);
}

/** Whether a name in `ingest/` is a temporary file of {@link writeLayoutFile}. */
export function isTemporaryFile(name: string): boolean {
  return name.endsWith('.tmp');
}

/** Makes the names in a directory durable: an fsync of a file alone does not promise that its name survives. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await openDirectory(path);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Makes everything durable that lies in a directory's file system. It blocks this thread. */
export async function syncFileSystem(path: string): Promise<void> {
  const directory = await openDirectory(path);
  try {
    syncfs(directory.fd);
  } finally {
    await directory.close();
  }
}

/**
 * Does something while no other process does such a thing: processes take turns at the files at the top of a store. The
 * lock is an flock on the root directory itself, so it leaves no file behind, and the kernel releases it when its holder
 * dies.
 */
export async function withRootLocked<T>(
  root: string,
  action: () => Promise<T>,
  o: Abortable = {},
): Promise<T> {
  const directory = await openDirectory(root);
  try {
    await lock(directory.fd, o);
    return await action();
  } finally {
    await directory.close();
  }
}

function openDirectory(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_DIRECTORY);
}
