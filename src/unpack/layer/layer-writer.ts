import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import { systemCode, UnpackError } from '../../errors.js';
import { formatSize, type UnpackLimits, unpackLimits } from '../../spec/index.js';
import {
  type BytePath,
  fromBytePath,
  mknodat,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  openat,
  type Resolver,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  symlinkat,
  write,
} from '../../system/index.js';
import {
  atEntry,
  badArchive,
  filesystemError,
  limitExceeded,
  printable,
  Warnings,
} from '../terms/layer-fault.js';
import type { SparseSegment, TarEntry } from '../tar/tar-header.js';
import type { TarHandler } from '../tar/tar-reader.js';
import type { LayerChanges } from '../terms/layer-changes.js';
import { changesOwner, ownerOf, type Ownership } from '../terms/ownership.js';
import type { OmittedDevice } from '../jobs/apply-job.js';
import { checkEntry, isDevice } from './check-entry.js';
import { EntryAttributes } from './entry-attributes.js';
import { finishLayer, HardLinks } from './finish-layer.js';
import type { LayerNode } from './layer-paths.js';
import { LayerTree, OmittedDevices } from './layer-tree.js';

export interface LayerWriterOptions {
  readonly ownership: Ownership;
  /** Whether device nodes are made, where this user may; they are left out otherwise. */
  readonly devices: boolean;
  /** Default: LIMITS of src/spec. */
  readonly limits?: UnpackLimits;
  readonly warnings?: Warnings;
  /** How paths are held below the directory; by default the best way that the kernel has. */
  readonly resolver?: Resolver;
}

/**
 * Writes a layer's entries below an empty directory (image-spec layer.md: Applying Changesets), alone: what
 * concerns lower layers is only noted down, in {@link LayerChanges}. An entry replaces what an earlier one
 * made at the same path, but a directory over a directory keeps what is in it.
 *
 * Methods throw UnpackError: UNSAFE_PATH, BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED, NO_SPACE,
 * FILESYSTEM. After an error only {@link close} may be called, and it must be called in any case.
 */
export class LayerWriter implements TarHandler {
  readonly #options: LayerWriterOptions;
  readonly #tree: LayerTree;
  readonly #attributes: EntryAttributes;
  readonly #warnings: Warnings;
  readonly #limits: UnpackLimits;
  readonly #omitted: OmittedDevices;
  readonly #links: HardLinks;
  #content: FileContent | undefined;
  #aclBytes = 0;

