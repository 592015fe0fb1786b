import { closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import type * as Koffi from 'koffi';
import { isLandfallError, LandfallError } from '../../errors.js';
import { nativeModuleError } from '../../native-module.js';

/** The longest path that one system call takes, its terminating NUL included. */
export const PATH_MAX = 4096;

/**
 * What a pointer argument takes. The call gets the address of the bytes themselves, so it may write to them;
 * null is NULL.
 */
export type Bytes = Uint8Array | null;

/**
 * The functions of the C library that landfall calls. A negative result is a failure whose errno
 * {@link systemError} reads; it must be read before anything else is called.
 */
export interface Libc {
  dup3(from: number, to: number, flags: number): number;
  close(fd: number): number;
  openat(dirfd: number, path: Bytes, flags: number, mode: number): number;
  mkdirat(dirfd: number, path: Bytes, mode: number): number;
  unlinkat(dirfd: number, path: Bytes, flags: number): number;
  renameat(oldDirfd: number, oldPath: Bytes, newDirfd: number, newPath: Bytes): number;
  linkat(oldDirfd: number, oldPath: Bytes, newDirfd: number, newPath: Bytes, flags: number): number;
  symlinkat(target: Bytes, dirfd: number, path: Bytes): number;
  readlinkat(dirfd: number, path: Bytes, into: Bytes, size: number): number;
  mknodat(dirfd: number, path: Bytes, mode: number, dev: number): number;
  fchownat(dirfd: number, path: Bytes, uid: number, gid: number, flags: number): number;
  fchown(fd: number, uid: number, gid: number): number;
  fchmodat(dirfd: number, path: Bytes, mode: number, flags: number): number;
  fchmod(fd: number, mode: number): number;
  utimensat(dirfd: number, path: Bytes, times: Bytes, flags: number): number;
  flistxattr(fd: number, into: Bytes, size: number): number;
  fgetxattr(fd: number, name: Bytes, into: Bytes, size: number): number;
  fsetxattr(fd: number, name: Bytes, value: Bytes, size: number, flags: number): number;
  fremovexattr(fd: number, name: Bytes): number;
  llistxattr(path: Bytes, into: Bytes, size: number): number;
  lgetxattr(path: Bytes, name: Bytes, into: Bytes, size: number): number;
  lsetxattr(path: Bytes, name: Bytes, value: Bytes, size: number, flags: number): number;
  lremovexattr(path: Bytes, name: Bytes): number;
  flock(fd: number, operation: number): number;
  ioctl(fd: number, request: number, argument: number): number;
  lseek(fd: number, offset: number, whence: number): number;
  mount(source: Bytes, target: Bytes, type: Bytes, flags: number, data: Bytes): number;
  umount2(target: Bytes, flags: number): number;
  readonly syncfs: InBackground<[fd: number]>;
  write(fd: number, from: Bytes, size: number): number;
  unshare(flags: number): number;
  socket(domain: number, type: number, protocol: number): number;
  sendto(fd: number, from: Bytes, size: number, flags: number, address: Bytes, addressSize: number): number;
  umask(mask: number): number;
  clock_gettime(clock: number, into: Bytes): number;
  /** Absent before glibc 2.28 and musl 1.2.5. */
  statx?: (dirfd: number, path: Bytes, flags: number, mask: number, into: Bytes) => number;
  /** Absent before glibc 2.28 and in musl before 1.2.6. */
  renameat2?: (oldDirfd: number, oldPath: Bytes, newDirfd: number, newPath: Bytes, flags: number) => number;
  /** In glibc, and in musl but for some architectures. */
  readonly sync_file_range?: InBackground<[fd: number, offset: number, length: number, flags: number]>;
  copy_file_range?: (
    from: number,
    fromOffset: Bytes,
    to: number,
    toOffset: Bytes,
    length: number,
    flags: number,
  ) => number;
  /** `syscall()` as openat2 needs it, since no C library has a wrapper. */
  openat2(number: number, dirfd: number, path: Bytes, how: Bytes, size: number): number;
  /** `syscall()` for the calls of the mount API. */
  openTree(number: number, dirfd: number, path: Bytes, flags: number): number;
  moveMount(number: number, from: number, fromPath: Bytes, to: number, toPath: Bytes, flags: number): number;
  fsopen(number: number, type: Bytes, flags: number): number;
  fsconfig(number: number, fd: number, command: number, key: Bytes, value: Bytes, aux: number): number;
  fsmount(number: number, fd: number, flags: number, attributes: number): number;
  mountSetattr(
    number: number,
    dirfd: number,
    path: Bytes,
    flags: number,
    attributes: Bytes,
    size: number,
  ): number;
}

/**
 * Can also be called on a thread of libuv's pool; where it failed, its errno is read first of all when it
 * calls back.
 */
export interface InBackground<Arguments extends readonly unknown[]> {
  (...args: Arguments): number;
  async(...args: [...args: Arguments, done: (error: unknown, result: number) => void]): void;
}

type Signature = readonly [result: string, ...args: string[]];

const PTR = 'void *';

// openat, ioctl and syscall are variadic in C. On x86_64 and arm64 Linux integers and pointers are passed to
// a variadic function as to any other, and a fixed signature is bound once rather than described at every
// call.
const REQUIRED: Readonly<Record<string, Signature>> = {
  openat: ['int', 'int', PTR, 'int', 'uint32'],
  mkdirat: ['int', 'int', PTR, 'uint32'],
  unlinkat: ['int', 'int', PTR, 'int'],
  renameat: ['int', 'int', PTR, 'int', PTR],
  linkat: ['int', 'int', PTR, 'int', PTR, 'int'],
  symlinkat: ['int', PTR, 'int', PTR],
  readlinkat: ['int64', 'int', PTR, PTR, 'size_t'],
  mknodat: ['int', 'int', PTR, 'uint32', 'uint64'],
  fchownat: ['int', 'int', PTR, 'uint32', 'uint32', 'int'],
  fchown: ['int', 'int', 'uint32', 'uint32'],
  fchmodat: ['int', 'int', PTR, 'uint32', 'int'],
  fchmod: ['int', 'int', 'uint32'],
  utimensat: ['int', 'int', PTR, PTR, 'int'],
  flistxattr: ['int64', 'int', PTR, 'size_t'],
  fgetxattr: ['int64', 'int', PTR, PTR, 'size_t'],
  fsetxattr: ['int', 'int', PTR, PTR, 'size_t', 'int'],
  fremovexattr: ['int', 'int', PTR],
  llistxattr: ['int64', PTR, PTR, 'size_t'],
  lgetxattr: ['int64', PTR, PTR, PTR, 'size_t'],
  lsetxattr: ['int', PTR, PTR, PTR, 'size_t', 'int'],
  lremovexattr: ['int', PTR, PTR],
  flock: ['int', 'int', 'int'],
  ioctl: ['int', 'int', 'ulong', 'int64'],
  lseek: ['int64', 'int', 'int64', 'int'],
  mount: ['int', PTR, PTR, PTR, 'ulong', PTR],
  umount2: ['int', PTR, 'int'],
  syncfs: ['int', 'int'],
  write: ['int64', 'int', PTR, 'size_t'],
  dup3: ['int', 'int', 'int', 'int'],
  close: ['int', 'int'],
  unshare: ['int', 'int'],
  socket: ['int', 'int', 'int', 'int'],
  sendto: ['int64', 'int', PTR, 'size_t', 'int', PTR, 'uint32'],
  umask: ['uint32', 'uint32'],
  clock_gettime: ['int', 'int', PTR],
};
const OPTIONAL: Readonly<Record<string, Signature>> = {
  statx: ['int', 'int', PTR, 'int', 'uint32', PTR],
  renameat2: ['int', 'int', PTR, 'int', PTR, 'uint32'],
  sync_file_range: ['int', 'int', 'int64', 'int64', 'uint32'],
  copy_file_range: ['int64', 'int', PTR, 'int', PTR, 'size_t', 'uint32'],
};
const BY_NUMBER: Readonly<Record<string, Signature>> = {
  openat2: ['int64', 'int64', 'int', PTR, PTR, 'size_t'],
  openTree: ['int64', 'int64', 'int', PTR, 'uint32'],
  moveMount: ['int64', 'int64', 'int', PTR, 'int', PTR, 'uint32'],
  fsopen: ['int64', 'int64', PTR, 'uint32'],
  fsconfig: ['int64', 'int64', 'int', 'uint32', PTR, PTR, 'int'],
  fsmount: ['int64', 'int64', 'int', 'uint32', 'uint32'],
  mountSetattr: ['int64', 'int64', 'int', PTR, 'uint32', PTR, 'size_t'],
};

/**
 * System calls without a wrapper in every C library. From 424 on, numbers are the same on all architectures.
 */
export const SYSCALL = {
  openTree: 428,
  moveMount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  openat2: 437,
  mountSetattr: 442,
} as const;

const LIBRARIES: readonly string[] =
  process.arch === 'arm64'
    ? ['libc.so.6', 'libc.musl-aarch64.so.1', 'libc.so']
    : ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.so'];

let koffi: typeof Koffi | undefined;

/**
 * The package that calls native code, loaded at the first call so that importing this module costs nothing.
 *
 * @throws LandfallError UNSUPPORTED where this is not Linux on x86_64 or arm64, or it has no binary for this
 *   machine
 */
export function ffi(): typeof Koffi {
  if (koffi !== undefined) return koffi;
  const { platform, arch } = process;
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
    throw new LandfallError('UNSUPPORTED', `the C library cannot be called on ${platform}/${arch}`, {
      hint: 'Run landfall on Linux, x86_64 or arm64.',
    });
  }
  try {
    koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    return koffi;
  } catch (cause) {
    throw nativeModuleError('koffi', cause);
  }
}

