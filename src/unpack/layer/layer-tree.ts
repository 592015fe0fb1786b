import { closeSync, openSync, readdirSync } from 'node:fs';
import { systemCode } from '../../errors.js';
import { formatSize, LIMITS, type UnpackLimits } from '../../spec/index.js';
import {
  AT_REMOVEDIR,
  defaultResolver,
  fchownat,
  fchmodat,
  fromBytePath,
  mkdirat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  procFdPath,
  readlinkat,
  unlinkat,
  unlinkatIfPresent,
  type BytePath,
  type Resolver,
} from '../../system/index.js';
import type { OmittedDevice } from '../jobs/apply-job.js';
import { limitExceeded, printable, type Warnings } from '../terms/layer-fault.js';
import { type Owner, UNCHANGED } from '../terms/ownership.js';
import type { DeviceEntry } from './check-entry.js';
import { cannotOwn } from './entry-attributes.js';
import { LayerNode, type LayerPathLimits, LayerPaths, NOT_A_LINK } from './layer-paths.js';

/** Directories kept open. Entries come grouped by directory, so a few serve nearly all of them. */
const OPEN_DIRECTORIES = 32;
const IMPLIED_MODE = 0o755;
/** What a directory takes in memory beside its path and the path of its entry: measured, and rounded up. */
const NOTE_BYTES = 600;

export interface LayerTreeOptions {
  /** Of directories that are only implied; absent where they stay with who runs this. */
  readonly owner: Owner | undefined;
  readonly limits: LayerPathLimits & Pick<UnpackLimits, 'notedBytes'>;
  readonly resolver?: Resolver;
}

/**
 * The directories below a layer's root. Nobody but this layer's archive writes there, and every descriptor
 * comes from the root's, or from that of the directory above, by a path that may hold no symlink (or is
 * refused by the kernel): what is done to one of its names happens below the root.
 */
export class LayerTree extends LayerPaths<LayerNode> {
  readonly root: LayerNode = new LayerNode();
  readonly rootfd: number;
  readonly #options: LayerTreeOptions;
  readonly #resolver: Resolver;
  /** Least recently used first. */
  readonly #open = new Map<LayerNode, number>();
  /** The last of them. */
  #latest: LayerNode | undefined;
  #notedBytes = 0;

