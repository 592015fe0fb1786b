import { closeSync, readSync } from 'node:fs';
import { systemCode, type Abortable } from '../../errors.js';
import {
  AT_SYMLINK_NOFOLLOW,
  fromBytePath,
  fstatat,
  lgetxattr,
  listxattr,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  procFdPath,
  readlinkat,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  type BytePath,
  type Stat,
} from '../../system/index.js';
import type { CompareJob, CompareResult } from '../jobs/apply-job.js';
import type { Place } from '../disk/file-attributes.js';
import { isWhiteout } from '../disk/file-attributes.js';
import {
  Opened,
  isDirectory,
  joinPath,
  lendAccess,
  openDirectory,
  openTree,
  Pace,
  readNames,
} from '../disk/tree-walk.js';

const CHUNK_BYTES = 256 * 1024;

/**
 * Holds a tree against the one that it should be: entries, types, modes, owners, sizes, modification times,
 * link targets, hard links, devices, xattrs (overlayfs' own included), and each file's content byte by byte.
 * Ends at `limit` differences.
 *
 * Times of directories are not compared, nor anything but the type of a whiteout: some are of the moment when
 * the layer was unpacked.
 *
 * Errors: SystemError, ABORTED.
 */
export async function compareTrees(job: CompareJob, o: Abortable = {}): Promise<CompareResult> {
  using expected = new Opened(openTree(job.expected));
  using actual = new Opened(openTree(job.actual));
  const comparison = new TreeComparison(job.limit, o);
  await comparison.entry({ dirfd: expected.fd, name: '.' }, { dirfd: actual.fd, name: '.' }, '');
  return { differences: comparison.differences };
}

class TreeComparison {
  readonly differences: string[] = [];
  readonly #limit: number;
  readonly #pace: Pace;
  /** The first path of each file that has several, in both trees; they are walked in one order. */
  readonly #expectedLinks = new Map<string, BytePath>();
  readonly #actualLinks = new Map<string, BytePath>();
  readonly #buffers = [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)] as const;

  constructor(limit: number, o: Abortable) {
    this.#limit = limit;
    this.#pace = new Pace(o);
  }

  /** What is there in both trees. */
  async entry(expected: Place, actual: Place, path: BytePath): Promise<void> {
    await this.#pace.step();
    const wanted = fstatat(expected.dirfd, expected.name, AT_SYMLINK_NOFOLLOW);
    const found = fstatat(actual.dirfd, actual.name, AT_SYMLINK_NOFOLLOW);
    if (kindOf(found) !== kindOf(wanted)) {
      this.#emit(path, `is ${kindOf(found)}, and should be ${kindOf(wanted)}`);
      return;
    }
    if (isWhiteout(wanted)) return;
    // What was held under another of its names need not be held again.
    if (!isDirectory(wanted) && !this.#links(wanted, found, path)) return;
    this.#attributes(wanted, found, path);
    this.#xattrs(expected, actual, path);
    const [should, is] = [
      { place: expected, stat: wanted },
      { place: actual, stat: found },
    ];
    const type = wanted.mode & S_IFMT;
    if (type === S_IFDIR) await this.#directory(should, is, path);
    else if (type === S_IFLNK) this.#symlink(expected, actual, path);
    else if (type === S_IFREG && wanted.size === found.size) await this.#content(should, is, path);
  }

  get #full(): boolean {
    return this.differences.length >= this.#limit;
  }

  async #directory(expected: Found, actual: Found, path: BytePath): Promise<void> {
    using wanted = new OpenDirectory(expected);
    using found = new OpenDirectory(actual);
    for (const name of new Set([...wanted.names, ...found.names].sort())) {
      if (this.#full) return;
      const at = joinPath(path, name);
      if (!found.names.has(name)) this.#emit(at, 'is missing');
      else if (!wanted.names.has(name)) this.#emit(at, 'should not be there');
      else await this.entry({ dirfd: wanted.fd, name }, { dirfd: found.fd, name }, at);
    }
  }

