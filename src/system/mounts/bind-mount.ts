import { closeSync, realpathSync } from 'node:fs';
import { isLandfallError, LandfallError, UnpackError } from '../../errors.js';
import { cString, libc, systemError, SystemError, toBytePath } from '../calls/libc.js';
import {
  attachMount,
  cloneTree,
  lacksMountCall,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
  setMountAttributes,
} from './mount-api.js';
import { readMountInfo } from './mount-info.js';

export interface BindMount {
  /** Paths are ordinary strings. */
  source: string;
  target: string;
  readOnly: boolean;
  /** With the mounts below the source. */
  recursive?: boolean;
  /** More MOUNT_ATTR_* of the mount. */
  attributes?: number;
}

/**
 * Shows a directory or file a second time. From Linux 5.12 on, read-only takes effect before the mount can be
 * seen.
 *
 * @throws LandfallError UNSUPPORTED without the privilege, IN_USE, NO_SPACE, FILESYSTEM
 */
export function bindMount(mount: BindMount): void {
  const recursive = mount.recursive ?? false;
  const attributes = (mount.attributes ?? 0) | (mount.readOnly ? MOUNT_ATTR_RDONLY : 0);
  try {
    bindByTree(mount, attributes, recursive);
  } catch (error) {
    if (!lacksMountCall(error)) throw mountError(error, `bind ${mount.source}`, mount.target);
    bindByFlags(mount, attributes, recursive);
  }
}

function bindByTree(mount: BindMount, attributes: number, recursive: boolean): void {
  const fd = cloneTree(mount.source, recursive);
  // Left open, the descriptor would keep the mount busy.
  try {
    if (attributes !== 0) setMountAttributes(fd, attributes, recursive);
    attachMount(fd, mount.target);
  } finally {
    closeSync(fd);
  }
}

/** Two steps, since mount(2) ignores the other flags of a new bind mount. */
export function bindByFlags(mount: BindMount, attributes: number, recursive: boolean): void {
  try {
    mount2(mount.source, mount.target, undefined, MS_BIND | (recursive ? MS_REC : 0));
    if (attributes === 0) return;
    try {
      const all = attributes | attributesOfMount(realpathSync(mount.target));
      mount2(undefined, mount.target, undefined, MS_REMOUNT | MS_BIND | mountFlags(all));
    } catch (error) {
      unmount(mount.target, { lazy: true });
      throw error;
    }
  } catch (error) {
    throw mountError(error, `bind ${mount.source}`, mount.target);
  }
}

const MS_REMOUNT = 32;
const MS_BIND = 4096;
const MS_REC = 16384;

interface Attribute {
  /** As the new mount API and `mount -o` call it. */
  readonly attribute: number;
  readonly option: string;
  /** As mount(2) calls it. */
  readonly flag: number;
}

const ATTRIBUTES: readonly Attribute[] = [
  { option: 'ro', attribute: MOUNT_ATTR_RDONLY, flag: 1 },
  { option: 'nosuid', attribute: MOUNT_ATTR_NOSUID, flag: 2 },
  { option: 'nodev', attribute: MOUNT_ATTR_NODEV, flag: 4 },
  { option: 'noexec', attribute: MOUNT_ATTR_NOEXEC, flag: 8 },
  { option: 'noatime', attribute: MOUNT_ATTR_NOATIME, flag: 1024 },
  { option: 'nodiratime', attribute: MOUNT_ATTR_NODIRATIME, flag: 2048 },
  { option: 'strictatime', attribute: MOUNT_ATTR_STRICTATIME, flag: 2 ** 24 },
];

/** The MOUNT_ATTR_* of an option of `mount -o`, or undefined. */
export function attributeOf(option: string): number | undefined {
  return ATTRIBUTES.find((known) => known.option === option)?.attribute;
}

/** MOUNT_ATTR_* as the flags of mount(2). */
export function mountFlags(attributes: number): number {
  return ATTRIBUTES.reduce(
    (sum, { attribute, flag }) => ((attributes & attribute) === 0 ? sum : sum | flag),
    0,
  );
}

/**
 * The MOUNT_ATTR_* of the mount at this path. A remount must repeat them: it would clear them, and in a user
 * namespace those that came from outside may not be cleared.
 */
function attributesOfMount(target: string): number {
  const options = readMountInfo().findLast((mount) => mount.target === target)?.options ?? [];
  return options.reduce((sum, option) => sum | (attributeOf(option) ?? 0), 0);
}

/** mount(2). Paths are ordinary strings; `options` is what the file system itself takes, less than a page. */
export function mount2(
  source: string | undefined,
  target: string,
  type: string | undefined,
  flags: number,
  options?: string,
): void {
  const text = (value: string | undefined): Buffer | null =>
    value === undefined ? null : cString(toBytePath(value));
  if (libc().mount(text(source), text(target), text(type), flags, text(options)) < 0) {
    throw systemError('mount', toBytePath(target));
  }
}

/**
 * A failed mount in the words of the person who asked for it. `reason` is what the kernel says of it, where
 * it says something.
 */
export function mountError(error: unknown, what: string, target: string, reason?: string): LandfallError {
  if (isLandfallError(error)) return error;
  const code = error instanceof SystemError ? error.code : undefined;
  const because = reason ?? (error instanceof Error ? error.message : String(error));
  const message = `cannot ${what} at ${target}: ${because}`;
  switch (code) {
    case 'EPERM':
    case 'EACCES':
      return new LandfallError('UNSUPPORTED', message, {
        cause: error,
        hint: 'Mounting needs root (CAP_SYS_ADMIN), or a user and mount namespace of its own: `unshare -Urm`.',
      });
    case 'ENODEV':
      return new LandfallError('UNSUPPORTED', message, {
        cause: error,
        hint: 'Load the overlay module (`modprobe overlay`), or use the native snapshotter, which needs no mounts.',
      });
    case 'EBUSY':
      return new LandfallError('IN_USE', message, {
        cause: error,
        hint: 'See that no process has a file open there or works in it, and that no other mount uses the same upper directory.',
      });
    case 'ENOSPC':
      return new UnpackError('NO_SPACE', message, {
        cause: error,
        details: { path: target },
        hint: 'The limit of mounts of this namespace may be reached: see /proc/sys/fs/mount-max.',
      });
    case 'EINVAL':
      return new UnpackError('FILESYSTEM', message, {
        cause: error,
        details: { path: target },
        hint: 'See `dmesg` for what the kernel objects to. An upper and a work directory lie on one file system, which holds trusted.* attributes and is no overlay itself.',
      });
    default:
      return new UnpackError('FILESYSTEM', message, { cause: error, details: { path: target } });
  }
}

const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/**
 * Takes away the topmost mount at a path (an ordinary string); a symlink there is not followed. With `lazy`
 * it goes from sight at once and ends when nobody uses it any more.
 *
 * @throws LandfallError INVALID_CONFIG where nothing is mounted there, IN_USE, UNSUPPORTED without the
 *   privilege
 */
export function unmount(target: string, o: { lazy?: boolean } = {}): void {
  const flags = UMOUNT_NOFOLLOW | (o.lazy === true ? MNT_DETACH : 0);
  if (libc().umount2(cString(toBytePath(target)), flags) >= 0) return;
  const error = systemError('umount2', toBytePath(target));
  if (error.code === 'EINVAL' || error.code === 'ENOENT' || error.code === 'ENOTDIR') {
    throw new LandfallError('INVALID_CONFIG', `${target} is not a mount point`, {
      cause: error,
      hint: 'Name the directory that was given to mount.',
    });
  }
  throw mountError(error, 'unmount what is', target);
}
