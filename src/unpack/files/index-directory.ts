import { readSync } from 'node:fs';
import type { Abortable } from '../../errors.js';
import {
  AT_SYMLINK_NOFOLLOW,
  fstat,
  fstatat,
  lgetxattr,
  listxattr,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  procFdPath,
  readlinkat,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type BytePath,
  type Stat,
} from '../../system/index.js';
import { filesystemError } from '../terms/layer-fault.js';
import {
  costOfDirectory,
  costOfFile,
  costOfNote,
  type ImageAttributes,
  type ImageFile,
  type IndexBudget,
  IndexedDirectory,
} from './image-tree.js';
import { isOverlayXattr } from '../disk/file-attributes.js';
import { isOpaque, isWhiteout } from '../disk/file-attributes.js';
import {
  Opened,
  isDirectory,
  lendAccess,
  openDirectory,
  openTree,
  Pace,
  readNames,
} from '../disk/tree-walk.js';
import { ContentDigest } from './content-digest.js';

export interface IndexDirectoryOptions extends Abortable {
  readonly budget: IndexBudget;
  /** Place of the layer, from 0. */
  readonly layer: number;
  /** Whether to digest the content of files. */
  readonly contents: boolean;
  /** Whether it holds what the layers below have too, so that nothing in it stands for what is deleted. */
  readonly isWhole: boolean;
}

/** A layer that is read where it was unpacked. */
export interface IndexedTree {
  readonly root: IndexedDirectory;
  /** Of files by their entry; empty where nobody asked. */
  readonly contents: ReadonlyMap<number, string>;
  /** Where each file is, by its entry, from the root of the layer. */
  readonly paths: ReadonlyMap<number, BytePath>;
}

const CHUNK_BYTES = 256 * 1024;

/**
 * Reads a layer's directory in a snapshot into memory, in the form that overlayfs has of layers. Nothing is
 * verified but what the file system says; owners and xattrs are as they are on the disk.
 *
 * Errors: FILESYSTEM, LIMIT_EXCEEDED, ABORTED.
 */
export async function indexDirectory(directory: string, o: IndexDirectoryOptions): Promise<IndexedTree> {
  try {
    using opened = new Opened(openTree(directory));
    const indexer = new DirectoryIndexer(o);
    const root = new IndexedDirectory(0);
    await indexer.directory(opened.fd, root, fstat(opened.fd), procFdPath(opened.fd, '.'));
    return { root, contents: indexer.contents, paths: indexer.paths };
  } catch (error) {
    throw filesystemError(error, `reading ${directory}`);
  }
}

class DirectoryIndexer {
  readonly contents = new Map<number, string>();
  readonly paths = new Map<number, BytePath>();
  readonly #options: IndexDirectoryOptions;
  readonly #pace: Pace;
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  /** Those with several names, by device and number. */
  readonly #linked = new Map<string, ImageFile>();
  #entries = 0;

  constructor(options: IndexDirectoryOptions) {
    this.#options = options;
    this.#pace = new Pace(options);
  }

  /** @param path - that xattrs are read by */
  async directory(fd: number, node: IndexedDirectory, stat: Stat, path: BytePath): Promise<void> {
    node.attributes = attributesOf(stat, path);
    node.opaque = !this.#options.isWhole && isOpaque(fd, '');
    this.#options.budget.add(costOfDirectory(node.name, node.attributes));
    for (const name of readNames(fd).sort()) {
      await this.#pace.step();
      await this.#entry(fd, node, name);
    }
  }

  async #entry(dirfd: number, parent: IndexedDirectory, name: BytePath): Promise<void> {
    const { budget, isWhole } = this.#options;
    const stat = fstatat(dirfd, name, AT_SYMLINK_NOFOLLOW);
    if (!isWhole && isWhiteout(stat)) {
      budget.add(costOfNote(name));
      parent.addWhiteout(name);
      return;
    }
    this.#entries += 1;
    if (!isDirectory(stat)) {
      const file = await this.#file(dirfd, name, stat, parent.pathOf(name));
      if (file === undefined) return;
      budget.add(costOfFile(name, file));
      parent.files.set(name, file);
      return;
    }
    const child = new IndexedDirectory(this.#entries, parent, name);
    parent.children.set(name, child);
    using _lent = lendAccess(dirfd, name, stat);
    using opened = new Opened(openDirectory(dirfd, name));
    await this.directory(opened.fd, child, stat, procFdPath(dirfd, name));
  }

  /** Undefined for what no layer can have. */
  async #file(dirfd: number, name: BytePath, stat: Stat, path: BytePath): Promise<ImageFile | undefined> {
    const type = typeOf(stat);
    if (type === undefined) return undefined;
    const key = `${stat.dev}:${stat.ino}`;
    const known = stat.nlink > 1 ? this.#linked.get(key) : undefined;
    if (known !== undefined) {
      known.linked = true;
      return known;
    }
    const file: ImageFile = {
      ...attributesOf(stat, procFdPath(dirfd, name)),
      type,
      linkPath: type === 'symlink' ? readlinkat(dirfd, name) : '',
      size: type === 'file' ? stat.size : 0,
      major: stat.rdevMajor,
      minor: stat.rdevMinor,
      layer: this.#options.layer,
      entry: this.#entries,
      linked: false,
    };
    if (stat.nlink > 1) this.#linked.set(key, file);
    if (type === 'file') await this.#note(dirfd, name, { stat, path, entry: file.entry });
    return file;
  }

  async #note(
    dirfd: number,
    name: BytePath,
    { stat, path, entry }: { readonly stat: Stat; readonly path: BytePath; readonly entry: number },
  ): Promise<void> {
    const { budget, contents } = this.#options;
    budget.add(costOfNote(path));
    this.paths.set(entry, path);
    if (contents) this.contents.set(entry, await this.#digest(dirfd, name, stat));
  }

  async #digest(dirfd: number, name: BytePath, stat: Stat): Promise<string> {
    const digest = new ContentDigest(stat.size);
    using _lent = lendAccess(dirfd, name, stat);
    using opened = new Opened(openat(dirfd, name, O_RDONLY | O_NOFOLLOW));
    for (;;) {
      const count = readSync(opened.fd, this.#buffer);
      if (count === 0) return digest.digest();
      digest.update(this.#buffer.subarray(0, count));
      // A file may be larger, and its hole far larger, than anybody who wants to stop would wait for.
      await this.#pace.step();
    }
  }
}

function attributesOf(stat: Stat, path: BytePath): ImageAttributes {
  const { mode, uid, gid, mtime } = stat;
  return { mode: mode & 0o7777, uid, gid, mtime, xattrs: xattrsOf(path) };
}

function xattrsOf(path: BytePath): ReadonlyMap<BytePath, Buffer> {
  const xattrs = new Map<BytePath, Buffer>();
  for (const name of listxattr(path)) {
    const value = isOverlayXattr(name) ? undefined : lgetxattr(path, name);
    if (value !== undefined) xattrs.set(name, value);
  }
  return xattrs;
}

function typeOf({ mode }: Stat): ImageFile['type'] | undefined {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 'file';
    case S_IFLNK:
      return 'symlink';
    case S_IFCHR:
      return 'character';
    case S_IFBLK:
      return 'block';
    case S_IFIFO:
      return 'fifo';
    default:
      return undefined;
  }
}
