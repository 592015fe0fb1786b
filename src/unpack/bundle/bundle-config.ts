import { closeSync, openSync, readSync } from 'node:fs';
import { UnpackError } from '../../errors.js';
import { exactSize, formatSize, type ImageConfig, LIMITS } from '../../spec/index.js';
import {
  type BytePath,
  defaultResolver,
  fromBytePath,
  fstat,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  procFdPath,
  readlinkat,
  type Resolver,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  SystemError,
} from '../../system/index.js';
import { filesystemError } from '../terms/layer-fault.js';
import { openTree } from '../disk/tree-walk.js';
import { convertConfig, type ConvertOptions } from './convert-config.js';
import { resolveUser } from './process-user.js';
import type { RuntimeConfig } from './runtime-config.js';

/** All but the user, who is found in the root file system. */
export type BundleConfigOptions = Omit<ConvertOptions, 'user'>;

/**
 * The runtime configuration of an image whose root file system lies at `rootfs`, where its user is looked up.
 *
 * @throws {SpecError} INVALID_MANIFEST for a user that is not there
 * @throws {UnpackError} LIMIT_EXCEEDED for a list of users without end, FILESYSTEM where it cannot be read
 */
export function bundleConfig(rootfs: string, config: ImageConfig, o: BundleConfigOptions): RuntimeConfig {
  try {
    const root = openTree(rootfs);
    try {
      const user = resolveUser(config.config?.User ?? '', (path) => {
        return readRootFile(root, path, { limit: LIMITS.accountBytes })?.toString('latin1') ?? '';
      });
      return convertConfig(config, { ...o, user });
    } finally {
      closeSync(root);
    }
  } catch (error) {
    throw filesystemError(error, 'looking up the user of the image', { path: rootfs });
  }
}

export interface ReadRootFileOptions {
  /** In bytes. */
  readonly limit: number;
  /** Default: this machine's best. */
  readonly resolver?: Resolver;
}

/** As many as the kernel follows (linux/namei.h: MAXSYMLINKS). */
const MAX_SYMLINKS = 40;

/**
 * What a path that leads nowhere, in circles or through a file says; the last one is a symlink's target that
 * is too long.
 */
const NOWHERE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']);

/**
 * Reads a file of a root file system that a stranger filled. Symlinks are followed, the last component too,
 * as if the root were `/`: nothing outside is ever opened. Only a regular file is opened for reading; a
 * device, a fifo or a socket is found out without, since opening one may hang or set off something.
 *
 * @returns undefined where the path leads to no regular file
 * @throws {UnpackError} LIMIT_EXCEEDED; SystemError for what the file system refuses
 */
export function readRootFile(rootfd: number, path: BytePath, o: ReadRootFileOptions): Buffer | undefined {
  const fd = openFollowing(rootfd, path, o.resolver ?? defaultResolver());
  if (fd === undefined) return undefined;
  try {
    const { mode, size } = fstat(fd);
    if ((mode & S_IFMT) !== S_IFREG) return undefined;
    if (size > o.limit) {
      throw new UnpackError(
        'LIMIT_EXCEEDED',
        `${fromBytePath(path)} of the image has ${exactSize(size)}, more than ${formatSize(o.limit)}`,
        { details: { path: fromBytePath(path) } },
      );
    }
    return readAll(fd, size);
  } finally {
    closeSync(fd);
  }
}

/** A descriptor that only names the file (O_PATH), which is no symlink; undefined where nothing is there. */
function openFollowing(rootfd: number, path: BytePath, resolver: Resolver): number | undefined {
  let wanted = path;
  try {
    for (let followed = 0; followed <= MAX_SYMLINKS; followed++) {
      const fd = resolver.open(rootfd, wanted, O_PATH | O_NOFOLLOW);
      const target = symlinkTarget(fd);
      if (target === undefined) return fd;
      // The directory's own symlinks are followed when this is resolved, and `..` means what it leads to.
      wanted = target.startsWith('/') ? target : wanted.slice(0, wanted.lastIndexOf('/') + 1) + target;
    }
    return undefined;
  } catch (error) {
    if (error instanceof SystemError && NOWHERE.has(error.code)) return undefined;
    throw error;
  }
}

/** Where a symlink leads, which is closed then; undefined for anything else. */
function symlinkTarget(fd: number): BytePath | undefined {
  let keep = false;
  try {
    keep = (fstat(fd).mode & S_IFMT) !== S_IFLNK;
    return keep ? undefined : readlinkat(fd, '');
  } finally {
    if (!keep) closeSync(fd);
  }
}

/** Opens what is already found again, for reading. A file that shrinks meanwhile ends where it ends. */
function readAll(found: number, size: number): Buffer {
  const fd = openSync(procFdPath(found), O_RDONLY);
  try {
    const bytes = Buffer.alloc(size);
    let length = 0;
    for (let read = -1; read !== 0 && length < size; length += read) {
      read = readSync(fd, bytes, length, size - length, null);
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
