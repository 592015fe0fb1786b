import { createReadStream } from 'node:fs';
import type { Abortable } from '../../errors.js';
import { unpackLimits, type UnpackLimits } from '../../spec/index.js';
import {
  AT_SYMLINK_NOFOLLOW,
  type BytePath,
  fstatat,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
} from '../../system/index.js';
import type { InflateChoice } from '../compression/inflate-choice.js';
import { Opened, inDirectoryBelow, lastName, lendAccess, openTree, parentPath } from '../disk/tree-walk.js';
import { badArchive, filesystemError, layerError } from '../terms/layer-fault.js';
import type { SparseSegment, TarEntry } from '../tar/tar-header.js';
import type { TarHandler } from '../tar/tar-reader.js';
import { ImageBudget } from '../jobs/shared-memory.js';
import { readLayer } from './stored-layer.js';
import type { ViewedFile } from './viewed-directory.js';

export interface ReadFileOptions extends Abortable {
  readonly limits?: Partial<UnpackLimits> | undefined;
  readonly inflate?: InflateChoice | undefined;
  /**
   * Whether nobody can have changed the blob since its layer was read for the first time: then no more of it
   * is read than is needed. Otherwise it is read to its end, and verified once more, before the last bytes of
   * the file are given.
   */
  readonly isUnchanged?: boolean | undefined;
}

const ZEROS = Buffer.alloc(64 * 1024);

/**
 * The bytes of a file of an image, holes as zeros. Its layer was verified when it was found, and is read once
 * more; of an unpacked one the file itself is read. Nothing comes of what has no content.
 *
 * Errors: those of reading a layer; DIGEST_MISMATCH where it is another one than before, and then what came
 * is of no use.
 */
export async function* readFile(
  { file, layer }: ViewedFile,
  { limits, inflate, signal, isUnchanged = false }: ReadFileOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  if (file.type !== 'file' || file.size === 0) return;
  const path = layer.paths?.get(file.entry);
  if (layer.stored.directory !== undefined && path !== undefined) {
    yield* readUnpackedFile(layer.stored.directory, path, { signal });
    return;
  }
  const content = new EntryContent(file.entry, file.size);
  const o = { limits: unpackLimits(limits), budget: new ImageBudget(1).layer(0), inflate, signal };
  const reading = readLayer(layer.stored, content, o);
  // The last bytes wait for the verdict on the layer.
  let held: Buffer | undefined;
  try {
    while (!(isUnchanged && content.isDone) && (await reading.next()).done !== true) {
      for (const piece of content.take()) {
        if (held !== undefined) yield held;
        held = piece;
      }
    }
    if (!content.isDone) {
      throw layerError(badArchive('a file is not where it was a moment ago'), layer.stored.descriptor.digest);
    }
  } finally {
    await reading.return();
  }
  if (held !== undefined) yield held;
}

/** Takes the content of one entry of an archive. */
class EntryContent implements TarHandler {
  /** All of it has been read. */
  isDone = false;
  readonly #entry: number;
  readonly #size: number;
  /** Entries so far, of which this is the number of the next. */
  #entries = 0;
  #isIn = false;
  /** What is left of the file, where it is sparse; the next segment last. */
  #segments: SparseSegment[] | undefined;
  /** How far the file is. */
  #at = 0;
  #pieces: Iterable<Buffer>[] = [];

  constructor(entry: number, size: number) {
    this.#entry = entry;
    this.#size = size;
  }

  /** What has come since it was last taken. */
  *take(): Generator<Buffer, void, undefined> {
    const pieces = this.#pieces;
    this.#pieces = [];
    for (const piece of pieces) yield* piece;
  }

  entry({ sparse }: TarEntry): void {
    this.#isIn = this.#entries === this.#entry;
    this.#entries += 1;
    if (this.#isIn) this.#segments = sparse?.filter(({ length }) => length > 0).reverse();
  }

  data(chunk: Buffer): void {
    if (!this.#isIn) return;
    // The chunk is the reader's own, and whoever takes the file may be slow.
    const bytes = Buffer.from(chunk);
    if (this.#segments === undefined) {
      this.#pieces.push([bytes]);
      this.#at += bytes.length;
      return;
    }
    this.#placeSparse(bytes, this.#segments);
  }

  endEntry(): void {
    if (!this.#isIn) return;
    this.#isIn = false;
    this.#zeros(this.#size - this.#at);
    this.isDone = true;
  }

  #placeSparse(bytes: Buffer, segments: SparseSegment[]): void {
    for (let at = 0; at < bytes.length;) {
      const segment = segments.pop();
      if (segment === undefined) return;
      const { offset, length } = segment;
      this.#zeros(offset - this.#at);
      const count = Math.min(length, bytes.length - at);
      this.#pieces.push([bytes.subarray(at, at + count)]);
      this.#at += count;
      at += count;
      if (count < length) segments.push({ offset: offset + count, length: length - count });
    }
  }

  /** Made while they are taken, since a hole may be larger than any memory. */
  #zeros(count: number): void {
    if (count <= 0) return;
    this.#pieces.push(zeros(count));
    this.#at += count;
  }
}

function* zeros(count: number): Generator<Buffer, void, undefined> {
  for (let left = count; left > 0; left -= ZEROS.length) {
    yield left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS;
  }
}

/**
 * The bytes of a file in a layer's directory. No symlink is followed on the way.
 *
 * Errors: FILESYSTEM, also where it is not there any more; ABORTED.
 */
async function* readUnpackedFile(
  directory: string,
  path: BytePath,
  { signal }: Abortable = {},
): AsyncGenerator<Buffer, void, undefined> {
  try {
    const fd = openBelow(directory, path);
    const stream = createReadStream('', { fd, signal });
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    throw filesystemError(error, `reading ${directory}`);
  }
}

function openBelow(directory: string, path: BytePath): number {
  using rootfd = new Opened(openTree(directory));
  const name = lastName(path);
  const opened = inDirectoryBelow(rootfd.fd, parentPath(path), (dirfd) => {
    using _lent = lendAccess(dirfd, name, fstatat(dirfd, name, AT_SYMLINK_NOFOLLOW));
    return openat(dirfd, name, O_RDONLY | O_NOFOLLOW);
  });
  if (opened === undefined) throw Object.assign(new Error('it is not there any more'), { code: 'ENOENT' });
  return opened.result;
}