let loaded: Libc | undefined;
let failure: LandfallError | undefined;

/**
 * The C library, loaded at the first call so that importing this module costs nothing.
 *
 * @throws LandfallError UNSUPPORTED where it cannot be loaded or this is not Linux on x86_64 or arm64.
 */
export function libc(): Libc {
  if (loaded !== undefined) return loaded;
  if (failure !== undefined) throw failure;
  try {
    loaded = load();
    return loaded;
  } catch (error) {
    failure = isLandfallError(error)
      ? error
      : new LandfallError('UNSUPPORTED', 'the C library of this machine cannot be called', {
          cause: error,
          hint: 'Run landfall where the C library is glibc or musl.',
        });
    throw failure;
  }
}

/** Whether {@link libc} works here. Never throws. */
export function libcAvailable(): boolean {
  try {
    libc();
    return true;
  } catch {
    return false;
  }
}

/** The error of the call that failed just now. */
export function systemError(syscall: string, path?: BytePath): SystemError {
  return new SystemError(errno(), syscall, path);
}

let tracks = !isMainThread;
const O_CLOEXEC = 0o2000000;

/**
 * Whether Node tracks the descriptors of this thread. Any thread may say so of one that it starts: a thread
 * below one that tracks does, too, whatever `trackUnmanagedFds` is.
 */
