import { closeSync } from 'node:fs';
import { systemCode, UnpackError } from '../../errors.js';
import { formatSize, LIMITS } from '../../spec/index.js';
import {
  type BytePath,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  flistxattr,
  fremovexattr,
  fsetxattr,
  fstat,
  futimens,
  lsetxattr,
  O_TMPFILE,
  O_WRONLY,
  openat,
  procFdPath,
  S_IFMT,
  SystemError,
  threadUmaskIsClear,
  utimensat,
} from '../../system/index.js';
import { limitExceeded, printable, type Warnings } from '../terms/layer-fault.js';
import type { TarEntry } from '../tar/tar-header.js';
import { changesOwner, type Owner, ownerOf, type Ownership } from '../terms/ownership.js';
import { xattrRefusal } from '../disk/file-attributes.js';
import type { DirectoryAttributes } from './layer-paths.js';

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
 * Sets owner, xattrs, mode and times of what was just made, in this order: a change of owner clears setuid,
 * setgid and `security.capability`; a mode without write permission would refuse xattrs to a user who is not
 * root; and times come last, since all the others may touch them. What the kernel has given already is left
 * as it is.
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
   * To be called with the layer's root before anything is made below it. A default ACL that it got from the
   * directory above would be handed down to all that is made in it.
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

  /**
   * The permissions with which a directory is to be made: we can fill it, and nobody else until it is done.
   */
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
   * Of a directory, as far as it can have them yet; what waits for the end of the layer is returned. So does
   * a default ACL, which would be inherited by all that is still to come.
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

  /**
   * Takes from a directory what an earlier entry set, or the directory above handed down: a later entry
   * replaces it all.
   */
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

/** Every permission, so that one which is taken away shows. */
const ALL = 0o777;

/**
 * What the kernel gives to what is made in a directory, as it was seen to: what is so already need not be
 * set.
 */
interface GivenAttributes {
  readonly uid: number;
  /**
   * In a directory of this group. A directory of another group may hand its own down: the mount option grpid
   * is for that.
   */
  readonly gid: number;
  /** Permissions come out as they were asked for: no umask, default ACL or mount option takes some away. */
  readonly exactModes: boolean;
}

/**
 * Makes a file without a name in a directory and looks at it. Undefined where that cannot be done: then
 * nothing is known. A file system may give files to somebody else than who makes them, as NFS does with
 * root's.
 */
function probeGivenAttributes(dirfd: number): GivenAttributes | undefined {
  let fd: number;
  try {
    fd = openat(dirfd, '.', O_TMPFILE | O_WRONLY, ALL);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
  try {
    const { uid, gid, mode } = fstat(fd);
    // A umask that is not this thread's own may change at any time.
    return { uid, gid, exactModes: threadUmaskIsClear() && (mode & ~S_IFMT) === ALL };
  } finally {
    closeSync(fd);
  }
}

/**
 * Where overlayfs keeps its own marks: in the mount they would hide, redirect or merge what the layer has no
 * right to.
 */
const OVERLAY_PREFIXES = ['trusted.overlay.', 'user.overlay.'];

const CAPABILITY = 'security.capability';

/**
 * The extended attributes of an entry that are kept, in the archive's order. The values are views, as the
 * entry's.
 *
 * @param xattrBytes - of one value at most
 * @throws {UnpackError} LIMIT_EXCEEDED
 */
export function* keptXattrs(
  entry: TarEntry,
  xattrBytes: number,
  warnings: Warnings,
): Generator<readonly [name: BytePath, value: Buffer], void, undefined> {
  for (const [name, value] of entry.xattrs) {
    const overlay = OVERLAY_PREFIXES.find((prefix) => name.startsWith(prefix));
    if (overlay !== undefined) {
      warnings.once(
        overlay,
        `extended attributes ${overlay}* are not kept, since overlay mounts would obey them; the first is of ${printable(entry.path)}`,
      );
      continue;
    }
    checkXattr(name, value, xattrBytes);
    // The kernel takes it, gives no capability for it, and then cannot read it again (commoncap.c:
    // cap_inode_getsecurity).
    if (name === CAPABILITY && value.length === 0) {
      warnings.once(
        CAPABILITY,
        `an empty ${CAPABILITY} is not kept; the first is of ${printable(entry.path)}`,
      );
      continue;
    }
    yield [name, value];
  }
}

function checkXattr(name: BytePath, value: Buffer, xattrBytes: number): void {
  if (name.length > LIMITS.xattrNameBytes) {
    throw limitExceeded(`the name of an extended attribute has more than ${LIMITS.xattrNameBytes} bytes`);
  }
  if (value.length > xattrBytes) {
    throw limitExceeded(`an extended attribute has more than ${formatSize(xattrBytes)}`);
  }
}
