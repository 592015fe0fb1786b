import type { BytePath } from '../../system/index.js';
import { limitExceeded } from '../archive-error.js';
import type { ImageAttributes, ImageDirectory, ImageFile } from './image-tree.js';
import type { IndexedDirectory } from './indexed-directory.js';

/*
 * What things take in memory, in bytes: measured on trees of 500,000 files with Node 20, and rounded up.
 */
const FILE_BYTES = 300;
const DIRECTORY_BYTES = 700;
const XATTR_BYTES = 450;

/** Bounds the memory of the index of an image, whatever its layers hold. */
export class IndexBudget {
  readonly #limit: number;
  #bytes = 0;

  /** @param limit - in bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws {UnpackError} LIMIT_EXCEEDED */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.#limit) return;
    throw limitExceeded(
      `the names and attributes of the image take more than ${this.#limit} bytes of memory`,
    );
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
  }
}

export function costOfFile(name: BytePath, file: ImageFile): number {
  return FILE_BYTES + name.length + file.linkPath.length + costOfXattrs(file);
}

/** Of the directory alone. */
export function costOfDirectory(name: BytePath, attributes: ImageAttributes | undefined): number {
  return DIRECTORY_BYTES + name.length + (attributes === undefined ? 0 : costOfXattrs(attributes));
}

/** Of the directory with all that is in it. */
export function costOfTree(name: BytePath, directory: ImageDirectory | IndexedDirectory): number {
  let cost = costOfDirectory(name, directory.attributes);
  for (const [file, node] of directory.files) cost += costOfFile(file, node);
  for (const [child, node] of directory.children) cost += costOfTree(child, node);
  return cost;
}

/** Of what is only noted until the lower layers are there. */
export function costOfNote(...texts: readonly BytePath[]): number {
  return FILE_BYTES + texts.reduce((sum, { length }) => sum + length, 0);
}

function costOfXattrs({ xattrs }: ImageAttributes): number {
  let cost = 0;
  for (const [name, value] of xattrs) cost += XATTR_BYTES + name.length + value.length;
  return cost;
}
