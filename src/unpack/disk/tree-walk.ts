import { closeSync, readdirSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { type Abortable, systemCode, throwIfAborted } from '../../errors.js';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  type BytePath,
  fchmodat,
  fstatatIfPresent,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  openBeneath,
  procFdPath,
  S_IFDIR,
  S_IFMT,
  type Stat,
  toBytePath,
  unlinkat,
} from '../../system/index.js';

/*
 * Walking directory trees that a layer made: by descriptors, with names as bytes, and without ever following a symlink.
 */

const OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
const OWNER_ALL = 0o700;
const OWNER_READS = 0o400;

/** A descriptor, closed at the end of its scope. */
export class Opened implements Disposable {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** Opens the top of a tree, which is a path of our own and may be reached through symlinks. */
export function openTree(path: string): number {
  return openat(AT_FDCWD, toBytePath(path), O_RDONLY | O_DIRECTORY);
}

/** Opens a directory that the given one holds. */
export function openDirectory(dirfd: number, name: BytePath): number {
  return openat(dirfd, name, OPEN_DIRECTORY);
}

/**
 * Opens a directory below a root; undefined where it is not there, or where a component on the way is not a
 * directory.
 */
export function openDirectoryBelow(rootfd: number, path: BytePath): number | undefined {
  try {
    if (path === '') return openat(rootfd, '.', OPEN_DIRECTORY);
    return openBeneath(rootfd, path, OPEN_DIRECTORY, 0, { symlinks: 'refused' });
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/**
 * Uses a directory below a root while it is open; undefined where it is not there. Who is not root may be
 * shut out by directories on the way, which it owns: it lends itself the rights and gives them back
 * afterwards.
 */
export function inDirectoryBelow<T>(
  rootfd: number,
  path: BytePath,
  use: (dirfd: number) => T,
): { readonly result: T } | undefined {
  let fd: number | undefined;
  try {
    fd = openDirectoryBelow(rootfd, path);
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error;
    return descend(rootfd, path.split('/'), use);
  }
  if (fd === undefined) return undefined;
  using opened = new Opened(fd);
  return { result: use(opened.fd) };
}

function descend<T>(
  dirfd: number,
  components: readonly BytePath[],
  use: (dirfd: number) => T,
): { readonly result: T } | undefined {
  const [name, ...rest] = components;
  if (name === undefined) return { result: use(dirfd) };
  const stat = fstatatIfPresent(dirfd, name, AT_SYMLINK_NOFOLLOW);
  if (stat === undefined || !isDirectory(stat)) return undefined;
  using _lent = lendAccess(dirfd, name, stat);
  using opened = new Opened(openDirectory(dirfd, name));
  return descend(opened.fd, rest, use);
}

/**
 * What is at a path below a root; undefined where nothing is. All on the way must be known to be directories;
 * they may shut out their owner, as in {@link inDirectoryBelow}. The path may be too long for the kernel by
 * its last name.
 */
export function statBelow(rootfd: number, path: BytePath): Stat | undefined {
  try {
    return fstatatIfPresent(rootfd, path === '' ? '.' : path, AT_SYMLINK_NOFOLLOW);
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'EACCES' && code !== 'ENAMETOOLONG') throw error;
  }
  return inDirectoryBelow(rootfd, parentPath(path), (dirfd) =>
    fstatatIfPresent(dirfd, lastName(path), AT_SYMLINK_NOFOLLOW),
  )?.result;
}

/** Whether an error says that no such file is there, when symlinks are not followed. */
export function isAbsent(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP';
}

export function isDirectory(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFDIR;
}

/** The names in a directory. */
export function readNames(fd: number): BytePath[] {
  return readdirSync(procFdPath(fd), { encoding: 'latin1' });
}

/**
 * Who is not root has only the rights that a file's own mode gives, and a layer's may have any. This gives
 * its owner what it takes to read the file, or to change the directory; what is returned gives back what was
 * there, and is undefined where nothing was needed.
 */
export function lendAccess(dirfd: number, name: BytePath, stat: Stat): Disposable | undefined {
  const mode = stat.mode & 0o7777;
  const needed = isDirectory(stat) ? OWNER_ALL : OWNER_READS;
  if (process.geteuid?.() === 0 || (mode & needed) === needed) return undefined;
  fchmodat(dirfd, name, mode | needed);
  return { [Symbol.dispose]: () => fchmodat(dirfd, name, mode) };
}

/** Removes whatever is at a name, with all below it; absent is not an error. */
export function removeEntry(dirfd: number, name: BytePath): void {
  const stat = fstatatIfPresent(dirfd, name, AT_SYMLINK_NOFOLLOW);
  if (stat === undefined) return;
  if (!isDirectory(stat)) {
    unlinkat(dirfd, name);
    return;
  }
  lendAccess(dirfd, name, stat);
  {
    using opened = new Opened(openDirectory(dirfd, name));
    emptyDirectory(opened.fd);
  }
  unlinkat(dirfd, name, AT_REMOVEDIR);
}

/** Removes what a directory holds. */
export function emptyDirectory(fd: number): void {
  for (const child of readNames(fd)) removeEntry(fd, child);
}

/** So many files are handled between two looks at the message queue: some milliseconds' worth. */
const STRIDE = 256;

/** Lets a long synchronous walk hear that it was aborted, and other jobs of the same thread go on. */
export class Pace {
  readonly #signal: AbortSignal | undefined;
  #steps = 0;

  constructor(o: Abortable) {
    this.#signal = o.signal;
    throwIfAborted(o.signal);
  }

  /** @throws LandfallError ABORTED */
  async step(): Promise<void> {
    this.#steps += 1;
    if (this.#steps % STRIDE !== 0) return;
    await setImmediate();
    throwIfAborted(this.#signal);
  }
}

/*
 * Paths within a layer or a merged tree: relative to its root, resolved, without leading or trailing slash; `''` is the
 * root itself.
 */

/** The directory that holds a path; the root's is the root. */
export function parentPath(path: BytePath): BytePath {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/**
 * The last component; `.` for the root, so that a call relative to a directory's descriptor means the
 * directory itself.
 */
export function lastName(path: BytePath): BytePath {
  return path === '' ? '.' : path.slice(path.lastIndexOf('/') + 1);
}

export function joinPath(directory: BytePath, name: BytePath): BytePath {
  return directory === '' ? name : `${directory}/${name}`;
}

/** All directories above a path, the root first, without the path itself. */
export function ancestorPaths(path: BytePath): BytePath[] {
  if (path === '') return [];
  const found: BytePath[] = [''];
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) found.push(path.slice(0, at));
  return found;
}

/** Components, so that sorting by it puts a directory before what it holds. */
export function pathDepth(path: BytePath): number {
  if (path === '') return 0;
  let depth = 1;
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) depth += 1;
  return depth;
}