export function tracksDescriptors(given?: boolean): boolean {
  return (tracks = given ?? tracks);
}

/**
 * A new descriptor, as Node can close it. A thread that tracks its descriptors warns of each that it closes
 * and did not open: there the descriptor takes a number that Node opened.
 */
export function managed(fd: number): number {
  if (!tracks) return fd;
  try {
    const known = openSync('/dev/null', 'r');
    if (libc().dup3(fd, known, O_CLOEXEC) >= 0) return known;
    const error = systemError('dup3');
    closeSync(known);
    throw error;
  } finally {
    libc().close(fd);
  }
}

/** The errno of the last call on this thread. */
export function errno(): number {
  return koffi === undefined ? 0 : koffi.errno();
}

/** Makes a path of the machine itself (UTF-8) or of a layer (bytes) into a C string of its own. */
export function cString(path: BytePath): Buffer {
  return encodePath(Buffer.alloc(path.length + 1), path, path.length + 1);
}

/**
 * Writes a path and its NUL into a buffer that is used again at every call. A loop is several times as fast
 * as `Buffer.write` for names of usual length, and checks them on the way.
 *
 * @throws SystemError EINVAL for a NUL or a char code that is no byte, ENAMETOOLONG beyond `limit`.
 */
export function encodePath(into: Buffer, path: BytePath, limit: number = PATH_MAX): Buffer {
  const length = path.length;
  if (length >= limit) throw new SystemError(36 /* ENAMETOOLONG */, 'path', path);
  for (let i = 0; i < length; i++) {
    const byte = path.charCodeAt(i);
    if (byte === 0 || byte > 0xff) throw new SystemError(22 /* EINVAL */, 'path', path);
    into[i] = byte;
  }
  into[length] = 0;
  return into;
}

