import { closeSync, readSync } from 'node:fs';
import { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, O_CLOEXEC } from '../calls/stat.js';
import {
  type BytePath,
  cString,
  libc,
  managed,
  SYSCALL,
  systemError,
  SystemError,
  toBytePath,
} from '../calls/libc.js';

/*
 * The mount API of Linux 5.2: a mount is made step by step through descriptors, and appears nowhere before it is
 * attached. Paths are ordinary strings. All throw SystemError; ENOSYS or EPERM where there is no such call.
 */

const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
const OPEN_TREE_CLONE = 1;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;

export const MOUNT_ATTR_RDONLY = 0x01;
export const MOUNT_ATTR_NOSUID = 0x02;
export const MOUNT_ATTR_NODEV = 0x04;
export const MOUNT_ATTR_NOEXEC = 0x08;
export const MOUNT_ATTR_NOATIME = 0x10;
export const MOUNT_ATTR_STRICTATIME = 0x20;
export const MOUNT_ATTR_NODIRATIME = 0x80;
const MOUNT_ATTR_ATIME = 0x70;
const MOUNT_ATTR_IDMAP = 0x10_0000n;

/** A file system that is being configured; close it when done. */
export class FilesystemContext {
  readonly fd: number;

  /** @throws SystemError ENODEV for a type that the kernel does not know */
  constructor(type: string) {
    this.fd = managed(checked('fsopen', libc().fsopen(SYSCALL.fsopen, cString(type), FSOPEN_CLOEXEC)));
  }

  /** The kernel takes values of at most 255 bytes. */
  set(key: string, value: string): void {
    const path = toBytePath(value);
    const result = libc().fsconfig(
      SYSCALL.fsconfig,
      this.fd,
      FSCONFIG_SET_STRING,
      cString(key),
      cString(path),
      0,
    );
    checked(`fsconfig ${key}`, result, path);
  }

  flag(key: string): void {
    const result = libc().fsconfig(SYSCALL.fsconfig, this.fd, FSCONFIG_SET_FLAG, cString(key), null, 0);
    checked(`fsconfig ${key}`, result);
  }

  /**
   * Makes the file system and returns a descriptor of a mount of it that is attached nowhere. Closing that
   * descriptor undoes it.
   */
  mount(attributes: number): number {
    checked(
      'fsconfig create',
      libc().fsconfig(SYSCALL.fsconfig, this.fd, FSCONFIG_CMD_CREATE, null, null, 0),
    );
    return managed(checked('fsmount', libc().fsmount(SYSCALL.fsmount, this.fd, FSMOUNT_CLOEXEC, attributes)));
  }

  /** What the kernel has to say of the last failure, if anything. */
  message(): string | undefined {
    const buffer = Buffer.alloc(4096);
    const messages: string[] = [];
    try {
      for (;;) {
        // Each read gives one message, with its kind before it: `e overlay: …`.
        const length = readSync(this.fd, buffer);
        if (length === 0) break;
        messages.push(
          buffer
            .toString('utf8', 0, length)
            .trim()
            .replace(/^[ewi] /, ''),
        );
      }
    } catch {
      // ENODATA: no more of them.
    }
    return messages.length === 0 ? undefined : messages.join('; ');
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** A detached copy of the mount that holds `source`, or of all mounts below it. */
export function cloneTree(source: string, recursive: boolean): number {
  const path = toBytePath(source);
  const flags = OPEN_TREE_CLONE | O_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  return managed(
    checked('open_tree', libc().openTree(SYSCALL.openTree, AT_FDCWD, cString(path), flags), path),
  );
}

/** Sets attributes of a detached mount (Linux 5.12). */
export function setMountAttributes(mountFd: number, attributes: number, recursive: boolean): void {
  const request = Buffer.alloc(32);
  request.writeBigUInt64LE(BigInt(attributes), 0);
  // The kinds of atime are one field, which is cleared before it is set.
  if ((attributes & MOUNT_ATTR_ATIME) !== 0) request.writeBigUInt64LE(BigInt(MOUNT_ATTR_ATIME), 8);
  setAttributes(mountFd, request, AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
}

/** Has a detached mount show the owners that a user namespace maps those on the disk to (Linux 5.12). */
export function mapMountOwners(mountFd: number, userNamespaceFd: number): void {
  const request = Buffer.alloc(32);
  request.writeBigUInt64LE(MOUNT_ATTR_IDMAP, 0);
  request.writeBigUInt64LE(BigInt(userNamespaceFd), 24);
  setAttributes(mountFd, request, AT_EMPTY_PATH);
}

function setAttributes(mountFd: number, request: Buffer, flags: number): void {
  const empty = cString('');
  const result = libc().mountSetattr(SYSCALL.mountSetattr, mountFd, empty, flags, request, request.length);
  checked('mount_setattr', result);
}

/** Attaches a detached mount. */
export function attachMount(mountFd: number, target: string): void {
  const path = toBytePath(target);
  const [empty, to] = [cString(''), cString(path)];
  const result = libc().moveMount(SYSCALL.moveMount, mountFd, empty, AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH);
  checked('move_mount', result, path);
}

/** Whether the kernel has the API, this process the privilege, and no seccomp filter refuses it. */
export function mountApiAvailable(): boolean {
  try {
    new FilesystemContext('tmpfs').close();
    return true;
  } catch (error) {
    return error instanceof SystemError && error.code === 'ENODEV';
  }
}

/**
 * Whether a call failed because the kernel lacks it, or a seccomp filter or the lack of privilege hides it.
 */
export function lacksMountCall(error: unknown): boolean {
  return error instanceof SystemError && (error.code === 'ENOSYS' || error.code === 'EPERM');
}

function checked(syscall: string, result: number, path?: BytePath): number {
  if (result < 0) throw systemError(syscall, path);
  return result;
}
