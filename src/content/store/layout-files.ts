import { randomUUID } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Abortable, ContentError, LandfallError, systemCode } from '../../errors.js';
import { algorithmOf, type Digest, encodedOf, isDigest } from '../../spec/index.js';
import { lock, O_PATH, openBeneath, procFdPath, syncfs, toBytePath } from '../../system/index.js';

/** `oci-layout` (image-spec: image-layout.md, oci-layout file). */
export const LAYOUT_VERSION = '1.0.0';
export const LAYOUT_TEXT: string = JSON.stringify({ imageLayoutVersion: LAYOUT_VERSION });

/**
 * Writes a file at the top of a store so that a reader, or a machine that lost its power, sees the old
 * content or the new one and nothing else: temporary file, fsync, rename, fsync of the directory. The
 * temporary file lies in `ingest/`, where the collector finds it if this process dies.
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
    {
      await using file = await open(temporary, 'wx', 0o644);
      await file.writeFile(content);
      if (sync) await file.sync();
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

/**
 * Makes the names in a directory durable: an fsync of a file alone does not promise that its name survives.
 */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await openDirectory(path);
  await directory.sync();
}

/** Makes everything durable that lies in a directory's file system. It blocks this thread. */
export async function syncFileSystem(path: string): Promise<void> {
  await using directory = await openDirectory(path);
  syncfs(directory.fd);
}

/**
 * Does something while no other process does such a thing: processes take turns at the files at the top of a
 * store. The lock is an flock on the root directory itself, so it leaves no file behind, and the kernel
 * releases it when its holder dies.
 */
export async function withRootLocked<T>(
  root: string,
  action: () => Promise<T>,
  o: Abortable = {},
): Promise<T> {
  await using directory = await openDirectory(root);
  await lock(directory.fd, o);
  return await action();
}

function openDirectory(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

/**
 * Makes a directory and those above it where they are missing, and makes the name of each durable. Something
 * else that has the name already is left for the caller to stumble over.
 *
 * Node's own recursive mkdir syncs nothing, and never ends where the kernel answers ENOENT below a directory
 * that exists, as in /proc.
 *
 * @param mode of the directory itself, less the umask; those above it get 0755
 */
export async function makeDirectory(path: string, mode = 0o755): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectory(dirname(path));
    await mkdir(path, mode).catch((again: unknown) => {
      if (systemCode(again) !== 'EEXIST') throw again;
    });
  }
  await syncDirectory(dirname(path));
}

/*
 * Where things lie below a store's root, and nowhere else. A `Digest` is well-formed, so neither of its parts can hold
 * a slash or be a dot name: no digest, however hostile, names a file outside of `blobs` and `ingest`.
 */

export const LAYOUT_FILE = 'oci-layout';
export const INDEX_FILE = 'index.json';
/** The annotation by which an OCI layout names an image (image-spec: annotations.md). */
export const REF_NAME = 'org.opencontainers.image.ref.name';
export const DATABASE_FILE = 'metadata.db';
export const BLOBS = 'blobs';
export const INGEST = 'ingest';
export const SNAPSHOTS = 'snapshots';

/** `blobs/<algorithm>/<encoded>` (image-spec: image-layout.md, Blobs). */
export function blobPath(root: string, digest: Digest): string {
  return join(blobDirectory(root, digest), encodedOf(digest));
}

/** The directory that holds the blobs of a digest's algorithm. */
export function blobDirectory(root: string, digest: Digest): string {
  return join(root, BLOBS, algorithmOf(digest));
}

/**
 * The digests that what lies below `blobs/` is named by, whatever it is; also through a link in its place.
 */
export async function blobFiles(root: string): Promise<readonly Digest[]> {
  const list = async (path: string): Promise<readonly string[]> => (await unlessMissing(readdir(path))) ?? [];
  const blobs = join(root, BLOBS);
  const digests: Digest[] = [];
  for (const algorithm of await list(blobs)) {
    for (const encoded of await list(join(blobs, algorithm))) {
      const digest = `${algorithm}:${encoded}`;
      if (isDigest(digest)) digests.push(digest);
    }
  }
  return digests;
}

/** `ingest/<algorithm>-<encoded>` */
export function ingestPath(root: string, digest: Digest): string {
  return join(root, INGEST, `${algorithmOf(digest)}-${encodedOf(digest)}`);
}

/** The digest of a directory in `ingest/`, or undefined where its name is not of that form. */
export function digestOfIngest(name: string): Digest | undefined {
  const dash = name.lastIndexOf('-');
  const digest = `${name.slice(0, dash)}:${name.slice(dash + 1)}`;
  return dash > 0 && isDigest(digest) ? digest : undefined;
}

/** `ingest/uploads/<id>`: what is pushed and has no digest yet. `uploads` is of no partial's form. */
export function uploadPath(root: string, id: string): string {
  return join(uploadsDirectory(root), id);
}

export function uploadsDirectory(root: string): string {
  return join(root, INGEST, 'uploads');
}

/** Below the store's root. It holds nothing. */
export const RESERVE_FILE = 'reserve';