function load(): Libc {
  const library = openLibrary(ffi());
  const table: Record<string, Koffi.KoffiFunc<(...args: never) => unknown>> = {};
  const bind = (key: string, symbol: string, [result, ...args]: Signature): void => {
    table[key] = library.func(symbol, result, args);
  };
  for (const [name, signature] of Object.entries(REQUIRED)) bind(name, name, signature);
  for (const [name, signature] of Object.entries(BY_NUMBER)) bind(name, 'syscall', signature);
  for (const [name, signature] of Object.entries(OPTIONAL)) {
    try {
      bind(name, name, signature);
    } catch {
      // Its users ask whether it is there.
    }
  }
  return table as unknown as Libc;
}

function openLibrary(from: typeof Koffi): Koffi.LibraryHandle {
  const causes: unknown[] = [];
  for (const name of LIBRARIES) {
    try {
      return from.load(name);
    } catch (error) {
      causes.push(error);
    }
  }
  throw new AggregateError(causes, `none of ${LIBRARIES.join(', ')} can be loaded`);
}

/**
 * A file name or path as the kernel has it: each char code is one byte (latin1). File names are bytes, and
 * a layer may hold any of them, so decoding them as UTF-8 would lose what cannot be decoded.
 * `Buffer.from(path, 'latin1')` gives the bytes.
 */
export type BytePath = string;

/** The UTF-8 bytes of an ordinary string, as a {@link BytePath}. */
export function toBytePath(text: string): BytePath {
  // Nearly all names are ASCII, for which both forms are the same string.
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** For display: bytes that are not UTF-8 come out as U+FFFD. */
export function fromBytePath(path: BytePath): string {
  return isAscii(path) ? path : Buffer.from(path, 'latin1').toString('utf8');
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return false;
  }
  return true;
}

/** Where two names share a number, the one that Node's own errors use. */
const PREFERRED_NAMES: ReadonlySet<string> = new Set(['EAGAIN', 'ENOTSUP']);

let names: ReadonlyMap<number, string> | undefined;

/**
 * A system call that failed, in the shape of Node's own errors: `code` is the errno's name. Callers outside
 * `src/system` branch on `systemCode(error)` and wrap it in the error class of their part.
 */
export class SystemError extends Error {
  /** `ENOENT`, `EEXIST`, … */
  readonly code: string;
  /** The positive errno. */
  readonly errno: number;
  readonly syscall: string;
  /** For display: decoded as UTF-8. */
  readonly path: string | undefined;

  constructor(errno: number, syscall: string, path?: BytePath) {
    const code = errnoName(errno);
    const shown = path === undefined ? undefined : fromBytePath(path);
    super(shown === undefined ? `${code}: ${syscall} failed` : `${code}: ${syscall} '${shown}' failed`);
    this.name = 'SystemError';
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = shown;
  }
}

/** The symbolic name of a positive errno; `E<number>` for one that Node has no name for. */
export function errnoName(errno: number): string {
  names ??= new Map(
    Object.entries(constants.errno)
      .sort(([a], [b]) => Number(PREFERRED_NAMES.has(a)) - Number(PREFERRED_NAMES.has(b)))
      .map(([name, number]) => [number, name]),
  );
  return names.get(errno) ?? `E${errno}`;
}
