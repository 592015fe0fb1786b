import { systemCode, UnpackError } from '../../errors.js';
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
import { printable } from '../archive-error.js';
import { changesOwner, type Ownership, ownerOf } from '../ownership.js';
import { xattrRefusal } from '../tree/refused-xattr.js';
import type { TarEntry } from '../archive/tar-entry.js';
import type { Warnings } from '../warnings.js';
import { keptXattrs } from './kept-xattrs.js';

export const DEFAULT_ACL = 'system.posix_acl_default';

export interface EntryAttributesOptions {
  readonly ownership: Ownership;
  /** Bytes of one value. */
  readonly xattrBytes: number;
  /** The layer's own. */
  readonly directory: string;
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
    this.#own(entry, (uid, gid) => fchown(fd, uid, gid));
    this.#setXattrs(entry, (name, value) => fsetxattr(fd, name, value));
    fchmod(fd, entry.mode);
    futimens(fd, entry.atime ?? entry.mtime, entry.mtime);
  }

  /** Of a symlink, device or fifo, which must not be opened. */
  setSpecial(dirfd: number, name: BytePath, entry: TarEntry): void {
    this.#own(entry, (uid, gid) => fchownat(dirfd, name, uid, gid));
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
    this.#own(entry, (uid, gid) => fchown(fd, uid, gid));
    if (!isNew) this.clearXattrs(fd);
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
      const reason = xattrRefusal(error, this.#options.directory);
      if (reason === undefined) throw error;
      const space = printable(name.split('.', 1)[0] ?? name);
      this.#options.warnings.once(
        `xattr ${space} ${reason}`,
        `extended attributes in ${space} are not kept, the file system refuses them (${reason}); the first is ${printable(name)} of ${printable(entry)}`,
      );
    }
  }

  #own(entry: TarEntry, chown: (uid: number, gid: number) => void): void {
    const { ownership } = this.#options;
    if (!changesOwner(ownership)) return;
    const { uid, gid } = ownerOf(ownership, entry);
    try {
      chown(uid, gid);
    } catch (error) {
      throw cannotOwn(error, entry);
    }
  }

  #setXattrs(entry: TarEntry, set: (name: BytePath, value: Buffer) => void): void {
    const { xattrBytes, warnings } = this.#options;
    for (const [name, value] of keptXattrs(entry, xattrBytes, warnings)) {
      this.setXattr(name, entry.path, () => set(name, value));
    }
  }

  /** Takes from a directory what an earlier entry set, or the directory above handed down: a later entry replaces it all. */
  clearXattrs(fd: number): void {
    for (const name of this.#unlessRefused(() => flistxattr(fd)) ?? []) {
      // A security module labels files by itself, and does not let go.
      this.#unlessRefused(() => fremovexattr(fd, name));
    }
  }

  #unlessRefused<T>(call: () => T): T | undefined {
    try {
      return call();
    } catch (error) {
      if (xattrRefusal(error, this.#options.directory) === undefined) throw error;
      return undefined;
    }
  }
}

/** EPERM: who is not root may give nothing away. EINVAL: the user namespace has no such ID. */
export function cannotOwn(error: unknown, { uid, gid }: Pick<TarEntry, 'uid' | 'gid'>): unknown {
  const code = systemCode(error);
  if (code !== 'EPERM' && code !== 'EINVAL') return error;
  const reason =
    code === 'EPERM' ? 'this user may not give files to others' : 'the user namespace has no such IDs';
  return new UnpackError('UNSUPPORTED', `the owner ${uid}:${gid} cannot be set, ${reason}`, {
    cause: error,
    hint: 'Map the IDs of the image to those that there are with --uid-map and --gid-map, or unpack as an ordinary user.',
  });
}
