import { closeSync, statfsSync } from 'node:fs';
import { openat, openat2, procFdPath, readlinkat } from '../calls/at.js';
import {
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_TMPFILE,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from '../calls/stat.js';
import { type BytePath, PATH_MAX, SystemError } from '../calls/libc.js';

export interface BeneathOptions {
  /**
   * `confined` (the default): a symlink on the way is followed as if the root were `/`, so neither an
   * absolute target nor `..` leaves it. `refused`: a symlink on the way is ELOOP, an absolute path or a `..`
   * above the root is EXDEV. In both the last component is never followed.
   */
  symlinks?: 'confined' | 'refused';
}

/**
 * Opens paths that a stranger chose, without ever leaving a directory. Paths are bytes, relative to the root
 * whether they begin with `/` or not; `.` and the empty components of `a//b` are skipped.
 */
export interface Resolver {
  /**
   * Opens `path` below `rootfd` and returns a descriptor, close-on-exec. `flags` are those of open(2);
   * O_NOFOLLOW is always added. To open the directory that a path leads to, symlinks included, let the path
   * end in `/.`. `mode` is used with O_CREAT only, and subject to the umask.
   *
   * @throws SystemError as openat2(2): ENOENT, ENOTDIR, ELOOP for a symlink as last component, too many on
   *   the way or a magic one, EXDEV, ENAMETOOLONG from 4096 bytes on, EINVAL for a NUL
   */
  open(rootfd: number, path: BytePath, flags: number, mode?: number, o?: BeneathOptions): number;
  /** How it is done: by the kernel in one call, or one component at a time. */
  readonly method: 'openat2' | 'portable';
}

/** As many as the kernel follows (linux/namei.h: MAXSYMLINKS). */
const MAX_SYMLINKS = 40;
/** `..` races with every rename on the machine; each try is independent of the last. */
const MAX_TRIES = 1000;
const PROC_SUPER_MAGIC = 0x9fa0;

const EISDIR = 21;
const ENAMETOOLONG = 36;
const ENOENT = 2;
const EXDEV = 18;
const ELOOP = 40;

let detected: Resolver | undefined;

/** The best resolver of this machine. */
export function defaultResolver(): Resolver {
  detected ??= createResolver({ openat2: openat2Available() });
  return detected;
}

/** {@link Resolver.open} of the {@link defaultResolver}. */
export function openBeneath(
  rootfd: number,
  path: BytePath,
  flags: number,
  mode?: number,
  o?: BeneathOptions,
): number {
  return defaultResolver().open(rootfd, path, flags, mode, o);
}

/** A resolver that uses openat2 or does without. */
export function createResolver(o: { openat2: boolean }): Resolver {
  return o.openat2
    ? { method: 'openat2', open: checked(openByKernel) }
    : { method: 'portable', open: checked(openByComponents) };
}

/** Whether the kernel has openat2 (Linux 5.6) and no seccomp filter refuses it. Needs no file but `/`. */
export function openat2Available(): boolean {
  try {
    closeSync(openat2(-100, '/', O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS));
    return true;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
}

type Open = (rootfd: number, path: BytePath, flags: number, mode: number, refuse: boolean) => number;

/** What both ways have in common: the last component is never followed, whatever the path looks like. */
function checked(open: Open): Resolver['open'] {
  return (rootfd, path, flags, mode = 0, o) => {
    if (path.length >= PATH_MAX) throw new SystemError(ENAMETOOLONG, 'openat2', path);
    if (path.length === 0) throw new SystemError(ENOENT, 'openat2', path);
    const creates = (flags & O_CREAT) !== 0 || (flags & O_TMPFILE) === O_TMPFILE;
    let name = path;
    let wanted = flags | O_NOFOLLOW;
    if (path.endsWith('/')) {
      // To the kernel a trailing slash means to follow the last component, O_NOFOLLOW or not.
      if ((flags & O_CREAT) !== 0) throw new SystemError(EISDIR, 'openat2', path);
      name = path.replace(/\/+$/, '');
      if (name.length === 0) name = '/';
      wanted |= O_DIRECTORY;
    }
    return open(rootfd, name, wanted, creates ? mode & 0o7777 : 0, o?.symlinks === 'refused');
  };
}

function openByKernel(rootfd: number, path: BytePath, flags: number, mode: number, refuse: boolean): number {
  const resolve = refuse ? RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH : RESOLVE_IN_ROOT;
  for (let tries = 1; ; tries++) {
    try {
      return openat2(rootfd, path, flags, mode, resolve | RESOLVE_NO_MAGICLINKS);
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== 'EAGAIN' || tries === MAX_TRIES) throw error;
    }
  }
}

/**
 * One component at a time, each opened without following it. The descriptors of all directories on the way
 * are kept while there may be a `..`, so that it goes back to where we came from rather than to where a
 * rename may have moved the directory meanwhile.
 */
function openByComponents(
  rootfd: number,
  path: BytePath,
  flags: number,
  mode: number,
  refuse: boolean,
): number {
  const walk = new Walk(rootfd, path, refuse);
  try {
    const last = walk.toLastComponent();
    return openat(walk.directory, last, flags, mode);
  } finally {
    walk.close();
  }
}

class Walk {
  readonly #rootfd: number;
  readonly #path: BytePath;
  readonly #refuse: boolean;
  /** Whether a `..` may still come, in the path or in a symlink. */
  readonly #mayGoBack: boolean;
  /** Below the root, outermost first; only the last where there is no way back. */
  readonly #opened: number[] = [];
  /** Still to go, the next one at the end. */
  readonly #todo: BytePath[];
  #symlinks = 0;

  constructor(rootfd: number, path: BytePath, refuse: boolean) {
    if (refuse && path.startsWith('/')) throw new SystemError(EXDEV, 'openat', path);
    this.#rootfd = rootfd;
    this.#path = path;
    this.#refuse = refuse;
    this.#todo = components(path).reverse();
    this.#mayGoBack = !refuse || this.#todo.includes('..');
  }

  get directory(): number {
    return this.#opened.at(-1) ?? this.#rootfd;
  }

  /**
   * Goes to the directory that holds the last component and returns its name; `.` for a path that ends in `.`
   * or `..`.
   */
  toLastComponent(): BytePath {
    for (;;) {
      const name = this.#todo.pop();
      if (name === undefined) return '.';
      if (name === '.') continue;
      if (name === '..') this.#up();
      else if (this.#todo.length === 0) return name;
      else this.#down(name);
    }
  }

  close(): void {
    for (const fd of this.#opened.splice(0)) closeSync(fd);
  }

  #up(): void {
    const fd = this.#opened.pop();
    if (fd !== undefined) closeSync(fd);
    else if (this.#refuse) throw new SystemError(EXDEV, 'openat', this.#path);
  }

  #down(name: BytePath): void {
    try {
      const fd = openat(this.directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
      if (!this.#mayGoBack) this.close();
      this.#opened.push(fd);
    } catch (error) {
      if (!(error instanceof SystemError) || (error.code !== 'ENOTDIR' && error.code !== 'ELOOP'))
        throw error;
      this.#follow(name, error);
    }
  }

  #follow(name: BytePath, notDirectory: SystemError): void {
    const target = this.#readlink(name);
    if (target === undefined) throw notDirectory;
    // A magic link of procfs jumps to where its text does not say; nothing tells it from the others of
    // procfs.
    const magic = statfsSync(procFdPath(this.directory)).type === PROC_SUPER_MAGIC;
    if (this.#refuse || magic || ++this.#symlinks > MAX_SYMLINKS)
      throw new SystemError(ELOOP, 'openat', this.#path);
    if (target.startsWith('/')) this.close();
    this.#todo.push(...components(target).reverse());
  }

  #readlink(name: BytePath): BytePath | undefined {
    try {
      return readlinkat(this.directory, name);
    } catch (error) {
      if (error instanceof SystemError && error.code === 'EINVAL') return undefined;
      throw error;
    }
  }
}

/** A `.` at the end stays, since it says that what stands before it is to be followed. */
function components(path: BytePath): BytePath[] {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.length === 0 ? ['.'] : parts;
}
