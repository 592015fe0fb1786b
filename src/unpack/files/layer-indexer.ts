import { UnpackError } from '../../errors.js';
import type { UnpackLimits } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import { atEntry, badArchive, type Warnings } from '../terms/layer-fault.js';
import { AUFS_LINKS, checkEntry } from '../layer/check-entry.js';
import { keptXattrs } from '../layer/entry-attributes.js';
import { type LayerLink, refuseDeletedTarget } from '../layer/layer-paths.js';
import type { TarEntry } from '../tar/tar-header.js';
import type { TarHandler } from '../tar/tar-reader.js';
import {
  costOfNote,
  type ImageAttributes,
  type ImageFile,
  type IndexBudget,
  type IndexedDirectory,
  IndexedPaths,
} from './image-tree.js';

/** One layer in memory, read to its end, which is still to be merged. */
export interface IndexedLayer {
  /** Place of the layer in the image, from 0. */
  readonly layer: number;
  readonly root: IndexedDirectory;
  /** Hard links to files that only a lower layer has. */
  readonly waiting: readonly WaitingLink[];
  /**
   * What whiteouts, absent directories and waiting links take of the budget; it is free when the layer is
   * merged.
   */
  readonly notes: number;
}

export interface WaitingLink {
  readonly parent: IndexedDirectory;
  readonly name: BytePath;
  readonly link: LayerLink;
}

export interface LayerIndexerOptions {
  /** Place of the layer in the image, from 0. */
  readonly layer: number;
  readonly limits: UnpackLimits;
  readonly budget: IndexBudget;
  readonly warnings: Warnings;
}

/**
 * Reads a layer's entries into memory, alone: what LayerWriter does on the disk. An entry replaces what an
 * earlier one made at the same path, but a directory over a directory keeps what is in it.
 *
 * Methods throw UnpackError: UNSAFE_PATH, BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED.
 */
export class LayerIndexer implements TarHandler {
  readonly #options: LayerIndexerOptions;
  readonly #paths: IndexedPaths;
  #links = 0;
  #notes = 0;

  constructor(options: LayerIndexerOptions) {
    this.#options = options;
    this.#paths = new IndexedPaths(options.limits, options.budget);
  }

  entry(entry: TarEntry): void {
    try {
      this.#place(entry);
    } catch (error) {
      throw error instanceof UnpackError ? atEntry(error, entry.path) : error;
    }
    this.#paths.entry += 1;
  }

  data(): void {
    // Content is read when it is wanted.
  }

  endEntry(): void {
    // A file's attributes were set with its entry.
  }

  /** The archive is at its end. */
  finish(): IndexedLayer {
    const { root } = this.#paths;
    this.#paths.remove(root, AUFS_LINKS);
    dropHiddenAbsent(root);
    const waiting = [...waitingIn(root)];
    for (const { link } of waiting) refuseDeletedTarget(root, link);
    return { layer: this.#options.layer, root, waiting, notes: this.#notes + this.#paths.absentCost };
  }

  #place(entry: TarEntry): void {
    const placement = this.#paths.placeOf(entry.path);
    switch (placement.kind) {
      case 'root':
        if (entry.type !== 'directory') throw badArchive('an entry would replace the root of the layer');
        this.#paths.setAttributes(this.#paths.root, this.#attributesOf(entry));
        return;
      case 'name':
        checkEntry(entry, this.#options.limits);
        this.#placeEntry(placement.parent, placement.name, entry);
        return;
      case 'nowhere':
        this.#note(entry.path);
    }
  }

  #placeEntry(parent: IndexedDirectory, name: BytePath, entry: TarEntry): void {
    const { type } = entry;
    switch (type) {
      case 'directory':
        this.#placeDirectory(parent, name, entry);
        return;
      case 'link':
        this.#placeLink(parent, name, entry.linkPath);
        return;
      case 'file':
      case 'symlink':
      case 'character':
      case 'block':
      case 'fifo':
        this.#placeFile(parent, name, this.#fileOf(entry, type));
    }
  }

  #placeDirectory(parent: IndexedDirectory, name: BytePath, entry: TarEntry): void {
    let directory = parent.children.get(name);
    if (directory === undefined) {
      const replaced = this.#paths.remove(parent, name);
      directory = this.#paths.makeDirectory(parent, name);
      // A file that stood here hid what the lower layers have; so does the directory that takes its place.
      if (replaced) directory.opaque = true;
    }
    this.#paths.setAttributes(directory, this.#attributesOf(entry));
  }

  /** A link has no attributes of its own: they are those of the file. */
  #placeLink(parent: IndexedDirectory, name: BytePath, linkPath: BytePath): void {
    const target = this.#paths.linkTarget(parent, name, linkPath);
    const file = target.kind === 'here' ? target.node.files.get(target.name) : undefined;
    if (file === undefined) {
      this.#paths.remove(parent, name);
      const path = parent.pathOf(name);
      parent.addLink(name, { path, target: target.path, order: this.#links++ });
      this.#note(path, target.path);
      return;
    }
    file.linked = true;
    this.#placeFile(parent, name, file);
  }

  #placeFile(parent: IndexedDirectory, name: BytePath, file: ImageFile): void {
    this.#paths.remove(parent, name);
    this.#paths.addFile(parent, name, file);
  }

  #fileOf(entry: TarEntry, type: ImageFile['type']): ImageFile {
    const { linkPath, size, major, minor } = entry;
    const { layer } = this.#options;
    return {
      type,
      linkPath,
      size,
      major,
      minor,
      layer,
      entry: this.#paths.entry,
      linked: false,
      ...this.#attributesOf(entry),
    };
  }

  #attributesOf(entry: TarEntry): ImageAttributes {
    const { mode, uid, gid, mtime, atime } = entry;
    return {
      mode,
      uid,
      gid,
      mtime,
      ...(atime === undefined ? {} : { atime }),
      xattrs: this.#xattrsOf(entry),
    };
  }

  #xattrsOf(entry: TarEntry): ReadonlyMap<BytePath, Buffer> {
    if (entry.xattrs.size === 0) return entry.xattrs;
    const { limits, warnings } = this.#options;
    const kept = new Map<BytePath, Buffer>();
    // The entry's are views that would keep all its headers in memory.
    for (const [name, value] of keptXattrs(entry, limits.xattrBytes, warnings)) kept.set(name, copyOf(value));
    return kept;
  }

  #note(...texts: readonly BytePath[]): void {
    const cost = costOfNote(...texts);
    this.#options.budget.add(cost);
    this.#notes += cost;
  }
}

/** Not from Node's pool, of which a few bytes would keep 8 KiB in memory. */
function copyOf(value: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(value.length);
  value.copy(copy);
  return copy;
}

/** What the layer has instead of a directory hides all that the lower layers have there. */
function dropHiddenAbsent(directory: IndexedDirectory): void {
  const { absent, files, links } = directory;
  for (const name of absent?.keys() ?? []) if (files.has(name) || links.has(name)) absent?.delete(name);
  for (const child of directory.children.values()) dropHiddenAbsent(child);
}

function* waitingIn(directory: IndexedDirectory): Generator<WaitingLink, void, undefined> {
  for (const [name, link] of directory.links) yield { parent: directory, name, link };
  for (const child of directory.children.values()) yield* waitingIn(child);
}