  #attributes(wanted: Stat, found: Stat, path: BytePath): void {
    const hold = (what: string, is: string | number, should: string | number): void => {
      if (is !== should) this.#emit(path, `has ${what} ${is}, and should have ${should}`);
    };
    hold('mode', permissionsOf(found), permissionsOf(wanted));
    hold('owner', `${found.uid}:${found.gid}`, `${wanted.uid}:${wanted.gid}`);
    if (isDirectory(wanted)) return;
    hold('time', timeOf(found), timeOf(wanted));
    if ((wanted.mode & S_IFMT) === S_IFREG) hold('size', found.size, wanted.size);
    hold('device number', `${found.rdevMajor}:${found.rdevMinor}`, `${wanted.rdevMajor}:${wanted.rdevMinor}`);
  }

  #xattrs(expected: Place, actual: Place, path: BytePath): void {
    const wanted = xattrsOf(expected);
    const found = xattrsOf(actual);
    for (const name of new Set([...wanted.keys(), ...found.keys()].sort())) {
      if (wanted.get(name) === found.get(name)) continue;
      const text = fromBytePath(name);
      if (!found.has(name)) this.#emit(path, `lacks the attribute ${text}`);
      else if (!wanted.has(name)) this.#emit(path, `should not have the attribute ${text}`);
      else this.#emit(path, `has another value of the attribute ${text}`);
    }
  }

  /** False where the file was compared under another of its names, or the links differ. */
  #links(wanted: Stat, found: Stat, path: BytePath): boolean {
    const first = firstPath(this.#expectedLinks, wanted, path);
    const same = first === firstPath(this.#actualLinks, found, path);
    if (!same) this.#emit(path, 'is not linked to what it should be');
    return same && first === path;
  }

  #symlink(expected: Place, actual: Place, path: BytePath): void {
    const wanted = readlinkat(expected.dirfd, expected.name);
    const found = readlinkat(actual.dirfd, actual.name);
    if (wanted === found) return;
    this.#emit(path, `points to ${fromBytePath(found)}, and should to ${fromBytePath(wanted)}`);
  }

  async #content(expected: Found, actual: Found, path: BytePath): Promise<void> {
    using wanted = new OpenFile(expected);
    using found = new OpenFile(actual);
    const [a, b] = this.#buffers;
    for (let at = 0; at < expected.stat.size;) {
      const length = wanted.read(a, at);
      let part: Buffer;
      try {
        part = b.subarray(0, found.read(b, at));
      } catch (error) {
        this.#emit(path, `cannot be read (${systemCode(error) ?? 'unknown error'})`);
        return;
      }
      if (length === 0 || !a.subarray(0, length).equals(part)) {
        this.#emit(path, 'has other content');
        return;
      }
      at += length;
      await this.#pace.step();
    }
  }

  #emit(path: BytePath, what: string): void {
    if (!this.#full) this.differences.push(`/${fromBytePath(path)} ${what}`);
  }
}

interface Found {
  readonly place: Place;
  readonly stat: Stat;
}

/** An open directory, whatever its mode. */
class OpenDirectory implements Disposable {
  readonly fd: number;
  readonly names: ReadonlySet<BytePath>;
  readonly #lent: Disposable | undefined;

  constructor({ place, stat }: Found) {
    this.#lent = lendAccess(place.dirfd, place.name, stat);
    this.fd = openDirectory(place.dirfd, place.name);
    this.names = new Set(readNames(this.fd));
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
    this.#lent?.[Symbol.dispose]();
  }
}

/** An open regular file, whatever its mode. */
class OpenFile implements Disposable {
  readonly #fd: number;
  readonly #lent: Disposable | undefined;

  constructor({ place, stat }: Found) {
    this.#lent = lendAccess(place.dirfd, place.name, stat);
    this.#fd = openat(place.dirfd, place.name, O_RDONLY | O_NOFOLLOW);
  }

  read(into: Buffer, at: number): number {
    return readSync(this.#fd, into, 0, into.length, at);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    this.#lent?.[Symbol.dispose]();
  }
}

function firstPath(links: Map<string, BytePath>, stat: Stat, path: BytePath): BytePath {
  if (stat.nlink === 1) return path;
  const key = `${stat.dev}:${stat.ino}`;
  const known = links.get(key);
  if (known !== undefined) return known;
  links.set(key, path);
  return path;
}

/** The label of a security module is the machine's, and may change as its policy does. */
const LABEL = 'security.selinux';

/** Values by name, as latin1. */
function xattrsOf({ dirfd, name }: Place): ReadonlyMap<BytePath, string> {
  const file = procFdPath(dirfd, name);
  const values = new Map<BytePath, string>();
  for (const attribute of namesOf(file)) {
    if (attribute !== LABEL) values.set(attribute, valueOf(file, attribute));
  }
  return values;
}

/**
 * Who may not read a file may not read its attributes either: then both have the same value, which is none.
 */
function valueOf(file: BytePath, attribute: BytePath): string {
  try {
    return lgetxattr(file, attribute)?.toString('latin1') ?? '';
  } catch (error) {
    if (systemCode(error) === 'EACCES') return '';
    throw error;
  }
}

function namesOf(file: BytePath): BytePath[] {
  try {
    return listxattr(file);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOTSUP' || code === 'EOPNOTSUPP') return [];
    throw error;
  }
}

function permissionsOf(stat: Stat): string {
  return (stat.mode & 0o7777).toString(8).padStart(4, '0');
}

function timeOf({ mtime }: Stat): string {
  return `${mtime.seconds}.${String(mtime.nanoseconds).padStart(9, '0')}`;
}

const KINDS: ReadonlyMap<number, string> = new Map([
  [S_IFREG, 'a file'],
  [S_IFDIR, 'a directory'],
  [S_IFLNK, 'a symlink'],
  [S_IFCHR, 'a character device'],
  [S_IFBLK, 'a block device'],
  [S_IFIFO, 'a pipe'],
  [S_IFSOCK, 'a socket'],
]);

function kindOf(stat: Stat): string {
  return isWhiteout(stat) ? 'a whiteout' : (KINDS.get(stat.mode & S_IFMT) ?? 'of no known type');
}