  constructor(directory: string, options: LayerWriterOptions) {
    this.#options = options;
    this.#warnings = options.warnings ?? new Warnings();
    this.#limits = options.limits ?? unpackLimits();
    const { ownership } = options;
    const { xattrBytes } = this.#limits;
    const warnings = this.#warnings;
    this.#attributes = new EntryAttributes({ ownership, xattrBytes, directory, warnings });
    this.#tree = new LayerTree(directory, {
      owner: changesOwner(ownership) ? ownerOf(ownership, { uid: 0, gid: 0 }) : undefined,
      limits: this.#limits,
      ...(options.resolver === undefined ? {} : { resolver: options.resolver }),
    });
    this.#attributes.beginRoot(this.#tree.rootfd);
    this.#omitted = new OmittedDevices(this.#tree, warnings);
    this.#links = new HardLinks(this.#tree, this.#omitted, warnings);
  }

  /** Devices that were left out, in the archive's order; only the first thousand of them. */
  get omitted(): readonly OmittedDevice[] {
    return this.#omitted.reported;
  }

  get warnings(): readonly string[] {
    return this.#warnings.list();
  }

  entry(entry: TarEntry): void {
    try {
      this.#place(entry);
    } catch (error) {
      throw entryError(error, entry.path);
    }
  }

  data(chunk: Buffer): void {
    const content = this.#content;
    if (content === undefined) return;
    try {
      content.write(chunk);
    } catch (error) {
      throw entryError(error, content.entry.path);
    }
  }

  endEntry(): void {
    const content = this.#content;
    if (content === undefined) return;
    try {
      content.finish();
      this.#attributes.setFile(content.fd, content.entry, content.group);
    } catch (error) {
      throw entryError(error, content.entry.path);
    }
    this.#content = undefined;
    content.close();
  }

  /** The archive is at its end: gives directories what they could not have before. */
  finish(): LayerChanges {
    return finishLayer(this.#tree, this.#attributes);
  }

  /** Closes every descriptor. */
  close(): void {
    this.#content?.close();
    this.#content = undefined;
    this.#links.close();
    this.#tree.close();
  }

  #place(entry: TarEntry): void {
    const placement = this.#tree.placeOf(entry.path);
    switch (placement.kind) {
      case 'root':
        this.#placeRoot(entry);
        return;
      case 'name':
        this.#placeEntry(placement.parent, placement.name, entry);
        return;
      case 'nowhere':
        this.#tree.note(entry.path);
    }
  }

  #placeRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') throw badArchive('an entry would replace the root of the layer');
    this.#setDirectory(this.#tree.root, entry, false);
  }

  #placeEntry(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    checkEntry(entry, this.#limits);
    switch (entry.type) {
      case 'file':
        this.#placeFile(parent, name, entry);
        return;
      case 'directory':
        this.#placeDirectory(parent, name, entry);
        return;
      case 'symlink':
        this.#placeSymlink(parent, name, entry);
        return;
      case 'link':
        this.#links.place(parent, name, entry.linkPath);
        return;
      case 'character':
      case 'block':
      case 'fifo':
        this.#placeNode(parent, name, entry);
    }
  }

  #placeFile(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    const flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW;
    const mode = this.#attributes.modeOfNewFile(entry);
    const { made } = this.#tree.replace(parent, name, (dirfd) => openat(dirfd, name, flags, mode));
    this.#content = new FileContent(made, entry, this.#tree.groupOf(parent));
  }

  #placeDirectory(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    const present = parent.children.get(name);
    if (present !== undefined) {
      this.#setDirectory(present, entry, false);
      return;
    }
    const mode = this.#attributes.modeOfNewDirectory(entry);
    const { made, replaced } = this.#tree.replace(parent, name, () =>
      this.#tree.makeDirectory(parent, name, mode),
    );
    // A file that stood here hid what the lower layers have; so does the directory that takes its place.
    if (replaced) made.opaque = true;
    this.#setDirectory(made, entry, true);
  }

  #setDirectory(node: LayerNode, entry: TarEntry, isNew: boolean): void {
    const open = (): number => this.#tree.descriptor(node);
    const group = this.#tree.groupOf(node.parent ?? node);
    node.attributes = this.#attributes.beginDirectory({ isNew, group, open }, entry);
    this.#aclBytes += node.attributes.defaultAcl?.length ?? 0;
    if (this.#aclBytes > this.#limits.paxBytes) {
      throw limitExceeded(
        `the default ACLs of directories have more than ${formatSize(this.#limits.paxBytes)}`,
        entry.path,
      );
    }
  }

  #placeSymlink(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    this.#tree.replace(parent, name, (dirfd) => symlinkat(entry.linkPath, dirfd, name));
    this.#setSpecial(parent, name, entry);
  }

  #placeNode(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    if (isDevice(entry) && !this.#options.devices) {
      this.#omitted.omit(parent, name, entry, 'as was asked for');
      return;
    }
    const { major, minor, type } = entry;
    const format = type === 'fifo' ? S_IFIFO : type === 'block' ? S_IFBLK : S_IFCHR;
    const mode = format | this.#attributes.modeOfNewNode(entry);
    try {
      this.#tree.replace(parent, name, (dirfd) => mknodat(dirfd, name, mode, major, minor));
    } catch (error) {
      if (!isDevice(entry) || systemCode(error) !== 'EPERM') throw error;
      this.#omitted.omit(parent, name, entry, 'this user may not make them');
      return;
    }
    this.#setSpecial(parent, name, entry);
  }

  #setSpecial(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    this.#attributes.setSpecial(this.#tree.descriptor(parent), name, entry, this.#tree.groupOf(parent));
  }
}

function entryError(error: unknown, path: BytePath): Error {
  if (error instanceof UnpackError) return atEntry(error, path);
  return filesystemError(error, `extracting ${printable(path)}`, { entry: fromBytePath(path) });
}

/** Writes the content of one file, with holes where the archive leaves them. */
class FileContent {
  readonly fd: number;
  readonly entry: TarEntry;
  /** Of the directory that it was made in. */
  readonly group: number;
  readonly #segments: readonly SparseSegment[] | undefined;
  #segment = 0;
  /** Bytes of the current segment that are written. */
  #written = 0;

  constructor(fd: number, entry: TarEntry, group: number) {
    this.fd = fd;
    this.entry = entry;
    this.group = group;
    this.#segments = entry.sparse;
  }

  write(chunk: Buffer): void {
    if (this.#segments === undefined) write(this.fd, chunk);
    else this.#writeSparse(chunk, this.#segments);
  }

  #writeSparse(chunk: Buffer, segments: readonly SparseSegment[]): void {
    for (let at = 0; at < chunk.length;) {
      const segment = segments[this.#segment];
      // The reader has held the map against the content, so this only guards against a loop without end.
      if (segment === undefined) return;
      const count = Math.min(chunk.length - at, segment.length - this.#written);
      writeAt(this.fd, chunk, at, count, segment.offset + this.#written);
      at += count;
      this.#written += count;
      if (this.#written < segment.length) continue;
      this.#segment += 1;
      this.#written = 0;
    }
  }

  /** All content is there: gives a sparse file the hole at its end. */
  finish(): void {
    if (this.#segments !== undefined) ftruncateSync(this.fd, this.entry.size);
  }

  close(): void {
    closeSync(this.fd);
  }
}

function writeAt(fd: number, chunk: Buffer, offset: number, length: number, position: number): void {
  for (let done = 0; done < length;) {
    done += writeSync(fd, chunk, offset + done, length - done, position + done);
  }
}
