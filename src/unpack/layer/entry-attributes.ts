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
import { changesOwner, type Owner, type Ownership, ownerOf } from '../ownership.js';
import { xattrRefusal } from '../tree/refused-xattr.js';
import type { TarEntry } from '../archive/tar-entry.js';
import type { Warnings } from '../warnings.js';
import { type GivenAttributes, probeGivenAttributes } from './given-attributes.js';
import { keptXattrs } from './kept-xattrs.js';
import type { DirectoryAttributes } from './layer-node.js';

export const DEFAULT_ACL = 'system.posix_acl_default';

/** Permission to read and write for the owner. */
const OWNERS = 0o600;

export interface EntryAttributesOptions {
  readonly ownership: Ownership;
  /** Bytes of one value. */
  readonly xattrBytes: number;
  /** The layer's own. */
  readonly directory: string;
  readonly warnings: Warnings;
}

/** A directory of which an entry tells. */
export interface BegunDirectory {
  /** The entry made it, with {@link EntryAttributes.modeOfNewDirectory}. */
  readonly isNew: boolean;
  /** Of a new one, the group of the directory that it was made in. */
  readonly group: number;
  /** Its descriptor, if it is needed. */
  readonly open: () => number;
}

/**
 * Sets owner, xattrs, mode and times of what was just made, in this order: a change of owner clears setuid, setgid and
 * `security.capability`; a mode without write permission would refuse xattrs to a user who is not root; and times come
 * last, since all the others may touch them. What the kernel has given already is left as it is.
 */
export class EntryAttributes {
  readonly #options: EntryAttributesOptions;
  readonly #changesOwner: boolean;
  #given: GivenAttributes | undefined;

  constructor(options: EntryAttributesOptions) {
    this.#options = options;
    this.#changesOwner = changesOwner(options.ownership);
  }

  /**
   * To be called with the layer's root before anything is made below it. A default ACL that it got from the directory above
   * would be handed down to all that is made in it.
   */
  beginRoot(fd: number): void {
    this.clearXattrs(fd);
    this.#given = probeGivenAttributes(fd);
  }

  /** The permissions with which a file is to be made: we can write it, if only by its descriptor. */
  modeOfNewFile(entry: TarEntry): number {
    return this.#isMadeWithMode(entry) ? entry.mode : OWNERS | (entry.mode % 0o1000);
  }

  /** The permissions with which a device or fifo is to be made. */
  modeOfNewNode(entry: TarEntry): number {
    return this.#isMadeWithMode(entry) ? entry.mode : OWNERS;
  }

  /** The permissions with which a directory is to be made: we can fill it, and nobody else until it is done. */
  modeOfNewDirectory(entry: TarEntry): number {
    const isPrivate = (entry.mode & 0o722) === 0o700;
    return isPrivate && this.#isMadeWithMode(entry) ? entry.mode : 0o700;
  }

  /** Setuid, setgid and sticky go with an owner, and xattrs are set under another mode or change it. */
  #isMadeWithMode(entry: TarEntry): boolean {
    return this.#given?.exactModes === true && entry.mode < 0o1000 && entry.xattrs.size === 0;
  }

  /** Of an open file that was made with {@link modeOfNewFile} in a directory of that group. */
  setFile(fd: number, entry: TarEntry, group: number): void {
    const owner = this.#ownerToSet(entry, group);
    if (owner !== undefined) this.#own(entry, () => fchown(fd, owner.uid, owner.gid));
    this.#setXattrs(entry, (name, value) => fsetxattr(fd, name, value));
    if (!this.#isMadeWithMode(entry)) fchmod(fd, entry.mode);
    futimens(fd, entry.atime ?? entry.mtime, entry.mtime);
  }

  /** Of a symlink, or of a device or fifo made with {@link modeOfNewNode}: what must not be opened. */
  setSpecial(dirfd: number, name: BytePath, entry: TarEntry, group: number): void {
    const owner = this.#ownerToSet(entry, group);
    if (owner !== undefined) this.#own(entry, () => fchownat(dirfd, name, owner.uid, owner.gid));
    this.#setXattrs(entry, (xattr, value) => lsetxattr(procFdPath(dirfd, name), xattr, value));
    // Linux has no mode for a symlink. The name was made by us just now, so nothing else can be followed.
    const setsMode = entry.type !== 'symlink' && !this.#isMadeWithMode(entry);
    if (setsMode) fchmodat(dirfd, name, entry.mode);
    utimensat(dirfd, name, entry.atime ?? entry.mtime, entry.mtime);
  }

  /**
   * Of a directory, as far as it can have them yet; what waits for the end of the layer is returned. So does a default ACL,
   * which would be inherited by all that is still to come.
   */
  beginDirectory(directory: BegunDirectory, entry: TarEntry): DirectoryAttributes {
    const { isNew, group, open } = directory;
    const owner = isNew ? this.#ownerToSet(entry, group) : this.#ownerOf(entry);
    if (owner !== undefined) this.#own(entry, () => fchown(open(), owner.uid, owner.gid));
    if (!isNew) this.clearXattrs(open());
    let defaultAcl: Buffer | undefined;
    this.#setXattrs(entry, (name, value) => {
      if (name === DEFAULT_ACL) defaultAcl = Buffer.from(value);
      else fsetxattr(open(), name, value);
    });
    const { mode, mtime, atime = mtime } = entry;
    const modeIsSet = isNew && this.#isMadeWithMode(entry) && this.modeOfNewDirectory(entry) === mode;
    return { gid: owner?.gid ?? group, mode, modeIsSet, mtime, atime, defaultAcl };
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

  /** Undefined where it has the owner that it is to have. */
  #ownerToSet(entry: TarEntry, group: number): Owner | undefined {
    const owner = this.#ownerOf(entry);
    const given = this.#given;
    if (owner === undefined || given === undefined) return owner;
    const isGiven = owner.uid === given.uid && owner.gid === given.gid && group === given.gid;
    return isGiven ? undefined : owner;
  }

  /** Undefined where all is left to who runs this. */
  #ownerOf(entry: TarEntry): Owner | undefined {
    return this.#changesOwner ? ownerOf(this.#options.ownership, entry) : undefined;
  }

  #own(entry: TarEntry, chown: () => void): void {
    try {
      chown();
    } catch (error) {
      throw cannotOwn(error, entry);
    }
  }

  #setXattrs(entry: TarEntry, set: (name: BytePath, value: Buffer) => void): void {
    if (entry.xattrs.size === 0) return;
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