/** Enough for SQLite's shared memory and the log of some thousand removals. */
const RESERVE_BYTES = 1024 * 1024;
/** It is not made of the last that there is. */
const FREE_BYTES = 8 * RESERVE_BYTES;

/**
 * Keeps a little space aside, so that on a disk without any a store can still be opened and things be removed
 * from it: both write to the database first. Where it cannot be had now, it is made later.
 */
export async function keepReserve(root: string): Promise<void> {
  const file = join(root, RESERVE_FILE);
  try {
    if ((await unlessMissing(stat(file))) !== undefined) return;
    const { bavail, bsize } = await statfs(root);
    if (bavail * bsize < FREE_BYTES) return;
    await writeFile(file, Buffer.alloc(RESERVE_BYTES), { flag: 'wx', mode: 0o600 });
  } catch {
    // Somebody else makes it, or there is no space after all.
  }
}

/**
 * Does something that must be possible on a full disk: where it finds no space, the reserve is given up and
 * it is done again.
 */
export async function onReserve<T>(root: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof LandfallError) || error.code !== 'NO_SPACE') throw error;
    await rm(join(root, RESERVE_FILE), { force: true });
    return await act();
  }
}

const NO_SPACE_CODES: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);

/**
 * What a failed file operation means to a caller: NO_SPACE or FILESYSTEM. An error that is one of ours passes
 * as it is.
 *
 * @param action what was being done, for the message: `write the blob`
 */
export function fileError(cause: unknown, action: string, path: string): LandfallError {
  if (cause instanceof LandfallError) return cause as LandfallError;
  const code = systemCode(cause);
  const details = { path };
  if (NO_SPACE_CODES.has(code)) {
    return new ContentError('NO_SPACE', `cannot ${action}: no space left at ${path}`, {
      cause,
      details,
      hint: 'Free some space on that file system, or remove unused images with landfall gc, then try again.',
    });
  }
  return new ContentError('FILESYSTEM', `cannot ${action} at ${path}: ${reasonOf(cause, code)}`, {
    cause,
    details,
    hint: hintFor(code),
  });
}

function reasonOf(cause: unknown, code: string | undefined): string {
  return code ?? (cause instanceof Error ? cause.message : String(cause));
}

function hintFor(code: string | undefined): string {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return (
        'Choose a directory that you may write with --root, or change its owner or mode. A store is closed to ' +
        'other users until its owner opens it: chmod 0755 ROOT.'
      );
    case 'ENOENT':
      return 'A directory on the way does not exist: check --root.';
    case 'ENOTDIR':
    case 'EEXIST':
    case 'ELOOP':
      return 'Choose another --root: a file stands where the store needs a directory.';
    case 'EMFILE':
    case 'ENFILE':
      return 'Raise the limit of open files: ulimit -n.';
    default:
      return 'Check the file system that holds the store.';
  }
}

/**
 * Opens a file of a layout that another user may have written. Only a regular file is opened, so that no pipe
 * is waited for, and no link is followed on the way to it below the layout, so that nothing is read with the
 * rights of this process that its author could not read.
 *
 * @param path below the layout
 * @returns undefined where the file does not exist
 * @throws ContentError FILESYSTEM
 */
export async function openBelow(layout: string, path: string): Promise<FileHandle | undefined> {
  const found = findBelow(layout, path);
  if (found === undefined) return undefined;
  try {
    return await open(procFdPath(found.fd), 'r');
  } catch (error) {
    throw fileError(error, 'read the OCI layout', join(layout, path));
  } finally {
    closeSync(found.fd);
  }
}

/** The type, size and times of the file that {@link openBelow} would open. Undefined and errors as there. */
export function statBelow(layout: string, path: string): Promise<Stats | undefined> {
  return Promise.resolve().then(() => {
    const found = findBelow(layout, path);
    if (found !== undefined) closeSync(found.fd);
    return found?.stats;
  });
}

/** A descriptor (O_PATH) of a regular file, which opens nothing yet, and what it is. */
function findBelow(layout: string, path: string): { readonly fd: number; readonly stats: Stats } | undefined {
  let fd: number | undefined;
  try {
    const root = openSync(layout, O_PATH | constants.O_DIRECTORY);
    try {
      fd = openBeneath(root, toBytePath(path), O_PATH, 0, { symlinks: 'refused' });
    } finally {
      closeSync(root);
    }
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw notRegular(join(layout, path), stats.isSymbolicLink());
    return { fd, stats };
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    const code = systemCode(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw notRegular(join(layout, path), true, error);
    throw fileError(error, 'read the OCI layout', join(layout, path));
  }
}

function notRegular(path: string, isLink: boolean, cause?: unknown): ContentError {
  const fault = isLink ? 'a symbolic link, or one stands on the way to it' : 'not a regular file';
  return new ContentError('FILESYSTEM', `${path} is not read: it is ${fault}`, {
    cause,
    details: { path },
    hint: 'The files of an OCI layout have to be regular files: copy it with cp -rL, and name the copy.',
  });
}

/** The result, or undefined where the file does not exist. */
export async function unlessMissing<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