  constructor(directory: string, options: LayerTreeOptions) {
    super(options.limits);
    this.#options = options;
    this.#resolver = options.resolver ?? defaultResolver();
    this.rootfd = openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      this.#settle(this.rootfd, '.');
    } catch (error) {
      closeSync(this.rootfd);
      throw error;
    }
  }

  close(): void {
    for (const node of this.#open.keys()) this.#forget(node);
    closeSync(this.rootfd);
  }

  /** A descriptor of the directory; it may be closed when another directory is opened. */
  descriptor(node: LayerNode): number {
    if (node === this.root) return this.rootfd;
    const known = this.#open.get(node);
    if (known !== undefined) {
      // To put the last one last again, for nearly every entry, would make the map anew all the time.
      if (node === this.#latest) return known;
      this.#open.delete(node);
    }
    const fd = known ?? this.#openDirectory(node);
    this.#open.set(node, fd);
    this.#latest = node;
    if (this.#open.size > OPEN_DIRECTORIES) this.#closeOldest();
    return fd;
  }

  #openDirectory(node: LayerNode): number {
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    const above = node.parent === this.root ? this.rootfd : this.#openDescriptor(node.parent);
    if (above !== undefined) return openat(above, node.name, flags);
    return this.#resolver.open(this.rootfd, node.path, flags, 0, { symlinks: 'refused' });
  }

  #openDescriptor(node: LayerNode | undefined): number | undefined {
    return node === undefined ? undefined : this.#open.get(node);
  }

  /** The group of a directory, as far as we have set any. */
  groupOf(node: LayerNode): number {
    return node.attributes?.gid ?? this.#options.owner?.gid ?? UNCHANGED;
  }

  protected override imply(parent: LayerNode, name: BytePath): LayerNode {
    const child = this.makeDirectory(parent, name, IMPLIED_MODE);
    this.#settle(this.descriptor(parent), name);
    return child;
  }

  /**
   * Gives a directory what it has as long as no entry says more: the umask, or a directory above, may have
   * given it another.
   */
  #settle(dirfd: number, name: BytePath): void {
    fchmodat(dirfd, name, IMPLIED_MODE);
    const { owner } = this.#options;
    if (owner === undefined) return;
    try {
      fchownat(dirfd, name, owner.uid, owner.gid);
    } catch (error) {
      throw cannotOwn(error, owner);
    }
  }

  /**
   * Counts what is kept in memory until the layer is done: few bytes of an archive can ask for any number of
   * directories.
   *
   * @throws {UnpackError} LIMIT_EXCEEDED
   */
  note(...paths: readonly BytePath[]): void {
    for (const { length } of paths) this.#notedBytes += NOTE_BYTES + 2 * length;
    const { notedBytes } = this.#options.limits;
    if (this.#notedBytes <= notedBytes) return;
    throw limitExceeded(
      `the directories, whiteouts and links to lower layers of the layer take more than ${formatSize(notedBytes)} of memory`,
    );
  }

  protected override addAbsent(parent: LayerNode, name: BytePath): LayerNode {
    const child = this.#newNode(parent, name);
    parent.absent ??= new Map();
    parent.absent.set(name, child);
    return child;
  }

  /** Makes a directory where nothing is. The mode is subject to the umask. */
  makeDirectory(parent: LayerNode, name: BytePath, mode: number): LayerNode {
    const child = parent.absent?.get(name) ?? this.#newNode(parent, name);
    mkdirat(this.descriptor(parent), name, mode);
    parent.absent?.delete(name);
    parent.children.set(name, child);
    return child;
  }

  #newNode(parent: LayerNode, name: BytePath): LayerNode {
    const child = new LayerNode(parent, name);
    this.checkPath(child.path);
    this.note(child.path);
    return child;
  }

  /** Runs what makes a name; where something is at the name, removes that and runs it again. */
  replace<T>(
    parent: LayerNode,
    name: BytePath,
    make: (dirfd: number) => T,
  ): { readonly made: T; readonly replaced: boolean } {
    const replaced = parent.removeLink(name);
    try {
      return { made: make(this.descriptor(parent)), replaced };
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
      this.remove(parent, name);
      return { made: make(this.descriptor(parent)), replaced: true };
    }
  }

  protected override readlink(node: LayerNode, name: BytePath): BytePath | typeof NOT_A_LINK | undefined {
    try {
      return readlinkat(this.descriptor(node), name);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT') return undefined;
      if (code === 'EINVAL') return NOT_A_LINK;
      if (code === 'ENAMETOOLONG') throw limitExceeded(`a name has more than ${LIMITS.nameBytes} bytes`);
      throw error;
    }
  }

  /** Removes what is at a name, a directory with all that is in it. */
  remove(parent: LayerNode, name: BytePath): void {
    this.forgetPaths();
    parent.removeLink(name);
    const child = parent.children.get(name);
    if (child === undefined) unlinkatIfPresent(this.descriptor(parent), name);
    else this.#removeDirectory(parent, child, name);
  }

  #removeDirectory(parent: LayerNode, node: LayerNode, name: BytePath): void {
    for (const [childName, child] of node.children) this.#removeDirectory(node, child, childName);
    const dirfd = this.descriptor(node);
    const names = readdirSync(procFdPath(dirfd), { encoding: 'latin1' });
    for (const file of names) unlinkat(dirfd, file);
    this.#forget(node);
    unlinkat(this.descriptor(parent), name, AT_REMOVEDIR);
    parent.children.delete(name);
  }

  #forget(node: LayerNode): void {
    const fd = this.#open.get(node);
    if (fd === undefined) return;
    this.#open.delete(node);
    closeSync(fd);
  }

  #closeOldest(): void {
    for (const node of this.#open.keys()) {
      this.#forget(node);
      return;
    }
  }
}

/** A list of devices has to stop somewhere; the warning says that there are any. */
const TOLD = 1000;

/** The device nodes of a layer that are not made. */
export class OmittedDevices {
  /** In the archive's order; only the first thousand of them. */
  readonly reported: OmittedDevice[] = [];
  readonly #tree: LayerTree;
  readonly #warnings: Warnings;
  /** What would be at a name, in a directory as long as the layer has it. */
  readonly #devices = new WeakMap<LayerNode, Map<BytePath, DeviceEntry>>();

  constructor(tree: LayerTree, warnings: Warnings) {
    this.#tree = tree;
    this.#warnings = warnings;
  }

  /** Leaves a device out. What the lower layers have at the name must not show through. */
  omit(parent: LayerNode, name: BytePath, device: DeviceEntry, reason: string): void {
    const { path, type, major, minor } = device;
    this.#tree.remove(parent, name);
    parent.addWhiteout(name);
    const devices = this.#devices.get(parent) ?? new Map<BytePath, DeviceEntry>();
    this.#devices.set(parent, devices.set(name, device));
    if (this.reported.length < TOLD) {
      this.reported.push({ path: fromBytePath(parent.pathOf(name)), type, major, minor });
    }
    this.#warnings.once(type, `${type} devices are left out, ${reason}; the first is ${printable(path)}`);
  }

  /** The device that would be at a name where nothing is. */
  at(parent: LayerNode, name: BytePath): DeviceEntry | undefined {
    return this.#devices.get(parent)?.get(name);
  }
}
