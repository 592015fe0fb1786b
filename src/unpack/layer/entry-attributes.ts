import { systemCode } from '../../errors.js';
import { LIMITS } from '../../spec/index.js';
import {
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  flistxattr,
  fremovexattr,
  fsetxattr,
  futimens,
  lsetxattr,
  procFdPath,
  utimensat,
  type BytePath,
} from '../../system/index.js';
import { limitExceeded, printable } from '../archive-error.js';
import type { TarEntry } from '../archive/tar-entry.js';
import type { Warnings } from '../warnings.js';

export const DEFAULT_ACL = 'system.posix_acl_default';

/** Where overlayfs keeps its own marks: in the mount they would hide, redirect or merge what the layer has no right to. */
const OVERLAY_PREFIXES = ['trusted.overlay.', 'user.overlay.'];

/** What a file system says that has no such attributes, or does not let this user set them. */
const REFUSED: ReadonlySet<string | undefined> = new Set(['ENOTSUP', 'EPERM', 'EACCES']);

export interface EntryAttributesOptions {
  /** Whether the owner is set. */
  readonly ownership: 'preserve' | 'caller';
  readonly warnings: Warnings;
}

/**
 * Sets owner, xattrs, mode and times of what was just made, in this order: a change of owner clears setuid, setgid and
 * `security.capability`; a mode without write permission would refuse xattrs to a user who is not root; and times come
 * last, since all the others may touch them.
 */
export class EntryAttributes {
  readonly #options: EntryAttributesOptions;

  constructor(options: EntryAttributesOptions) {
    this.#options = options;
  }

  /** Of an open file. */
  setFile(fd: number, entry: TarEntry): void {
    if (this.#options.ownership === 'preserve') fchown(fd, entry.uid, entry.gid);
    this.#setXattrs(entry, (name, value) => fsetxattr(fd, name, value));
    fchmod(fd, entry.mode);
    futimens(fd, entry.atime ?? entry.mtime, entry.mtime);
  }

  /** Of a symlink, device or fifo, which must not be opened. */
  setSpecial(dirfd: number, name: BytePath, entry: TarEntry): void {
    if (this.#options.ownership === 'preserve') fchownat(dirfd, name, entry.uid, entry.gid);
    this.#setXattrs(entry, (xattr, value) => lsetxattr(procFdPath(dirfd, name), xattr, value));
    // Linux has no mode for a symlink. The name was made by us just now, so nothing else can be followed.
    if (entry.type !== 'symlink') fchmodat(dirfd, name, entry.mode);
    utimensat(dirfd, name, entry.atime ?? entry.mtime, entry.mtime);
  }

  /**
   * Of an open directory, as far as it can have them yet: mode and times wait for the end of the layer. So does a default ACL, which would be
   * inherited by all that is still to come; it is returned.
   */
  beginDirectory(fd: number, entry: TarEntry, isNew: boolean): Buffer | undefined {
    if (this.#options.ownership === 'preserve') fchown(fd, entry.uid, entry.gid);
    if (!isNew) this.#clearXattrs(fd);
    let defaultAcl: Buffer | undefined;
    this.#setXattrs(entry, (name, value) => {
      if (name === DEFAULT_ACL) defaultAcl = Buffer.from(value);
      else fsetxattr(fd, name, value);
    });
    return defaultAcl;
  }

  /** Runs what sets one attribute; a file system's refusal is a warning, once for each name space. */
  setXattr(name: BytePath, entry: BytePath, set: () => void): void {
    try {
      set();
    } catch (error) {
      const code = systemCode(error);
      if (!REFUSED.has(code)) throw error;
      const space = printable(name.split('.', 1)[0] ?? name);
      this.#options.warnings.once(
        `xattr ${space} ${code}`,
        `extended attributes in ${space} are not kept, the file system refuses them (${code}); the first is ${printable(name)} of ${printable(entry)}`,
      );
    }
  }

  #setXattrs(entry: TarEntry, set: (name: BytePath, value: Buffer) => void): void {
    for (const [name, value] of entry.xattrs) {
      if (this.#isDropped(name, entry)) continue;
      checkXattr(name, value);
      this.setXattr(name, entry.path, () => set(name, value));
    }
  }

  #isDropped(name: BytePath, entry: TarEntry): boolean {
    const prefix = OVERLAY_PREFIXES.find((candidate) => name.startsWith(candidate));
    if (prefix === undefined) return false;
    this.#options.warnings.once(
      prefix,
      `extended attributes ${prefix}* are not kept, since overlay mounts would obey them; the first is of ${printable(entry.path)}`,
    );
    return true;
  }

  /** What the earlier entry of the same directory set, which the later one replaces. */
  #clearXattrs(fd: number): void {
    let names: BytePath[] = [];
    try {
      names = flistxattr(fd);
    } catch (error) {
      if (systemCode(error) !== 'ENOTSUP') throw error;
    }
    for (const name of names) {
      // A security module labels files by itself, and does not let go.
      if (name !== 'security.selinux') fremovexattr(fd, name);
    }
  }
}

function checkXattr(name: BytePath, value: Buffer): void {
  if (name.length > LIMITS.xattrNameBytes) {
    throw limitExceeded(`the name of an extended attribute has more than ${LIMITS.xattrNameBytes} bytes`);
  }
  if (value.length > LIMITS.xattrBytes) {
    throw limitExceeded(`an extended attribute has more than ${LIMITS.xattrBytes} bytes`);
  }
}
